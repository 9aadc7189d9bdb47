"""The pair of training and test condition that costs most, and a tile that shows it (thesis A, fig. 3.5, bottom)."""

from typing import Any

import numpy as np
import pandas as pd

from tasks.drift.metric import main_value
from tasks.drift.statistics import difference, folds
from tasks.drift.synthesis.score import COUNTED, Condition
from tasks.drift.synthesis.tally import Tally
from tasks.learn.params import TaskParams, foreground


def worst(
    table: pd.DataFrame, own: Tally, tested: Tally, params: TaskParams, reference: str | None, confidence: float
) -> dict[str, Any] | None:
    """The row and condition of `tested` with the largest mean drop from the row's score on its own data model; None
    where nothing drops.

    `own` is the tally over data models; `reference` stands for the own one of a given model. `table` holds the
    scores of one role, for the tile that drops most (ties: the first id).
    """
    homes, names = [reference or row for row in own.rows], [how.name for how in own.conditions]
    at = [names.index(home) for home in homes]
    values, base = tested.of_members(), own.of_members()
    falls = np.stack([base[r, :, c, None] - values[r] for r, c in enumerate(at)])
    fall = np.round(falls.mean(axis=1), 12)
    row, column = (int(i) for i in np.unravel_index(int(fall.argmax()), fall.shape))
    if fall[row, column] <= 0:
        return None
    how, cell = tested.conditions[column], difference(folds(falls[row, :, column]), confidence)
    tile = _tile(table[table["data_model"] == own.rows[row]], own.conditions[at[row]], how, params)
    found = {"train": homes[row], "test": how.name, "tile": tile, "drop": cell["mean"]}
    found |= {"low": cell["low"], "high": cell["high"]}
    return found | ({"severity": how.severity} if how.kind == "corruption" else {})


def _tile(scored: pd.DataFrame, home: Condition, how: Condition, params: TaskParams) -> str:
    before, after = (_of_tiles(scored, condition, params) for condition in (home, how))
    return str((before - after).idxmax())


def _of_tiles(scored: pd.DataFrame, how: Condition, params: TaskParams) -> "pd.Series[float]":
    """The metric of each tile under one condition, sorted by id."""
    at = (scored["kind"] == how.kind) & (scored["condition"] == how.name) & (scored["severity"] == how.severity)
    tiles = scored[at].groupby("tile_id", sort=True).sum(numeric_only=True)
    names = [params.classes[k] for k in foreground(params.task, params.classes)]
    parts = np.stack([tiles[[f"{what}_{name}" for what in COUNTED]].to_numpy() for name in names], axis=1)
    return pd.Series(main_value(parts, params), tiles.index)
