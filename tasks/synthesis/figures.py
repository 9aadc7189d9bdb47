"""Pictures of what was learnt and made: sheets of tiles side by side, and loss curves, as PNG with stable bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
GAP_PX = 4
PALETTE = np.array(
    [
        (224, 224, 224), (196, 61, 92), (71, 130, 180), (90, 90, 90), (233, 178, 60),
        (97, 160, 94), (142, 94, 162), (60, 175, 170), (200, 120, 60), (120, 120, 220),
    ],
    np.uint8,
)  # fmt: skip
"""Colours of class indices, 0 = unknown; they repeat, without the first, after the last."""


def coloured(mask: NDArray[np.uint8]) -> Picture:
    """A class mask (y, x) as a picture (3, y, x)."""
    index = np.where(mask == 0, 0, (mask.astype(np.int64) - 1) % (len(PALETTE) - 1) + 1)
    return np.moveaxis(PALETTE[index], -1, 0)


def sheet(rows: Sequence[Sequence[Picture]], path: Path) -> Path:
    """Write pictures (3, y, x) in rows, white between them, to a PNG; returns its path."""
    height = max(p.shape[1] for row in rows for p in row) + GAP_PX
    widths = [sum(p.shape[2] + GAP_PX for p in row) for row in rows]
    canvas = np.full((3, height * len(rows) + GAP_PX, max(widths) + GAP_PX), 255, np.uint8)
    for r, row in enumerate(rows):
        x = GAP_PX
        for p in row:
            y = GAP_PX + r * height
            canvas[:, y : y + p.shape[1], x : x + p.shape[2]] = p
            x += p.shape[2] + GAP_PX
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(np.moveaxis(canvas, 0, -1))).save(path, format="PNG")
    return path


def curve(points: Sequence[tuple[int, float]], label: str, path: Path) -> Path:
    """Write a curve over training steps to a PNG; returns its path."""
    figure = Figure(figsize=(6, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([step for step, _ in points], [value for _, value in points], color="#47688e")
    axes.set(xlabel="step", ylabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def frequencies(rows: pd.DataFrame, path: Path) -> Path:
    """Write bars of label frequencies, real beside generated, one panel a set of masks (thesis A, fig. 5.7), to a PNG.

    `rows` is of `tasks.synthesis.frequencies.table`; returns the path.
    """
    names = list(dict.fromkeys(rows["masks"]))
    figure = Figure(figsize=(3.4 * len(names) + 0.8, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        own = rows[rows["masks"] == name]
        for offset, kind, colour in ((-0.2, "real", "#47688e"), (0.2, "generated", "#e0913a")):
            value, low, high = (own[column].to_numpy() for column in (kind, f"{kind}_low", f"{kind}_high"))
            spread = np.clip([value - low, high - value], 0, None)
            axes.bar(np.arange(len(own)) + offset, value, 0.38, yerr=spread, capsize=2, color=colour, label=kind)
        axes.set_xticks(range(len(own)), list(own["label"]), rotation=30, ha="right")
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("fraction of pixels")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
