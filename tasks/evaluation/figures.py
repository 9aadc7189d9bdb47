"""Figures of the evaluation as PNG. The same numbers give the same bytes: no date, no software name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.disk import storage_faults

PALETTE = ("#d9d9d9", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Unknown in grey, then Okabe and Ito's colours, which the colour-blind can tell apart."""
DPI = 110


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG without metadata that changes."""
    FigureCanvasAgg(figure)
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def predictions(path: Path, tiles: Any, truth: Any, guess: Any, names: Sequence[str]) -> None:
    """Tiles (n, c, y, x) in a row, their annotation (n, y, x) below, and what was predicted below that."""
    figure = Figure(figsize=(1.5 * len(tiles) + 1.6, 4.8), layout="constrained")
    grid = figure.subplots(3, len(tiles), squeeze=False)
    colours = ListedColormap(PALETTE[: len(names) + 1])
    for column, (tile, labels, found) in enumerate(zip(tiles, truth, guess, strict=True)):
        grid[0, column].imshow(np.moveaxis(tile, 0, -1))
        for row, picture in ((1, labels), (2, found)):
            grid[row, column].imshow(picture, cmap=colours, vmin=0, vmax=len(names), interpolation="nearest")
    for axes in grid.ravel():
        _bare(axes)
    for axes, name in zip(grid[:, 0], ("held-out tile", "annotation", "predicted"), strict=True):
        axes.set_ylabel(name)
    shown = zip(("unknown", *names), PALETTE, strict=False)
    handles = [figure.axes[0].scatter([], [], color=c, marker="s", label=n) for n, c in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names) + 1, frameon=False, fontsize=8)
    save(figure, path)


def frechet_bars(path: Path, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Fréchet distance of each pair with its interval, on a logarithmic axis."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    names = [f"{c['candidate']} against {c['reference']}".replace("_", " ") for c in comparisons]
    values = [c["frechet"]["value"] for c in comparisons]
    floor = max(min(values) / 5, 1e-3)
    ends = [[max(c["frechet"][e], floor) for c in comparisons] for e in ("low", "high")]
    colours = [PALETTE[2] if c["candidate"] == "synthetic" else PALETTE[1] for c in comparisons]
    places = np.arange(len(names))
    axes.barh(places, values, color=colours, height=0.6)
    axes.hlines(places, ends[0], ends[1], color="black", linewidth=1.2)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=floor)
    axes.set_xlabel(f"squared Fréchet distance of features, {comparisons[0]['tiles']} tiles a set (lower is nearer)")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def principal_plane(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and the two directions (2, d) of greatest variance of (n, d); each points to its largest entry."""
    mean = features.mean(axis=0)
    axes = np.linalg.svd(features - mean, full_matrices=False)[2][:2]
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return mean, axes * np.sign(largest)[:, None]


def scatter(path: Path, sets: Mapping[str, NDArray[np.float64]], basis: NDArray[np.float64]) -> None:
    """Each set's features (n, d) in the principal plane of `basis` (m, d)."""
    mean, directions = principal_plane(basis)
    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    axes = figure.subplots()
    for (name, features), colour, marker in zip(sets.items(), PALETTE[1:], "o^sDvPX", strict=False):
        x, y = ((features - mean) @ directions.T).T
        axes.scatter(x, y, s=16, alpha=0.7, color=colour, marker=marker, label=name.replace("_", " "), linewidths=0)
    axes.set_xlabel("first principal direction of real features")
    axes.set_ylabel("second")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def steering_bars(path: Path, synthetic: Mapping[str, Any], real: Mapping[str, Any]) -> None:
    """Mean IoU with own and with shuffled masks, synthetic and real, with intervals and the classes as dots."""
    figure = Figure(figsize=(6.2, 3.8), layout="constrained")
    axes = figure.subplots()
    bars = [(f"{name}\n{kind}", block, kind) for name, block in (("synthetic", synthetic), ("real held-out", real))
            for kind in ("own", "shuffled")]  # fmt: skip
    for place, (_, block, kind) in enumerate(bars):
        mean = block[kind]["value" if kind == "own" else "mean"]
        if mean is None:
            continue
        axes.bar(
            place, mean, width=0.6, color=PALETTE[2] if place < 2 else PALETTE[1], alpha=1 if kind == "own" else 0.5
        )
        axes.vlines(place, block[kind]["low"], block[kind]["high"], color="black", linewidth=1.2)
        dots = [v for v in block[f"{kind}_iou"].values() if v is not None]
        axes.scatter([place + 0.18] * len(dots), dots, s=10, color="black", alpha=0.6, linewidths=0)
    axes.set_xticks(range(len(bars)), [f"{name} masks" for name, _, _ in bars])
    axes.set_ylabel("segmenter's mean IoU (dots: classes)")
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def gallery(path: Path, rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> None:
    """Rows of tiles (c, y, x): a synthetic tile, then its nearest training tiles; each row with its caption."""
    across = max(len(tiles) for _, tiles in rows)
    figure = Figure(figsize=(1.5 * across + 1.2, 1.5 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), across, squeeze=False)
    for line, (caption, tiles) in zip(grid, rows, strict=True):
        line[0].set_ylabel(caption, fontsize=7)
        for axes, tile in zip(line, tiles, strict=False):
            axes.imshow(np.moveaxis(tile, 0, -1))
    for axes in grid.ravel():
        _bare(axes)
    grid[0, 0].set_title("synthetic", fontsize=8)
    for rank, axes in enumerate(grid[0, 1:], start=1):
        axes.set_title(f"training, nearest {rank}", fontsize=8)
    save(figure, path)
