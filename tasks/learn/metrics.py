"""Classification and segmentation metrics from confusion counts, and their mean over folds with intervals.

Rules where a quotient is 0/0: precision without predictions and recall without truth are undefined (None); F1
is undefined for a class with neither; IoU and Dice of a class with neither are 1, for nothing was missed and
nothing invented. Balanced accuracy averages the recalls that are defined.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Counts = NDArray[np.int64]
Value = float | None

RULES = {
    "precision, recall, f1": "null where 0/0",
    "iou, dice": "1 where the class is neither in the truth nor predicted",
    "balanced_accuracy": "mean of the recalls that are defined",
    "interval": "Student's t over the folds' values, cut to the metric's range: [0, 1], for support from 0 on",
    "interval of validation": "each fold's model on that fold's own groups; folds share training tiles: approximate",
    "interval of test": (
        "spread of the folds' models on the same held-out groups: what another training set of this kind would "
        "change, and nothing about other groups; no interval of the population"
    ),
    "pixels": "a segmentation is counted at the tiles' stored size; probabilities are brought there bilinearly",
    "tile means": "over all tiles, empty ones too; predicting no foreground gives the same baseline for IoU and Dice",
}

OPEN_ENDED = frozenset({"support"})
"""Metrics that count; the others are fractions."""


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Counts:
    """Counts (classes, classes): rows are the truth, columns the prediction. Raises `ValueError` for indices
    outside the classes."""
    t, p = truth.reshape(-1).astype(np.int64), predicted.reshape(-1).astype(np.int64)
    if t.size and (min(t.min(), p.min()) < 0 or max(t.max(), p.max()) >= classes):
        raise ValueError(f"class index outside 0..{classes - 1}")
    return np.bincount(t * classes + p, minlength=classes * classes).reshape(classes, classes)


def _quotient(top: float, bottom: float, empty: Value) -> Value:
    return float(top) / float(bottom) if bottom else empty


def counts_of(matrix: Counts, k: int) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of class `k`."""
    hit = int(matrix[k, k])
    return hit, int(matrix[:, k].sum()) - hit, int(matrix[k].sum()) - hit


def iou(hit: int, false_alarm: int, miss: int) -> float:
    """Intersection over union (Jaccard) of one class; 1 where both sides are empty."""
    return float(_quotient(hit, hit + false_alarm + miss, 1.0) or 0.0)


def dice(hit: int, false_alarm: int, miss: int) -> float:
    """Dice coefficient of one class; 1 where both sides are empty."""
    return float(_quotient(2 * hit, 2 * hit + false_alarm + miss, 1.0) or 0.0)


def accuracy(matrix: Counts) -> Value:
    """Fraction of the counts on the diagonal; None of nothing."""
    return _quotient(np.trace(matrix), matrix.sum(), None)


def balanced_accuracy(matrix: Counts) -> Value:
    """Mean recall over the classes that occur in the truth; None of nothing."""
    recalls = [matrix[k, k] / matrix[k].sum() for k in range(len(matrix)) if matrix[k].sum()]
    return float(np.mean(recalls)) if recalls else None


def majority(matrix: Counts) -> Value:
    """Accuracy of always naming the most frequent true class: the baseline of no learning."""
    return _quotient(matrix.sum(axis=1).max(), matrix.sum(), None)


def per_class(matrix: Counts, classes: Sequence[str]) -> dict[str, dict[str, Value]]:
    """Precision, recall, F1, IoU, Dice and support (true places) of each class."""
    out: dict[str, dict[str, Value]] = {}
    for k, name in enumerate(classes):
        hit, false_alarm, miss = counts_of(matrix, k)
        out[name] = {
            "precision": _quotient(hit, hit + false_alarm, None),
            "recall": _quotient(hit, hit + miss, None),
            "f1": _quotient(2 * hit, 2 * hit + false_alarm + miss, None),
            "iou": iou(hit, false_alarm, miss),
            "dice": dice(hit, false_alarm, miss),
            "support": float(hit + miss),
        }
    return out


def spread(values: Sequence[float], confidence: float, most: float = 1.0) -> dict[str, Value]:
    """Mean, sample standard deviation and Student-t interval of `values` in [0, most]; None where fewer than two
    define it. The interval is cut to that range (a logit has no value at 0 and 1, which folds do reach)."""
    n = len(values)
    mean = float(np.mean(values)) if n else None
    if mean is None or n < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None, "n": float(n)}
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * sd / float(np.sqrt(n))
    return {"mean": mean, "sd": sd, "low": max(mean - half, 0.0), "high": min(mean + half, most), "n": float(n)}


def summary(folds: Sequence[Mapping[str, Value]], confidence: float) -> dict[str, dict[str, Value]]:
    """`spread` of each metric over the folds that define it."""
    names = sorted({name for fold in folds for name in fold})
    most = {n: float("inf") if n in OPEN_ENDED else 1.0 for n in names}
    return {n: spread([v for f in folds if (v := f.get(n)) is not None], confidence, most[n]) for n in names}
