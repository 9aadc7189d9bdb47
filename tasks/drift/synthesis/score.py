"""Scoring one task model under many conditions: per tile the counts from which accuracy and IoU follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import nn

from tasks.drift.corruptions import IDENTITY, corrupt
from tasks.drift.params import ScoringParams
from tasks.drift.synthesis.inputs import Inputs
from tasks.learn.data import Classes, Floats, resize_views
from tasks.learn.params import TaskParams, foreground
from tasks.learn.predict import probabilities
from tasks.learn.scores import at_size

Counts = NDArray[np.int64]
COUNTED = ("hit", "false_alarm", "miss")
CHUNK = 64
"""Tiles held in memory at once, a multiple of `tasks.learn.predict.BATCH`."""


@dataclass(frozen=True)
class Condition:
    """What a view went through: a data model alone (severity 0), or a corruption after one."""

    kind: str
    name: str
    severity: int


def data_models(params: ScoringParams) -> list[Condition]:
    return [Condition("data_model", name, 0) for name in params.data_models]


def corruptions(params: ScoringParams) -> list[Condition]:
    """Identity, then each corruption at each severity."""
    made = [Condition("corruption", n, s) for n in params.corruptions for s in params.severities]
    return [Condition("corruption", IDENTITY, 0), *made]


@dataclass(frozen=True)
class Tiles:
    """Rows of `inputs.table` that a model is scored on, their roles, and their truth as it is stored."""

    inputs: Inputs
    rows: tuple[int, ...]
    roles: tuple[str, ...]
    truth: Classes

    @property
    def ids(self) -> list[str]:
        return [str(t) for t in self.inputs.table["tile_id"].iloc[list(self.rows)]]

    @property
    def groups(self) -> list[str]:
        return [str(g) for g in self.inputs.table["group"].iloc[list(self.rows)]]


def tiles_of(inputs: Inputs, parts: Mapping[str, Sequence[int]]) -> Tiles:
    """The rows of `parts`, which names them by role."""
    rows = tuple(i for part in parts.values() for i in part)
    named = tuple(role for role, part in parts.items() for _ in part)
    return Tiles(inputs, rows, named, inputs.stored_truth(rows))


def counts_of(model: nn.Module, views: Floats, truth: Classes, params: TaskParams) -> Counts:
    """Hits, false alarms and misses (n, foreground classes, 3) of each tile: of a classification 0 or 1, of a
    segmentation pixels at the stored size. The same sums as `tasks.learn.scores.tile_counts`.

    `views` (n, 3, y, x) float32 at the network's size, `truth` (n,) or (n, y, x) class indices.
    """
    guess = _guess(probabilities(model, views), truth.shape)
    out = np.empty((len(views), len(foreground(params.task, params.classes)), 3), np.int64)
    for at, k in enumerate(foreground(params.task, params.classes)):
        right, named = (truth == k).reshape(len(views), -1), (guess == k).reshape(len(views), -1)
        hit = np.count_nonzero(right & named, axis=1)
        alarm, missed = np.count_nonzero(named, axis=1) - hit, np.count_nonzero(right, axis=1) - hit
        out[:, at] = np.stack([hit, alarm, missed], axis=1)
    return out


def _guess(probability: NDArray[np.float32], shape: tuple[int, ...]) -> Classes:
    """The likeliest class at the size of the truth."""
    if probability.ndim > 2:
        return np.stack([at_size(one, *shape[1:]).argmax(axis=0) for one in probability])
    return np.asarray(probability.argmax(axis=1))


def under(model: nn.Module, tiles: Tiles, data_model: str, how: Condition, seed: int) -> Counts:
    """Counts of `tiles` seen through `data_model` and then `how`; `seed` keys what is random in a corruption."""
    inputs, params = tiles.inputs, tiles.inputs.params
    plain = how.kind == "data_model" or how.name == IDENTITY
    source = inputs.views(data_model) if plain else inputs.windows(data_model)
    ids, parts = tiles.ids, []
    for start in range(0, len(tiles.rows), CHUNK):
        span = slice(start, start + CHUNK)
        views = np.array(source[list(tiles.rows[span])])
        if not plain:
            views = resize_views(corrupt(how.name, how.severity, views, seed, ids[span]), params.input_px)
        parts.append(counts_of(model, views, tiles.truth[span], params))
    return np.concatenate(parts)


def score(
    model: nn.Module, tiles: Tiles, tests: Iterable[tuple[str, Condition]], seed: int
) -> list[tuple[Condition, Counts]]:
    """Counts of the model under each of `tests`: (data model, condition). A view is looked at once."""
    known: dict[str, Counts] = {}
    out = []
    for data_model, how in tests:
        if how.kind == "corruption" and how.name != IDENTITY:
            out.append((how, under(model, tiles, data_model, how, seed)))
            continue
        if data_model not in known:
            known[data_model] = under(model, tiles, data_model, how, seed)
        out.append((how, known[data_model]))
    return out


def score_table(row: str, member: str, tiles: Tiles, scored: Sequence[tuple[Condition, Counts]]) -> pa.Table:
    """One row a tile and condition: `data_model` (what the model was trained on, or `given`), `member`, `role`,
    `tile_id`, `group`, `kind`, `condition`, `severity`, and per foreground class its counts."""
    each, params = len(tiles.rows), tiles.inputs.params
    counts = np.concatenate([c for _, c in scored])
    named = foreground(params.task, params.classes)
    columns = {
        "data_model": [row] * len(counts),
        "member": [member] * len(counts),
        "role": list(tiles.roles) * len(scored),
        "tile_id": tiles.ids * len(scored),
        "group": tiles.groups * len(scored),
        "kind": [how.kind for how, _ in scored for _ in range(each)],
        "condition": [how.name for how, _ in scored for _ in range(each)],
        "severity": np.repeat(np.array([how.severity for how, _ in scored], np.int64), each),
    }
    for at, k in enumerate(named):
        for part, what in enumerate(COUNTED):
            columns[f"{what}_{params.classes[k]}"] = counts[:, at, part]
    return pa.table(columns)
