"""Figures of a trained task model, as PNG whose bytes depend on the numbers alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.figures import blank, save

TRUTH_COLOUR, PREDICTION_COLOUR = "#00E5FF", "#FF3D00"


def confusion_matrix(path: Path, matrix: NDArray[np.int64], classes: Sequence[str], title: str) -> Path:
    """Counts (k, k) as numbers over the row-wise fractions (recall on the diagonal) as shades."""
    side = 1.8 + 0.5 * len(classes)
    figure = blank(side + 1.2, side)
    axes = figure.subplots()
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        shade = "white" if fractions[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=shade, fontsize=8)
    axes.set_xticks(range(len(classes)), list(classes), rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), list(classes))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="fraction of the true class")
    return save(figure, path)


def overlays(
    path: Path, views: NDArray[np.float32], truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]
) -> Path:
    """Views (n, 3, y, x) in [0, 1] with the outlines of the true and predicted foreground (n, y, x), and names."""
    columns = min(len(views), 3)
    rows = -(-len(views) // columns)
    figure = blank(3 * columns, 3.3 * rows)
    grid = np.asarray(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for axes in grid:
        axes.set_axis_off()
    for axes, view, true, guess, name in zip(grid, views, truth, predicted, names, strict=False):
        axes.imshow(np.clip(view, 0, 1).transpose(1, 2, 0))
        _outline(axes, true > 0, TRUTH_COLOUR)
        _outline(axes, guess > 0, PREDICTION_COLOUR)
        axes.set_title(name, fontsize=8)
    figure.suptitle("true (cyan) and predicted (red) outlines", fontsize=10)
    return save(figure, path)


def _outline(axes: Any, mask: NDArray[np.bool_], colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], colors=[colour], linewidths=1.2)


def learning_curves(path: Path, history: Sequence[tuple[str, int, str, float]], metric: str) -> Path:
    """Training loss and the validation `metric` of each fold over epochs; rows are (fold, epoch, metric, value)."""
    figure = blank(8, 3.2)
    left, right = figure.subplots(1, 2)
    for axes, name in ((left, "train_loss"), (right, f"validation_{metric}")):
        for fold in sorted({row[0] for row in history}):
            points = [(step, value) for f, step, m, value in history if f == fold and m == name]
            axes.plot([p[0] for p in points], [p[1] for p in points], label=fold)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
    left.legend(fontsize=7)
    return save(figure, path)
