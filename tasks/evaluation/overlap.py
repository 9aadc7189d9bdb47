"""Agreement of two label images: confusion counts, IoU and Dice, with what holds on empty classes.

Class 0 of the truth is unknown: its pixels count nowhere, neither as hits nor as misses. A class that
neither image shows has no IoU (NaN), not 0 or 1. The mean is over the classes that the truth shows; where it
shows none, the mean is NaN.
"""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Pixel counts (classes, classes), truth by rows, of labels 1..classes; unknown truth is left out.

    `truth` and `predicted` have one shape. Raises `ValueError` on a label outside 0..classes in the truth or
    outside 1..classes in the prediction.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"shapes {truth.shape} and {predicted.shape} differ")
    known = truth > 0
    t, p = truth[known].astype(np.int64) - 1, predicted[known].astype(np.int64) - 1
    if len(t) and (t.max() >= classes or p.max() >= classes or p.min() < 0):
        raise ValueError(f"labels beyond 1..{classes}")
    return np.bincount(t * classes + p, minlength=classes * classes).reshape(classes, classes)


def _margins(counts: Counts) -> tuple[Shares, Shares, Shares]:
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    return hits, counts.sum(axis=-1).astype(np.float64), counts.sum(axis=-2).astype(np.float64)


def iou(counts: Counts) -> Shares:
    """Intersection over union of each class (..., classes) in [0, 1]; NaN where the union is empty."""
    hits, truth, predicted = _margins(counts)
    union = truth + predicted - hits
    return np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)


def dice(counts: Counts) -> Shares:
    """2 |A and B| / (|A| + |B|) of each class (..., classes) in [0, 1]; NaN where both are empty."""
    hits, truth, predicted = _margins(counts)
    both = truth + predicted
    return np.divide(2 * hits, both, out=np.full_like(hits, np.nan), where=both > 0)


def mean_iou(counts: Counts) -> float:
    """Mean IoU over the classes that the truth shows, in [0, 1]; NaN where it shows none."""
    present = counts.sum(axis=-1) > 0
    return float(iou(counts)[present].mean()) if present.any() else float("nan")
