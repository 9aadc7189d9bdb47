"""Figures of drift synthesis in the thesis's forms, as PNG whose bytes depend on the numbers alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tasks.figures import blank, save

FACE, BORDER = "Blues", "autumn_r"
CELL_IN = 0.66
PALETTE = ("#0072B2", "#D55E00")
Document = Mapping[str, Any]


def caption(found: Document) -> str:
    """What the numbers rest on, in one line."""
    over = f"{len(found['folds'])} folds" if found["folds"] else "1 given model"
    sizes = f"{found['groups']} groups, {found['tiles']} tiles"
    return f"{found['main']}; {over}, {sizes}; {found['confidence']:.0%} intervals; seed {found['seed']}"


def matrices(path: Path, found: Document, severity: int) -> Path:
    """Training data models by test conditions: data models at the left, corruptions of one severity at the right.

    In a cell the mean and its interval, the mean as shade, the standard deviation over folds as border; 1-3 at the
    left rank the rows by their mean, a star marks the best of a column, filled where it is told apart.
    """
    rows, several = found["rows"], bool(found["corrupted"])
    panels = [("data_models", found["data_models"], found["matrix"])]
    if several:
        panels.append(("corruptions", found["corruptions"], found["corrupted"][str(severity)]))
    widths = [len(names) for _, names, _ in panels]
    figure = blank(CELL_IN * (sum(widths) + 1.6 * len(panels)) + 1.6, CELL_IN * len(rows) + 2.0)
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    scales = _scales([cells for _, _, cells in panels])
    for axes, (kind, names, cells) in zip(grid, panels, strict=True):
        _panel(axes, rows, names, cells, scales)
        _marks(axes, found, kind, severity)
        axes.set_title("test data model" if kind == "data_models" else f"corruption, severity {severity}", fontsize=11)
    for scale, name in zip(scales, (f"mean {found['main']} (shade)", "standard deviation (border)"), strict=True):
        figure.colorbar(scale, ax=list(grid), label=name, fraction=0.012, pad=0.01)
    grid[0].set_ylabel("training data model" if found["stars"] else "")
    key = "\n1–3: ranks of the rows; star: best of its column, filled where told apart" if found["stars"] else ""
    figure.suptitle(caption(found) + key, fontsize=11)
    return save(figure, path)


def _scales(panels: Sequence[Sequence[Sequence[Document]]]) -> tuple[ScalarMappable, ScalarMappable]:
    """Shade of the mean, 0 to 1, and border of the standard deviation, from 0 on."""
    deviations = [cell["sd"] for cells in panels for row in cells for cell in row if cell["sd"] is not None]
    most = max([*deviations, 0.01])
    pale = ListedColormap(colormaps[FACE](np.linspace(0, 0.7, 256)))  # black numbers stay readable
    return ScalarMappable(Normalize(0, 1), pale), ScalarMappable(Normalize(0, most), colormaps[BORDER])


def _panel(
    axes: Any,
    rows: Sequence[str],
    names: Sequence[str],
    cells: Sequence[Sequence[Document]],
    scales: tuple[ScalarMappable, ScalarMappable],
) -> None:
    face, border = scales
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            edge = "#bbbbbb" if cell["sd"] is None else border.to_rgba(cell["sd"])
            shade = face.to_rgba(cell["mean"])
            axes.add_patch(Rectangle((c - 0.44, r - 0.44), 0.88, 0.88, facecolor=shade, edgecolor=edge, linewidth=3))
            axes.text(c, r - 0.08, f"{cell['mean']:.2f}", ha="center", va="center", fontsize=10)
            if cell["low"] is not None:
                ends = f"{cell['low']:.2f}–{cell['high']:.2f}"
                axes.text(c, r + 0.24, ends, ha="center", va="center", fontsize=6.5)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.tick_params(length=0, pad=14)
    axes.tick_params(axis="x", pad=2)
    for side in axes.spines.values():
        side.set_visible(False)


def _marks(axes: Any, found: Document, kind: str, severity: int) -> None:
    """Ranks beside the rows and stars in the cells; none of a given model."""
    if found["stars"] is None:
        return
    ranking, stars = found["rankings"][kind], found["stars"][kind]
    if kind == "corruptions":
        ranking, stars = ranking[str(severity)], stars[str(severity)]
    for entry in ranking[:3]:
        at = found["rows"].index(entry["data_model"])
        axes.text(-0.62, at, str(entry["rank"]), ha="center", va="center", fontsize=10, weight="bold", color="#D55E00")
    for column, star in enumerate(stars.values()):
        face = "black" if star["told_apart"] else "none"
        place = (column - 0.3, found["rows"].index(star["train"]) - 0.3)
        axes.plot(*place, marker="*", markersize=8, markerfacecolor=face, markeredgecolor="black", markeredgewidth=0.8)


def drops(path: Path, found: Document) -> Path:
    """The mean drop with its interval: under other data models, and under corruptions by severity."""
    figure = blank(7, 3.6)
    axes = figure.subplots()
    entries = [("other data\nmodels", found["drops"]["data_models"]["drop"], PALETTE[0])]
    entries += [(f"severity {s}", c["drop"], PALETTE[1]) for s, c in found["drops"]["corruptions"].items()]
    for at, (_, cell, colour) in enumerate(entries):
        axes.plot(at, cell["mean"], "o", color=colour)
        if cell["low"] is not None:
            axes.vlines(at, cell["low"], cell["high"], color=colour, linewidth=2)
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set_xticks(range(len(entries)), [name for name, _, _ in entries])
    axes.set_xlim(-0.5, len(entries) - 0.5)
    axes.set_ylabel(f"drop of {found['main']}")
    axes.set_title(f"blue: data models, orange: common corruptions\n{caption(found)}", fontsize=9)
    return save(figure, path)


def pair(path: Path, before: NDArray[np.float32], after: NDArray[np.float32], worst: Document, found: Document) -> Path:
    """A tile (3, y, x) under the training condition (A), under the test condition (B), and A - B by channel."""
    figure = blank(12.5, 3.4)
    grid = figure.subplots(1, 5)
    test = worst["test"] + (f", severity {worst['severity']}" if "severity" in worst else "")
    views = ((f"A: {worst['train']}", before), (f"B: {test}", after))
    for axes, (title, view) in zip(grid[:2], views, strict=True):
        axes.imshow(np.clip(view, 0, 1).transpose(1, 2, 0))
        axes.set_title(title.replace("_", " "), fontsize=10)
    most = float(max(np.abs(before - after).max(), 1e-6))
    for axes, plane, name in zip(grid[2:], before - after, ("red", "green", "blue"), strict=True):
        image = axes.imshow(plane, cmap="gray", vmin=-most, vmax=most)
        axes.set_title(f"A − B, {name}", fontsize=10)
    for axes in grid:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(grid), label="A − B", fraction=0.02, pad=0.01)
    ends = "" if worst["low"] is None else f" ({worst['low']:.2f} to {worst['high']:.2f})"
    title = f"{worst['tile']}: largest mean drop, {worst['drop']:.2f}{ends} {found['main']}"
    figure.suptitle(f"{title}; {caption(found).split('; ', 1)[1]}", fontsize=10)
    return save(figure, path)
