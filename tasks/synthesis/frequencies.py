"""Label frequencies of masks and how far two sets of masks are apart (thesis A, fig. 5.7).

The unit that is resampled is a mask: pixels of one mask depend on each other. Masks cut from one slide may overlap, so
that intervals tell how well the slide's frequencies are known, not those of other slides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.rng import generator

Shares = NDArray[np.float64]
"""Fraction of each label in each mask, (mask, classes + 1), unknown first; rows sum to 1."""


@dataclass(frozen=True)
class Compared:
    """Label frequencies of real and generated masks."""

    real: Shares
    real_interval: Shares
    """(2, classes + 1)"""
    generated: Shares
    generated_interval: Shares
    distance: float
    """Total variation between the two, in [0, 1]."""
    chance: float
    """What it stays below, with the stated confidence, where both sets are of one law."""


def shares(masks: Sequence[NDArray[np.uint8]], classes: int) -> Shares:
    """Fractions of each label in each mask."""
    counts = [np.bincount(mask.ravel(), minlength=classes + 1) / mask.size for mask in masks]
    return np.asarray(counts, np.float64).reshape(len(masks), classes + 1)


def total_variation(one: Shares, other: Shares) -> float:
    """Half the sum of absolute differences: the largest difference in probability of any set of labels."""
    return float(np.abs(one - other).sum() / 2)


def compare(real: Shares, generated: Shares, draws: int, confidence: float, seed: int, name: str) -> Compared:
    """Both frequencies with percentile intervals of the bootstrap, their distance, and that of permuted masks."""
    draw = generator(seed, name, "frequencies")
    pool, own = np.concatenate([real, generated]), len(real)
    apart = np.empty(draws)
    for k in range(draws):
        rows = draw.permutation(len(pool))
        apart[k] = total_variation(pool[rows[:own]].mean(0), pool[rows[own:]].mean(0))
    return Compared(
        real.mean(0),
        _interval(real, draws, confidence, draw),
        generated.mean(0),
        _interval(generated, draws, confidence, draw),
        total_variation(real.mean(0), generated.mean(0)),
        float(np.quantile(apart, confidence)),
    )


def _interval(found: Shares, draws: int, confidence: float, draw: np.random.Generator) -> Shares:
    means = np.stack([found[draw.integers(len(found), size=len(found))].mean(0) for _ in range(draws)])
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(means, [tail, 1 - tail], axis=0))


def table(compared: dict[str, Compared], labels: Sequence[str]) -> pd.DataFrame:
    """One row a set of masks and label: `masks`, `label`, and both frequencies with their intervals."""
    rows = [
        {
            "masks": name,
            "label": label,
            "real": found.real[k],
            "real_low": found.real_interval[0, k],
            "real_high": found.real_interval[1, k],
            "generated": found.generated[k],
            "generated_low": found.generated_interval[0, k],
            "generated_high": found.generated_interval[1, k],
        }
        for name, found in compared.items()
        for k, label in enumerate(labels)
    ]
    return pd.DataFrame(rows)


def metrics(compared: dict[str, Compared], labels: Sequence[str]) -> dict[str, float]:
    """Distances, what chance makes of them, and frequencies, by the name of the set of masks."""
    found: dict[str, float] = {}
    for name, each in compared.items():
        found[f"label_distance_{name}"] = each.distance
        found[f"label_distance_{name}_chance"] = each.chance
        for k, label in enumerate(labels):
            found[f"label_fraction_{name}_{label}_real"] = float(each.real[k])
            found[f"label_fraction_{name}_{label}_generated"] = float(each.generated[k])
    return found
