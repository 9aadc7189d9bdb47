"""The main metric of the drift controls from hits, false alarms and misses of any tiles, models and settings at once.

It is accuracy (hits over tiles) or IoU (hits over hits, false alarms and misses, pooled over tiles, mean of the
foreground classes; 1 where a class is neither there nor named).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.learn.params import TaskParams

Numbers = NDArray[np.float64]


def fraction(parts: NDArray[Any], task: TaskParams) -> tuple[Numbers, Numbers]:
    """Numerators and denominators (…, classes) of the metric from `parts` (…, c, 3): hits, false alarms, misses.
    Both add up over tiles. Classes is 1 of a classification."""
    hit, alarm, miss = (parts[..., i].astype(np.float64) for i in range(3))
    if task.task == "classification":
        return hit.sum(axis=-1, keepdims=True), (hit + miss).sum(axis=-1, keepdims=True)
    return hit, hit + alarm + miss


def of_nothing(task: TaskParams) -> float:
    """The metric of a class where the denominator is 0."""
    return float("nan") if task.task == "classification" else 1.0


def share(above: Numbers, below: Numbers, empty: float) -> Numbers:
    """The mean (…) over classes of `above` / `below` (…, classes); `empty` where the denominator is 0."""
    return np.asarray(np.where(below > 0, above / np.maximum(below, 1), empty).mean(axis=-1))


def main_value(parts: NDArray[Any], task: TaskParams) -> Numbers:
    """The metric (…) of `parts` (…, c, 3), in [0, 1]."""
    return share(*fraction(parts, task), of_nothing(task))
