"""How task models do under a setting of the data model, by groups of tiles, and how sure that is.

Intervals are over the folds' models where there are several, and over groups of tiles (smear, frame, slide) where
there is one model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from tasks import rng
from tasks.drift import metric, statistics
from tasks.drift.models import TaskPart
from tasks.drift.mosaics import Mosaics, examples
from tasks.drift.statistics import Numbers, Sampled
from tasks.isp.parametrised import Parametrised
from tasks.learn import metrics, scores
from tasks.learn.data import Classes, Examples, WholeMasks
from tasks.learn.params import TaskParams, foreground

Cell = statistics.Cell
main_value = metric.main_value


def parts_of(matrix: metrics.Counts, task: TaskParams) -> NDArray[np.int64]:
    """Hits, false alarms and misses (c, 3) of the classes that are scored, from confusion counts (k, k)."""
    return np.array([metrics.counts_of(matrix, k) for k in foreground(task.task, task.classes)], dtype=np.int64)


@dataclass(frozen=True)
class Tally:
    """One model on some tiles, by their groups: `parts` (g, c, 3), `squares` (g,): the sum over tiles of the mean
    squared change of their views from theta-stat's, `tiles` (g,)."""

    groups: tuple[str, ...]
    parts: NDArray[np.int64]
    squares: Numbers
    tiles: NDArray[np.int64]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        arrays = {"parts": self.parts.tolist(), "squares": self.squares.tolist(), "tiles": self.tiles.tolist()}
        return {"groups": list(self.groups), **arrays}


def tally_of(document: Mapping[str, Any]) -> Tally:
    """The inverse of `Tally.document`."""
    parts, tiles = (np.asarray(document[name], dtype=np.int64) for name in ("parts", "tiles"))
    return Tally(tuple(document["groups"]), parts, np.asarray(document["squares"], dtype=np.float64), tiles)


@dataclass(frozen=True)
class HeldMasks(WholeMasks):
    """Masks that are read once: the same tiles are scored under many settings."""

    held: dict[int, Classes] = field(default_factory=dict)

    def __getitem__(self, at: int) -> Classes:
        if at not in self.held:
            self.held[at] = super().__getitem__(at)
        return self.held[at]


@dataclass(frozen=True)
class Bench:
    """Task models by member, each with the rows of `mosaics` that it is measured on; `still` are the views
    (n, 3, y, x) under theta-stat."""

    task: TaskParams
    mosaics: Mosaics
    networks: Mapping[str, nn.Module]
    rows: Mapping[str, Sequence[int]]
    still: NDArray[np.float32]
    whole: Mapping[str, HeldMasks | None]

    def tallies(self, model: Parametrised) -> dict[str, Tally]:
        """Each member on the views of its tiles through `model` as it is; a tile is developed once for all."""
        seen = examples(model, self.mosaics, self.task)
        pairs = zip(seen.views.base, self.still, strict=True)
        squares = np.array([np.square(view - still).mean() for view, still in pairs], dtype=np.float64)
        return {member: self._tally(member, seen, squares) for member in self.networks}

    def _tally(self, member: str, seen: Examples, squares: Numbers) -> Tally:
        rows = list(self.rows[member])
        tiles = seen.pick(rows)
        tiles = Examples(tiles.ids, tiles.views, tiles.truth, self.whole[member])
        counts, _ = scores.tile_counts(self.networks[member], tiles, self.task)
        groups = [self.mosaics.groups[i] for i in rows]
        names, which = np.unique(groups, return_inverse=True)
        parts = [parts_of(counts[which == g].sum(axis=0), self.task) for g in range(len(names))]
        sums = np.bincount(which, weights=squares[rows]).astype(np.float64)
        return Tally(tuple(map(str, names)), np.stack(parts), sums, np.bincount(which))


