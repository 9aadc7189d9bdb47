"""Counts per model, condition and group as one array, the metric of any of them, and resampling of groups.

The main metric is that of `tasks.drift.metric`; of several folds it is the folds' mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import rng
from tasks.drift.metric import Numbers, fraction, of_nothing, share
from tasks.drift.synthesis.score import COUNTED, Condition
from tasks.learn.params import TaskParams, foreground


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
        return share(self.above.sum(axis=3), self.below.sum(axis=3), self.of_nothing)

    def mean(self) -> Numbers:
        """The members' mean, (rows, conditions)."""
        return np.asarray(self.of_members().mean(axis=1))

    def without_each(self) -> Numbers:
        """The members' mean without each group in turn, (groups, rows, conditions): the jackknife. Without the one
        group there is nothing, and NaN."""
        if len(self.groups) < 2:
            return np.full((len(self.groups), len(self.rows), len(self.conditions)), np.nan)
        return self._weighted(1 - np.eye(len(self.groups)))

    def resampled(self, resamples: int, seed: int) -> Numbers:
        """The members' mean under `resamples` draws of the groups with replacement, (resamples, rows, conditions).

        All cells see the same draws, so that differences are paired. Keyed by `seed` alone.
        """
        count = len(self.groups)
        drawn = rng.generator(seed, "groups", "bootstrap").multinomial(count, [1 / count] * count, resamples)
        return self._weighted(drawn.astype(np.float64))

    def _weighted(self, weights: Numbers) -> Numbers:
        """The members' mean with groups weighted by `weights` (n, groups), (n, rows, conditions). A fold without a
        group of weight has no say."""
        total, voters = np.zeros((len(weights), *self.above.shape[0:3:2])), np.zeros((len(weights), 1, 1))
        for m in range(len(self.members)):
            votes = (weights @ self.seen[m] > 0)[:, None, None]
            above, below = (np.tensordot(weights, part[:, m], axes=(1, 2)) for part in (self.above, self.below))
            total += np.where(votes, share(above, below, self.of_nothing), 0.0)
            voters += votes
        return np.asarray(total / voters)


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
    return Tally(*axes, int(used["tile_id"].nunique()), above, below, seen, of_nothing(params))


def _sums(
    used: pd.DataFrame, params: TaskParams, at: tuple[NDArray[np.int64], ...], shape: tuple[int, ...]
) -> tuple[Numbers, Numbers]:
    names = [params.classes[k] for k in foreground(params.task, params.classes)]
    columns = [[f"{what}_{n}" for n in names] for what in COUNTED]
    parts = fraction(np.stack([used[c].to_numpy() for c in columns], axis=-1), params)
    sums = tuple(np.zeros((*shape, parts[0].shape[1])) for _ in parts)
    for total, part in zip(sums, parts, strict=True):
        np.add.at(total, at, part)
    return sums[0], sums[1]


def best_shares(draws: Numbers) -> Numbers:
    """Share of the resamples (resamples, rows, conditions) in which each row is best, (rows, conditions); rows that
    share the best value share the resample."""
    best = draws >= draws.max(axis=1, keepdims=True) - 1e-12
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))
