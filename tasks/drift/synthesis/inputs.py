"""What drift synthesis reads: one raw store and its views under several data models, tile for tile the same."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import store
from tasks.errors import InputError, ParamsError, fault
from tasks.learn.data import (
    Classes,
    Floats,
    WholeMasks,
    memory_map,
    read_table,
    read_views,
    truth_of,
    window_of,
)
from tasks.learn.params import TaskParams
from tasks.lineage.recipe import artefact

VIEWS = "views:"
SAME = ["tile_id", "label", "mask", "group", "split", "fold", "height_px"]
"""Columns that may not differ between data models; `index` counts in each store's own order."""


@dataclass(frozen=True)
class Inputs:
    """One raw store, and per data model its variant store with the table of the tiles that are used."""

    raw: Path
    stores: Mapping[str, Path]
    tables: Mapping[str, pd.DataFrame]
    params: TaskParams
    cache: Path

    @property
    def table(self) -> pd.DataFrame:
        """The tiles; `index` is that of the first data model."""
        return next(iter(self.tables.values()))

    def views(self, data_model: str) -> Floats:
        """All views (n, 3, y, x) float32 in [0, 1] at the network's size, a memory map."""
        return self._kept(data_model, self.params.input_px)

    def windows(self, data_model: str) -> Floats:
        """The same before they are resized: what corruptions work on."""
        side = int(self.table["height_px"].max())
        return self._kept(data_model, self.params.window_px or side)

    def truth(self) -> Classes:
        """Class indices at the network's size, as `tasks.learn.data.truth_of`."""
        return truth_of(self.table, None if self.params.task == "classification" else self.raw, self.params)

    def stored_truth(self, rows: Sequence[int]) -> Classes:
        """Class indices of `rows`: (n,) of a classification, (n, y, x) at the stored size of a segmentation."""
        if self.params.task == "classification":
            return np.asarray(self.truth()[list(rows)])
        masks = WholeMasks(self.raw, tuple(self.table.itertuples(index=False)))
        return np.stack([masks[i] for i in rows])

    def _kept(self, data_model: str, side_px: int) -> Floats:
        place = self.cache / f"{data_model}-{side_px}.npy"
        where, table = self.stores[data_model], self.tables[data_model]
        shape = (len(table), 3, side_px, side_px)
        return memory_map(place, shape, lambda: read_views(where, table, self.params, side_px))


def entries(raw: Path, views: Mapping[str, Path], wanted: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """The recipe's inputs. Raises `ParamsError` where not each of the data models `wanted` has a store of its name,
    `LineageError` where a store is not what its recipe says."""
    absent = sorted(set(wanted) - set(views))
    if absent:
        raise ParamsError(fault(raw, f"no views of {absent[0]}", "a store of each data model", "develop it"))
    if len(set(wanted)) < len(wanted):
        raise ParamsError(fault(raw, f"data models {' '.join(wanted)}", "each once", "mend data_models"))
    for name in wanted:
        _check_name(views[name], name)
    return [artefact("raw", raw, out), *(artefact(f"{VIEWS}{name}", views[name], out) for name in wanted)]


def _check_name(path: Path, name: str) -> None:
    if not re.fullmatch(r"[^/\\\s.][^/\\\s]*", name):
        raise ParamsError(fault(path, f"data model {name!r}", "a name that can be a folder", "rename it"))
    found = store.read_attributes(path)["variant"]
    if found != name:
        raise ParamsError(fault(path, f"variant {found}", name, "name the store of that variant"))


def open_inputs(paths: Mapping[str, Path], params: TaskParams, intensity: float | None, cache: Path) -> Inputs:
    """Read the tables. Raises `InputError` where the data models do not hold the same tiles, or tiles that cannot be
    scored together."""
    stores = {role.removeprefix(VIEWS): path for role, path in paths.items() if role.startswith(VIEWS)}
    tables = {name: _table(path, params, intensity) for name, path in stores.items()}
    first, table = next(iter(tables.items()))
    for name, other in tables.items():
        if not table[SAME].equals(other[SAME]):
            wrong = f"other tiles than {first}"
            raise InputError(fault(stores[name], wrong, "the same tiles", "develop both from the same raw store"))
    _check_sides(stores[first], table, params)
    return Inputs(paths["raw"], stores, tables, params, cache)


def _table(path: Path, params: TaskParams, intensity: float | None) -> pd.DataFrame:
    """The labelled tiles of one intensity."""
    table = read_table(path, params)
    there = sorted(set(table["intensity"]))
    if intensity is None and len(there) == 1:
        return table
    if intensity not in there:
        wrong = f"tiles of intensity {', '.join(f'{i:g}' for i in there)}"
        expected = "one intensity" if intensity is None else f"some of intensity {intensity:g}"
        raise InputError(fault(path / "tiles.parquet", wrong, expected, "develop that intensity"))
    return table[table["intensity"] == intensity].reset_index(drop=True)


def _check_sides(path: Path, table: pd.DataFrame, params: TaskParams) -> None:
    sides = sorted(set(table["height_px"]))
    if params.window_px is None and len(sides) > 1:
        wrong = f"tiles of {sides[0]} and {sides[-1]} px"
        raise InputError(fault(path / "tiles.parquet", wrong, "one size", "ingest with one tile side"))
    for side in sides:
        window_of(side, params.window_px)