def bench(
    task: TaskParams, mosaics: Mosaics, model: Parametrised, networks: Mapping[str, nn.Module], rows: TaskPart
) -> Bench:
    """A bench over those tiles of `mosaics` that some member is measured on; `model` is at theta-stat."""
    used = sorted({i for member in networks for i in rows[member]})
    at = {row: place for place, row in enumerate(used)}
    own = mosaics.pick(used)
    places = {member: [at[i] for i in rows[member]] for member in networks}
    whole = {member: _held(own.pick(places[member]).whole) for member in networks}
    return Bench(task, own, networks, places, examples(model, own, task).views.base, whole)


def _held(masks: WholeMasks | None) -> HeldMasks | None:
    return None if masks is None else HeldMasks(masks.raw, masks.rows)


@dataclass(frozen=True)
class Judge:
    """Turns tallies of all members into figures with intervals."""

    task: TaskParams
    confidence: float

    def value(self, tally: Tally) -> float:
        return float(main_value(tally.parts.sum(axis=0), self.task))

    def metric(self, tallies: Mapping[str, Tally]) -> Cell:
        """The main metric with its interval."""
        return statistics.interval(self._over(tallies, self._values), self.confidence)

    def l2(self, tallies: Mapping[str, Tally]) -> Cell:
        """The mean squared change of a display value (full scale 1), likewise."""
        return statistics.interval(self._over(tallies, _changes), self.confidence)

    def mean_loss(self, before: Mapping[str, Tally], after: Mapping[str, Tally]) -> float:
        """How much of the main metric is lost, a mean over the members."""
        return float(np.mean([self.value(before[m]) - self.value(after[m]) for m in before]))

    def loss(self, before: Mapping[str, Tally], after: Mapping[str, Tally]) -> Cell:
        """`value`, `low` and `high` of the loss, paired: by member, or by group of the one member."""
        first, last = (self._over(tallies, self._values) for tallies in (before, after))
        lost = replace(first, estimate=first.estimate - last.estimate, values=first.values - last.values)
        cell = statistics.difference(lost, self.confidence)
        return {"value": self.mean_loss(before, after), "low": cell["low"], "high": cell["high"]}

    def _over(self, tallies: Mapping[str, Tally], what: Callable[[Tally], tuple[float, Numbers]]) -> Sampled:
        """`what` a tally has, whole and without each group: over the members, or the groups of the one member."""
        if len(tallies) > 1:
            return statistics.folds([what(tally)[0] for tally in tallies.values()])
        (only,) = tallies.values()
        return statistics.groups(*what(only))

    def _values(self, tally: Tally) -> tuple[float, Numbers]:
        return self.value(tally), main_value(_without_each(tally.parts), self.task)


def _changes(tally: Tally) -> tuple[float, Numbers]:
    without = _without_each(tally.squares) / np.maximum(_without_each(tally.tiles), 1)
    return float(tally.squares.sum() / tally.tiles.sum()), np.asarray(without)


def _without_each(values: NDArray[Any]) -> NDArray[Any]:
    """Sums of `values` (g, …) without each of the groups, (g, …)."""
    return np.asarray(values.sum(axis=0) - values)


def chosen(table: pd.DataFrame, truth: Classes, rows: Sequence[int], most: int | None, seed: int) -> list[int]:
    """At most `most` of `rows`, class by class in turn, so that each has alike many; sorted.

    The class of a segmentation's tile is whether it has any foreground. Which tiles of a class come first depends on
    (seed, tile) alone.
    """
    if most is None or most >= len(rows):
        return sorted(rows)
    kinds = truth if truth.ndim == 1 else np.asarray((truth > 0).any(axis=(1, 2)), dtype=np.int64)
    drawn = sorted(rows, key=lambda i: rng.key(seed, str(table["tile_id"].iloc[i]), "searched"))
    turn: dict[int, int] = {}
    ranked = []
    for i in drawn:
        kind = int(kinds[i])
        ranked.append((turn.get(kind, 0), kind, i))
        turn[kind] = turn.get(kind, 0) + 1
    return sorted(i for _, _, i in sorted(ranked)[:most])
