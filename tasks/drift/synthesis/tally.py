"""Counts per model, condition and group as one array, the metric of any of them, and resampling of groups.

The main metric is accuracy (hits over tiles) or IoU (hits over hits, false alarms and misses, pooled over tiles, mean
of the foreground classes; 1 where a class is neither there nor named). Of several folds it is the folds' mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import rng
from tasks.drift.synthesis.score import Condition
from tasks.learn.metrics import Value, spread
from tasks.learn.params import TaskParams, foreground

Numbers = NDArray[np.float64]
Cell = dict[str, Value]


@dataclass(frozen=True)
class Tally:
    """Numerators and denominators of the metric, (rows, members, conditions, groups, classes) float64, and which
    member was scored on which group, (members, groups) bool. Classes is 1 of a classification."""

    rows: tuple[str, ...]
    members: tuple[str, ...]
    conditions: tuple[Condition, ...]
    groups: tuple[str, ...]
    tiles: int
    above: Numbers
    below: Numbers
    seen: NDArray[np.bool_]
    of_nothing: float
    """The metric where the denominator is 0."""

    def pick(self, conditions: Sequence[Condition]) -> "Tally":
        """The same of some conditions, in their order."""
        at = [self.conditions.index(c) for c in conditions]
        above, below = self.above[:, :, at], self.below[:, :, at]
        return Tally(
            self.rows,
            self.members,
            tuple(conditions),
            self.groups,
            self.tiles,
            above,
            below,
            self.seen,
            self.of_nothing,
        )

    def of_members(self) -> Numbers:
        """The metric of each member on all its groups, (rows, members, conditions)."""
        return self._metric(self.above.sum(axis=3), self.below.sum(axis=3))

    def resampled(self, resamples: int, seed: int) -> Numbers:
        """The members' mean under `resamples` draws of the groups with replacement, (resamples, rows, conditions).

        All cells see the same draws, so that differences are paired. A fold of which a draw holds no group has no say
        in it. Keyed by `seed` alone.
        """
        count = len(self.groups)
        drawn = rng.generator(seed, "groups", "bootstrap").multinomial(count, [1 / count] * count, resamples)
        total, voters = np.zeros((resamples, *self.above.shape[0:3:2])), np.zeros((resamples, 1, 1))
        for m in range(len(self.members)):
            votes = (drawn @ self.seen[m] > 0)[:, None, None]
            sums = (
                np.tensordot(drawn.astype(np.float64), part[:, m], axes=(1, 2)) for part in (self.above, self.below)
            )
            total += np.where(votes, self._metric(*sums), 0.0)
            voters += votes
        return np.asarray(total / voters)

    def _metric(self, above: Numbers, below: Numbers) -> Numbers:
        shares = np.where(below > 0, above / np.maximum(below, 1), self.of_nothing)
        return np.asarray(shares.mean(axis=-1))


def tally(table: pd.DataFrame, params: TaskParams, rows: Sequence[str], conditions: Sequence[Condition]) -> Tally:
    """The counts in `table` (as `tasks.drift.synthesis.score.score_table` writes it, of one role)."""
    members, groups = (tuple(sorted(set(table[name]))) for name in ("member", "group"))
    axes = (tuple(rows), members, tuple(conditions), groups)
    asked = list(zip(table["kind"], table["condition"], table["severity"], strict=True))
    number = {(c.kind, c.name, c.severity): i for i, c in enumerate(conditions)}
    where = np.array([number.get((str(k), str(n), int(s)), -1) for k, n, s in asked], np.int64)
    used = table[where >= 0]
    places = [pd.Index(a).get_indexer(used[n]) for a, n in zip(axes[:2], ("data_model", "member"), strict=True)]
    at = (*places, where[where >= 0], pd.Index(groups).get_indexer(used["group"]))
    above, below = _sums(used, params, at, tuple(len(a) for a in axes))
    seen = np.zeros((len(members), len(groups)), bool)
    seen[at[1], at[3]] = True
    nothing = float("nan") if params.task == "classification" else 1.0
    return Tally(*axes, int(used["tile_id"].nunique()), above, below, seen, nothing)


def _sums(
    used: pd.DataFrame, params: TaskParams, at: tuple[NDArray[np.int64], ...], shape: tuple[int, ...]
) -> tuple[Numbers, Numbers]:
    names = [params.classes[k] for k in foreground(params.task, params.classes)]
    hit, alarm, miss = (
        used[[f"{what}_{n}" for n in names]].to_numpy(np.float64) for what in ("hit", "false_alarm", "miss")
    )
    if params.task == "classification":
        parts = hit.sum(axis=1, keepdims=True), (hit + miss).sum(axis=1, keepdims=True)
    else:
        parts = hit, hit + alarm + miss
    sums = tuple(np.zeros((*shape, parts[0].shape[1])) for _ in parts)
    for total, part in zip(sums, parts, strict=True):
        np.add.at(total, at, part)
    return sums[0], sums[1]


def difference(values: Sequence[float], confidence: float) -> Cell:
    """The spread of paired differences of two shares, which lie in [-1, 1]."""
    return spread(values, confidence, 1.0, -1.0)


def percentile(value: float, draws: Numbers, groups: int, confidence: float) -> Cell:
    """A value with the percentile interval of its resamples over `groups`; without one where there is one group."""
    if groups < 2:
        return {"mean": float(value), "sd": None, "low": None, "high": None, "n": float(groups)}
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"mean": float(value), "sd": None, "low": float(low), "high": float(high), "n": float(groups)}


def best_shares(draws: Numbers) -> Numbers:
    """Share of the resamples (resamples, rows, conditions) in which each row is best, (rows, conditions); rows that
    share the best value share the resample."""
    best = draws >= draws.max(axis=1, keepdims=True) - 1e-12
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))


def ratio(above: Numbers, below: Numbers, value: Value, confidence: float) -> Cell:
    """The percentile interval of `above / below` (resamples,). An end is null where the resamples do not bound it:
    where the divisor is 0 or less, the quotient says nothing about how many times more."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = above / below
    lows = np.where(below > 0, quotients, np.where(above > 0, np.inf, -np.inf))
    highs = np.where(below > 0, quotients, np.inf)
    ends = [
        float(np.quantile(part, share, method="inverted_cdf"))
        for part, share in ((lows, (1 - confidence) / 2), (highs, (1 + confidence) / 2))
    ]
    return {"value": value, **{n: e if np.isfinite(e) else None for n, e in zip(("low", "high"), ends, strict=True)}}
