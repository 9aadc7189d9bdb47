"""How task models do under a setting of the data model, by groups of tiles, and how sure that is.

The unit that is resampled or counted is a fold's model where there are several, and a group of tiles (smear, frame,
slide) where there is one model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from tasks import rng
from tasks.drift.models import TaskPart
from tasks.drift.mosaics import Mosaics, examples
from tasks.isp.parametrised import Parametrised
from tasks.learn import metrics, scores
from tasks.learn.data import Classes, Examples, WholeMasks
from tasks.learn.params import TaskParams, foreground

Floats = NDArray[np.float64]
Cell = dict[str, float | None]


def parts_of(matrix: metrics.Counts, task: TaskParams) -> NDArray[np.int64]:
    """Hits, false alarms and misses (c, 3) of the classes that are scored, from confusion counts (k, k)."""
    return np.array([metrics.counts_of(matrix, k) for k in foreground(task.task, task.classes)], dtype=np.int64)


def main_value(parts: NDArray[Any], task: TaskParams) -> Floats:
    """The main metric (…) of `parts` (…, c, 3): accuracy, or IoU meant over the foreground classes (empty: 1)."""
    hit, false_alarm, miss = (parts[..., i].astype(np.float64) for i in range(3))
    if task.task == "classification":
        return np.asarray(hit.sum(-1) / np.maximum((hit + miss).sum(-1), 1))
    either = hit + false_alarm + miss
    return np.asarray(np.where(either > 0, hit / np.maximum(either, 1), 1.0).mean(-1))


@dataclass(frozen=True)
class Tally:
    """One model on some tiles, by their groups: `parts` (g, c, 3), `squares` (g,): the sum over tiles of the mean
    squared change of their views from theta-stat's, `tiles` (g,)."""

    groups: tuple[str, ...]
    parts: NDArray[np.int64]
    squares: Floats
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
        change = seen.views.base - self.still
        squares = np.square(change, out=change).reshape(len(change), -1).mean(axis=1).astype(np.float64)
        return {member: self._tally(member, seen, squares) for member in self.networks}

    def _tally(self, member: str, seen: Examples, squares: Floats) -> Tally:
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
    return Bench(task, own, networks, places, examples(model, own, task).views[:], whole)


def _held(masks: WholeMasks | None) -> HeldMasks | None:
    return None if masks is None else HeldMasks(masks.raw, masks.rows)


@dataclass(frozen=True)
class Judge:
    """Turns tallies of all members into figures with intervals."""

    task: TaskParams
    confidence: float
    resamples: int
    seed: int

    def metric(self, tallies: Mapping[str, Tally]) -> Cell:
        """The main metric: mean, sd and interval over the members, or of one member by the bootstrap over groups."""
        if len(tallies) > 1:
            return metrics.spread([self.value(t) for t in tallies.values()], self.confidence)
        (only,) = tallies.values()
        return self._cell(self.value(only), self._resampled(only), len(only.groups))

    def value(self, tally: Tally) -> float:
        return float(main_value(tally.parts.sum(axis=0), self.task))

    def l2(self, tallies: Mapping[str, Tally]) -> Cell:
        """The mean squared change of a display value (full scale 1), with its spread likewise."""
        if len(tallies) > 1:
            values = [float(t.squares.sum() / t.tiles.sum()) for t in tallies.values()]
            return metrics.spread(values, self.confidence)
        (only,) = tallies.values()
        weights = self._weights(len(only.groups))
        resampled = (weights @ only.squares) / (weights @ only.tiles)
        return self._cell(float(only.squares.sum() / only.tiles.sum()), resampled, len(only.groups))

    def mean_loss(self, before: Mapping[str, Tally], after: Mapping[str, Tally]) -> float:
        """How much of the main metric is lost, a mean over the members."""
        return float(np.mean([self.value(before[m]) - self.value(after[m]) for m in before]))

    def loss(self, before: Mapping[str, Tally], after: Mapping[str, Tally]) -> Cell:
        """`value`, `low` and `high` of the loss, paired: by member, or by group of the one member."""
        value = self.mean_loss(before, after)
        if len(before) > 1:
            low, high = self._student([self.value(before[m]) - self.value(after[m]) for m in before])
        else:
            (member,) = before
            resampled = self._resampled(before[member]) - self._resampled(after[member])
            low, high = self._limits(resampled, len(before[member].groups))
        return {"value": value, "low": low, "high": high}

    def _student(self, values: Sequence[float]) -> tuple[float | None, float | None]:
        n, mean = len(values), float(np.mean(values))
        half = float(stats.t.ppf(0.5 + self.confidence / 2, n - 1)) * float(np.std(values, ddof=1)) / n**0.5
        return mean - half, mean + half

    def _weights(self, groups: int) -> NDArray[np.int64]:
        """How often each group is drawn, (resamples, groups): the same draws for all that is compared."""
        drawn = rng.generator(self.seed, "groups", "bootstrap").integers(0, groups, (self.resamples, groups))
        return np.stack([(drawn == g).sum(axis=1) for g in range(groups)], axis=1)

    def _resampled(self, tally: Tally) -> Floats:
        weights = self._weights(len(tally.groups))
        return main_value(np.einsum("rg,gcp->rcp", weights, tally.parts), self.task)

    def _limits(self, values: Floats, groups: int) -> tuple[float | None, float | None]:
        if groups < 2:
            return None, None
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def _cell(self, mean: float, resampled: Floats, groups: int) -> Cell:
        low, high = self._limits(resampled, groups)
        sd = float(np.std(resampled, ddof=1)) if groups > 1 else None
        return {"mean": mean, "sd": sd, "low": low, "high": high, "n": float(groups)}


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
