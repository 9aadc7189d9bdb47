"""Intervals and p-values by resampling, with every draw keyed by tasks.rng.

Two ways. The bootstrap resamples with replacement: right for sums over samples (IoU). Statistics built on
nearest neighbours or covariances must not see a point twice (a copy has distance 0 to itself), so they get
half-sampling without replacement: the delete-d jackknife with d = n/2 (Shao and Wu, Annals of Statistics
1989), whose spread at half the size equals the spread at full size for smooth statistics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.rng import generator

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `value` stands between `low` and `high` unless the statistic is biased."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float | None]:
        """For JSON: NaN (undefined) becomes null."""
        pairs = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(x) else float(x) for name, x in pairs.items()}


def _tails(values: Numbers, confidence: float) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap(
    statistic: Callable[[Rows], float], n: int, draws: int, confidence: float, seed: int, item: str
) -> Estimate:
    """Percentile interval of `statistic(rows)` over `draws` resamples, with replacement, of n rows."""
    rng = generator(seed, item, "bootstrap")
    values = np.array([statistic(rng.integers(0, n, n)) for _ in range(draws)])
    return Estimate(statistic(np.arange(n)), *_tails(values, confidence))


def _half(members: Rows, rng: np.random.Generator) -> Rows:
    """Rows of a random half of the groups; `members` (n,) numbers them 0, 1, ... without gaps."""
    count = int(members.max()) + 1
    kept = np.zeros(count, bool)
    kept[rng.permutation(count)[: (count + 1) // 2]] = True
    return np.flatnonzero(kept[members])


def half_sampling(
    statistic: Callable[[Rows, Rows], Sequence[float]],
    groups: tuple[Rows, Rows],
    draws: int,
    confidence: float,
    seed: int,
    item: str,
) -> list[Estimate]:
    """Intervals of the numbers that `statistic(rows_a, rows_b)` gives, over random halves of the groups.

    `groups` holds a group number for each row of the two sets (n,), (m,): rows that depend on each other
    (tiles of one canvas) share one and are drawn together. The interval is the value plus the deviations of
    the halves from their own mean, so that a bias that grows as n shrinks (Fréchet) does not shift it.
    """
    rng = generator(seed, item, "half-sampling")
    whole = statistic(np.arange(len(groups[0])), np.arange(len(groups[1])))
    ours, theirs = (np.unique(g, return_inverse=True)[1] for g in groups)
    halves = np.array([statistic(_half(ours, rng), _half(theirs, rng)) for _ in range(draws)])
    estimates = []
    for value, column in zip(whole, halves.T, strict=True):
        low, high = _tails(column - np.nanmean(column), confidence)
        estimates.append(Estimate(value, value + low, value + high))
    return estimates


@dataclass(frozen=True)
class Permutation:
    """An observed number among those of random permutations: their mean, interval, and the one-sided p-value."""

    observed: float
    mean: float
    low: float
    high: float
    p_value: float

    def document(self) -> dict[str, Any]:
        """For JSON: NaN (undefined) becomes null."""
        return {k: None if np.isnan(v) else float(v) for k, v in vars(self).items()}


def permutation_test(
    statistic: Callable[[Rows], float], n: int, draws: int, confidence: float, seed: int, item: str
) -> Permutation:
    """Is `statistic(identity)` larger than under random permutations of n >= 2 partners?

    p = (1 + number of permutations that reach the observed value) / (1 + draws) (Phipson and Smyth 2010),
    never 0. The identity itself is not drawn: a partner that all keep says nothing.
    """
    if n < 2:
        raise ValueError(f"{n} samples cannot be shuffled")
    rng = generator(seed, item, "permutation")
    identity = np.arange(n)
    values = np.array([statistic(_shuffle(n, rng)) for _ in range(draws)])
    observed = statistic(identity)
    p_value = float("nan") if np.isnan(observed) else (1 + int((values >= observed).sum())) / (1 + draws)
    return Permutation(observed, float(np.nanmean(values)), *_tails(values, confidence), p_value)


def _shuffle(n: int, rng: np.random.Generator) -> Rows:
    while True:
        order = rng.permutation(n)
        if not np.array_equal(order, np.arange(n)):
            return order
