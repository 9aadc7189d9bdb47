"""Figures of drift optimisation, in the forms of thesis A, fig. 3.9 and 3.10; bytes depend on the numbers alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tasks.figures import blank, save

COLOURS = {"learned": "#1f5fbf", "frozen": "#c8282d", "direct": "#4a7d3c"}
NAMES = {"learned": "learned data model", "frozen": "frozen data model", "direct": "direct raw"}
BRIGHTEST = 0.995
"""The quantile of a panel's values that is shown as white."""

Samples = Mapping[str, NDArray[Any]]


def curves(path: Path, found: Mapping[str, Any]) -> Path:
    """The validation metric over optimiser steps: a panel an intensity with learned and frozen, and one with direct
    raw. Lines are means over folds, bars one standard deviation, bands the intervals. `found` is the document."""
    panels = [(f"intensity {name}", rows) for name, rows in _by_intensity(found).items()]
    raw = [s for s in found["settings"] if s["setting"] == "direct"]
    panels += [("direct raw", raw)] if raw else []
    figure = blank(3.6 * len(panels), 3.6)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, rows) in zip(grid, panels, strict=True):
        for number, setting in enumerate(rows):
            _line(axes, setting, number, len({row["setting"] for row in rows}) == 1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("optimiser step")
        axes.legend(fontsize=7, loc="lower right")
    grid[0].set_ylabel(f"validation {found['main']}")
    grid[0].set_ylim(0, 1)
    figure.suptitle(_told(found), fontsize=9)
    return save(figure, path)


def _told(found: Mapping[str, Any]) -> str:
    tiles = " or ".join(str(n) for n in sorted(set(found["tiles"].values())))
    counted = f"mean of {len(found['folds'])} folds of {tiles} tiles in {found['groups']} groups"
    return f"{counted}; bars 1 sd, bands {found['confidence']:.0%} interval; seed {found['seed']}"


def _by_intensity(found: Mapping[str, Any]) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    for setting in found["settings"]:
        if setting["setting"] != "direct":
            rows.setdefault(f"{setting['intensity']} ({setting['exposure']:g})", []).append(setting)
    return rows


def _line(axes: Axes, setting: Mapping[str, Any], number: int, alone: bool) -> None:
    """One setting's curve. Where all are of one setting the intensities are told apart by their dashes."""
    points = setting["curve"]
    steps = np.array([p["step"] for p in points], dtype=float)
    mean, sd, low, high = (_numbers(points, part) for part in ("mean", "sd", "low", "high"))
    colour, dashes = COLOURS[setting["setting"]], "--" if alone and number else "-"
    label = setting["intensity"] if alone else NAMES[setting["setting"]]
    axes.fill_between(steps, low, high, color=colour, alpha=0.10, linewidth=0)
    apart = steps + number * 0.006 * steps.max()  # lest the bars of two settings hide each other
    axes.errorbar(
        apart, mean, sd, color=colour, linestyle=dashes, capsize=2, linewidth=1.4, elinewidth=0.8, label=label
    )


def _numbers(points: Sequence[Mapping[str, Any]], part: str) -> NDArray[np.float64]:
    return np.array([np.nan if p[part] is None else p[part] for p in points], dtype=float)


def processed(path: Path, samples: Mapping[str, Samples], title: str) -> Path:
    """The shown tiles (columns) as each setting's task model is given them (rows), by `views` (n, 3, y, x).

    Each panel is scaled so that its `BRIGHTEST` quantile is white; the factor stands above it.
    """
    columns = len(next(iter(samples.values()))["views"])
    figure = blank(1.9 * columns, 2.1 * len(samples) + 0.3)
    grid = figure.subplots(len(samples), columns, squeeze=False)
    for row, (setting, own) in zip(grid, samples.items(), strict=True):
        for axes, view in zip(row, own["views"], strict=True):
            factor = 1 / max(float(np.quantile(view, BRIGHTEST)), 1e-6)
            axes.imshow(np.clip(view * factor, 0, 1).transpose(1, 2, 0))
            axes.set_title(f"x {factor:.3g}", fontsize=7)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(NAMES[setting], fontsize=8)
    figure.suptitle(title, fontsize=9)
    return save(figure, path)


def masks(path: Path, samples: Samples, title: str) -> Path:
    """Targets, and what the learned setting's task model predicts after the first and the last epoch: class indices
    (n, y, x) of the shown tiles (columns)."""
    rows = {"target": "truth", "after the first epoch": "first", "after the last epoch": "last"}
    columns, most = len(samples["truth"]), max(int(samples[part].max()) for part in rows.values())
    figure = blank(1.9 * columns, 6.0)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, (name, part) in zip(grid, rows.items(), strict=True):
        for axes, mask in zip(row, samples[part], strict=True):
            axes.imshow(mask, cmap="gray", vmin=0, vmax=max(most, 1), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8)
    figure.suptitle(f"learned data model, {title}", fontsize=9)
    return save(figure, path)
