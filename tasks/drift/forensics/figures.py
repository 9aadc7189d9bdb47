"""Figures of drift forensics in the forms of thesis A, fig. 3.8; PNG whose bytes depend on the numbers alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.figures import blank, save

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8B6914", "#000000")
MARKS = "osD^vP*X"
Cell = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def _error(cells: Sequence[Cell]) -> NDArray[np.float64]:
    """Lengths of error bars (2, n) from means to their limits; 0 where there is no interval."""
    bars = [(c["mean"] - c["low"], c["high"] - c["mean"]) if c["low"] is not None else (0, 0) for c in cells]
    return np.maximum(np.array(bars, dtype=np.float64).T, 0)


def _grouped(sweep: Rows) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(sweep, key=lambda row: float(row["lambda"])):
        groups.setdefault(row["group"], []).append(row)
    return {name: groups[name] for name in dict.fromkeys(row["group"] for row in sweep)}


def _reference(axes: Any, base: Cell) -> None:
    axes.axhline(base["mean"], color="grey", linestyle=":", linewidth=1, label="theta-stat")
    if base["low"] is not None:
        axes.axhspan(base["low"], base["high"], color="grey", alpha=0.12, linewidth=0)


def over_lambda(path: Path, sweep: Rows, base: Cell, main: str) -> Path:
    """The main metric on unseen tiles against lambda, a line a group with its intervals (fig. 3.8, left)."""
    figure = blank(8, 4.2)
    axes = figure.subplots()
    _reference(axes, base)
    lambdas = sorted({float(row["lambda"]) for row in sweep})
    groups = _grouped(sweep)
    for at, (name, rows) in enumerate(groups.items()):
        shift = 0.5 * (at / max(len(groups) - 1, 1) - 0.5)
        places = [lambdas.index(float(row["lambda"])) + shift for row in rows]
        cells = [row["metric"] for row in rows]
        look: dict[str, Any] = {
            "color": COLOURS[at % 8],
            "marker": MARKS[at % 8],
            "markersize": 5,
            "linewidth": 1.2,
            "capsize": 2,
        }
        axes.errorbar(places, [c["mean"] for c in cells], _error(cells), label=name.replace("_", " "), **look)
    axes.set_xticks(range(len(lambdas)), [f"{value:g}" for value in lambdas])
    axes.set_xlabel("lambda: weight of the squared change of the views; small is free search")
    axes.set_ylabel(f"{main} on tiles not searched")
    axes.set_ylim(-0.03, 1.03)
    figure.legend(loc="outside right center", fontsize=8)
    return save(figure, path)


def over_l2(path: Path, sweep: Rows, base: Cell, main: str) -> Path:
    """The main metric on unseen tiles against how far the views moved (fig. 3.8, right)."""
    figure = blank(8, 4.2)
    axes = figure.subplots()
    _reference(axes, base)
    for at, (name, rows) in enumerate(_grouped(sweep).items()):
        moved = [row for row in rows if row["l2"]["mean"] > 0]
        cells = [row["metric"] for row in moved]
        look: dict[str, Any] = {
            "color": COLOURS[at % 8],
            "marker": MARKS[at % 8],
            "markersize": 6,
            "linestyle": "",
            "capsize": 2,
        }
        where, values = [row["l2"]["mean"] for row in moved], [c["mean"] for c in cells]
        if moved:
            axes.errorbar(where, values, _error(cells), label=name.replace("_", " "), elinewidth=0.8, **look)
    axes.set_xscale("log")
    axes.set_xlabel("l2: mean squared change of a display value (full scale 1)")
    axes.set_ylabel(f"{main} on tiles not searched")
    axes.set_ylim(-0.03, 1.03)
    figure.legend(loc="outside right center", fontsize=8)
    return save(figure, path)


def ranges(path: Path, groups: Mapping[str, Mapping[str, Any]], loss_stated: float, main: str) -> Path:
    """How far each group may go, in shares of the largest plausible change, and the small ones' parameters alone."""
    bars = _bars(groups)
    figure = blank(8, 0.9 + 0.27 * len(bars))
    axes = figure.subplots()
    for at, (_, down, up, colour, note) in enumerate(bars):
        axes.barh(at, down + up, left=-down, color=colour, height=0.7)
        axes.text(1.04, at, note, va="center", fontsize=7)
        if not down + up:
            axes.plot([0], [at], marker="x", color="black", markersize=5)
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=0.01, linscale=0.5)
    axes.set_xlim(-1.02, 1.02)
    ticks = (-1, -0.1, -0.01, 0, 0.01, 0.1, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    axes.set_xlabel(f"change, in units of scale, that costs at most {loss_stated:g} of {main} (x: none found)")
    return save(figure, path)


def _bars(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, float, float, str, str]]:
    """Label, reach downwards and upwards in units of scale, colour and note of each bar."""
    bars = []
    for name, group in groups.items():
        radius = float(group["radius"])
        note = "no limit found" if group["unbounded"] else ("cut" if group["shrunk"] else "")
        bars.append((f"{name.replace('_', ' ')} (jointly)", radius, radius, COLOURS[0], note))
        several = group["parameters"] if len(group["parameters"]) > 1 else []
        for parameter, scale in zip(several, group["scale"], strict=False):
            down, up = (abs(parameter[side] - parameter["initial"]) / scale if scale else 0 for side in ("low", "high"))
            free = parameter["unbounded_low"] and parameter["unbounded_high"]
            bars.append((parameter["name"], down, up, COLOURS[5], "no limit found" if free else ""))
    return bars


def samples(path: Path, columns: Sequence[tuple[str, NDArray[np.float32]]], names: Sequence[str]) -> Path:
    """Views (n, 3, y, x) in [0, 1] of the tiles `names` in rows, a column each of `columns`."""
    side = min(8 / len(columns), 2.0)
    figure = blank(side * len(columns), 0.3 + (side + 0.15) * len(names))
    grid = np.asarray(figure.subplots(len(names), len(columns), squeeze=False))
    for at, (title, views) in enumerate(columns):
        grid[0, at].set_title(title, fontsize=8)
        for axes, view in zip(grid[:, at], views, strict=True):
            axes.imshow(np.clip(view, 0, 1).transpose(1, 2, 0), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(name, fontsize=6)
    return save(figure, path)
