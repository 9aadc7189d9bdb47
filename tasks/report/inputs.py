"""What a section of the page is made from and of: inputs by role, readers, pictures and plain values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.contracts import Calibration
from tasks.errors import InputError, fault
from tasks.lineage.places import resolve
from tasks.lineage.recipe import read
from tasks.output import Job
from tasks.report.params import ReportParams

Row = Mapping[str, Any]
"""A row of tiles.parquet."""


@dataclass(frozen=True)
class Inputs:
    """The job's inputs by role, such as `raw/drone`; see `tasks.report.step.roles`."""

    places: Mapping[str, Path]
    params: ReportParams

    def path(self, role: str) -> Path:
        return self.places[role]

    def recipe(self, role: str) -> dict[str, Any]:
        return read(self.places[role])


@dataclass(frozen=True)
class Section:
    """Values (plain JSON) that the template shows, and pictures (name with suffix: bytes of the file)."""

    values: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def inputs_of(job: Job) -> Inputs:
    """The inputs of `job`, found from its plan."""
    places = {str(entry["role"]): resolve(job.out, entry) for entry in job.plan["inputs"]}
    return Inputs(places, ReportParams.model_validate(job.plan["params"]))


def read_json(file: Path) -> dict[str, Any]:
    """Raises `InputError` where the file is not there or no JSON."""
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        raise InputError(fault(file, "cannot be read", "JSON", "make that output again")) from None


def read_picture(file: Path) -> bytes:
    """The bytes of a figure that another stage drew. Raises `InputError` where it is not there."""
    if not file.is_file():
        raise InputError(fault(file, "not there", "a figure", "make that output again"))
    return file.read_bytes()


def tiles(path: Path) -> pd.DataFrame:
    """tiles.parquet of a store, sorted by `tile_id`."""
    return pd.read_parquet(path / "tiles.parquet").sort_values("tile_id", ignore_index=True)


def kind(path: Path) -> str:
    """`crops`, `frames` or `slides`."""
    return str(store.read_attributes(path)["kind"])


def classes(path: Path) -> list[str]:
    """Names of the classes 1, 2, … of a store."""
    return [str(name) for name in store.read_attributes(path)["classes"]]


def calibration(raw: Path, row: Row) -> Calibration:
    """Of the camera that took the tile of `row`."""
    place = raw / "frames" / str(row["item"]) if row["item"] else raw / "mosaic"
    return Calibration.model_validate(store.read_attributes(place)["calibration"])


def mosaic(raw: Path, row: Row) -> NDArray[np.uint16]:
    """The mosaic (y, x) of a tile; it starts at an even row and column, so that the pattern holds."""
    if not row["item"]:
        return np.asarray(store.open_array(raw / "mosaic")[int(row["index"])])
    y, x = int(row["y_px"]) // 2 * 2, int(row["x_px"]) // 2 * 2
    frame = store.open_array(raw / "frames" / str(row["item"]) / "0")
    return np.asarray(frame[y : y + int(row["height_px"]), x : x + int(row["width_px"])])


def view(variant: Path, tile_id: str) -> NDArray[np.uint16]:
    """The developed view (3, y, x) of a tile. Raises `InputError` where the variant does not have it."""
    table = tiles(variant)
    found = table[table["tile_id"] == tile_id].to_dict("records")
    if not found:
        raise InputError(fault(variant, f"has no tile {tile_id}", "that of the raw store", "develop it again"))
    row = found[0]
    if not row["item"]:
        return np.asarray(store.open_array(variant / "view")[int(row["index"])])
    y, x = int(row["y_px"]) // 2 * 2, int(row["x_px"]) // 2 * 2
    frame = store.open_array(variant / "frames" / str(row["item"]) / "0")
    return np.asarray(frame[:, y : y + int(row["height_px"]), x : x + int(row["width_px"])])


def label_window(store_path: Path, row: Row) -> NDArray[np.uint8]:
    """The label image (y, x) under a tile of a frame or slide."""
    y, x = int(row["y_px"]), int(row["x_px"])
    labels = store.open_array(store_path / str(row["mask"]) / "0")
    return np.asarray(labels[y : y + int(row["height_px"]), x : x + int(row["width_px"])])


def examples(raw: Path, count: int) -> list[dict[str, Any]]:
    """Tiles worth showing, at the highest intensity: of a stack the first of each class, of frames or slides the
    one of each item with most known labels; at most `count`, ties by id."""
    table = tiles(raw)
    table = table[table["intensity"] == table["intensity"].max()]
    by = "label" if kind(raw) == "crops" else "item"
    best = table.sort_values(["coverage", "tile_id"], ascending=[False, True]).drop_duplicates(by)
    return [{str(k): v for k, v in row.items()} for row in best.sort_values(by).head(count).to_dict("records")]
