"""What an output holds, told by its files: tables, and which files hold which tile or sample.

| kind    | told by                                | its parts                              |
|---------|----------------------------------------|----------------------------------------|
| samples | `samples.parquet`                      | sample ids                             |
| model   | `model.json`                           | none: every tile is in all its weights |
| tiles   | `tiles.parquet` in a Zarr store        | tile ids                               |
| sources | `manifest.csv`                         | file names                             |
| other   |                                        | none                                   |
"""

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tasks import store
from tasks.errors import LineageError, fault
from tasks.lineage.chunks import Coords, places, sharding

STACKS = ("mosaic", "view")
"""Arrays of crops: a raw store's, a variant's."""
CONTAINERS = ("frames", "slides", "images")
"""Folders of pictures that tiles are windows of."""
Kind = Literal["samples", "model", "tiles", "sources", "other"]
MARKS: tuple[tuple[str, Kind], ...] = (
    ("samples.parquet", "samples"),
    ("model.json", "model"),
    ("tiles.parquet", "tiles"),
    ("manifest.csv", "sources"),
)


def kind_of(path: Path) -> Kind:
    """The kind of the output at `path`, by the table above."""
    return next((kind for name, kind in MARKS if (path / name).is_file()), "other")


def tiles(path: Path) -> pd.DataFrame:
    """`tiles.parquet` of a store or model, indexed by nothing; an empty table with `tile_id` where there is none."""
    file = path / "tiles.parquet"
    return pd.read_parquet(file) if file.is_file() else pd.DataFrame({"tile_id": pd.Series(dtype=str)})


def samples(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path / "samples.parquet")


def manifest(path: Path) -> pd.DataFrame:
    """`manifest.csv` of a sources folder, all columns as text, empty cells as empty text."""
    return pd.read_csv(path / "manifest.csv", dtype=str, keep_default_na=False)


RECEIPTS = "receipts.jsonl"


def pictures_of(path: Path, entry: Mapping[str, Any]) -> set[str] | None:
    """The pictures, as the tiles of the store at `path` name them, that the source file `entry` of its recipe is part
    of: itself, or that which it annotates; none for one that was refused. None where it may concern every tile.

    The receipts tell it, by the file's digest and its path in the dataset; without them the tiles do, which know of no
    annotation.
    """
    name = f"/{entry['path']}"
    if not (path / RECEIPTS).is_file():
        return _longest({s: {s} for s in set(tiles(path)["source"])}, name)
    owners: dict[str, set[str]] = {}
    for receipt in _receipts(path):
        for file in (receipt["source"], receipt["annotation"]):
            if file and file["sha256"] == entry.get("sha256"):
                mine = owners.setdefault(file["path"], set())
                mine |= {receipt["source"]["path"]} if receipt["status"] == "stored" else set()
    return _longest(owners, name)


def _longest(owners: Mapping[str, set[str]], name: str) -> set[str] | None:
    """Of the files that end the path `name`, the one that says most: a.tif and b/a.tif both end /in/b/a.tif."""
    fitting = [file for file in owners if name.endswith(f"/{file}")]
    return owners[max(fitting, key=len)] if fitting else None


def _receipts(path: Path) -> list[dict[str, Any]]:
    """The receipts of a raw store as plain JSON: what they must be is for `tasks.ingest.receipts` to check. Raises
    `LineageError` where they are no JSON."""
    try:
        with (path / RECEIPTS).open("rb") as file:
            return [dict(json.loads(line)) for line in file]
    except (ValueError, TypeError):
        raise LineageError(fault(path / RECEIPTS, "not readable", "receipts", "ingest the sources again")) from None


def mask_tiles(row: Mapping[str, Any]) -> list[str]:
    """The tile ids in a sample's `mask_source`, whether stored as a list or as text with separators."""
    value = row["mask_source"]
    parts = value.replace(",", " ").split() if isinstance(value, str) else [str(v) for v in value]
    return sorted(set(parts))


def files_of_sample(names: Collection[str], sample: str) -> list[str]:
    """Of the files `names` of a synthetic store, those of one sample."""
    return sorted(n for n in names if n.startswith(f"samples/{sample}/"))


def files_of_tiles(path: Path, names: Collection[str], rows: pd.DataFrame) -> list[str]:
    """Of the files `names` of the store at `path`, the shards that hold any pixel of the tiles in `rows`."""
    found: set[str] = set()
    for row in rows.to_dict("records"):
        for array, window in arrays_of_tile({str(k): v for k, v in row.items()}):
            if f"{array}/zarr.json" in names:
                found.update(shards(path / array, array, window))
    return sorted(found & set(names))


def chunks_of_tiles(path: Path, names: Collection[str], rows: pd.DataFrame) -> dict[str, list[Coords]]:
    """`{shard: [its chunks]}` that hold the pixels at full resolution, not the masks, of the tiles in `rows`."""
    found: dict[str, set[Coords]] = {}
    for row in rows.to_dict("records"):
        for array, window in pictures_of_tile({str(k): v for k, v in row.items()}):
            layout = sharding((path / array / "zarr.json").read_bytes()) if f"{array}/zarr.json" in names else None
            for shard, chunks in places(layout, _whole(window, layout.shape)).items() if layout else ():
                found.setdefault(_file_of(array, shard), set()).update(chunks)
    return {name: sorted(found[name]) for name in sorted(found) if name in names}


Side = tuple[int, int]


def pictures_of_tile(row: Mapping[str, Any]) -> list[tuple[str, tuple[Side, ...]]]:
    """Arrays that may hold the pixels of the tile of a row of tiles.parquet, with the window over the last axes or,
    in a stack, over the first."""
    if not row["item"]:
        return [(name, ((int(row["index"]), int(row["index"]) + 1),)) for name in STACKS]
    return [(f"{container}/{row['item']}/0", _window(row)) for container in CONTAINERS]


def arrays_of_tile(row: Mapping[str, Any]) -> list[tuple[str, tuple[Side, ...]]]:
    """`pictures_of_tile` and the array of its mask."""
    masks = [(f"{row['mask']}/0", _window(row))] if row["item"] and row["mask"] else []
    return pictures_of_tile(row) + masks


def _window(row: Mapping[str, Any]) -> tuple[Side, ...]:
    y, x = int(row["y_px"]), int(row["x_px"])
    return (y, y + int(row["height_px"])), (x, x + int(row["width_px"]))


def _whole(window: Sequence[Side], shape: Sequence[int]) -> list[Side]:
    """`window` with the other axes of an array of `shape` in full: those after that of a stack, before y and x."""
    full = [(0, n) for n in shape]
    return [*window, *full[1:]] if len(window) == 1 else [*full[: len(shape) - len(window)], *window]


def _file_of(array: str, shard: Sequence[int]) -> str:
    return "/".join([array, "c", *map(str, shard)])


def shards(path: Path, name: str, window: Sequence[Side]) -> list[str]:
    """Files, relative to the store, of the shards of array `name` at `path` that meet `window`."""
    shape, shard = _layout(path)
    sides = zip(_whole(window, shape), shard, strict=True)
    ranges = [range(start // s, -(-stop // s)) for (start, stop), s in sides]
    return [_file_of(name, index) for index in product(*ranges)]


@functools.lru_cache(maxsize=512)
def _layout(path: Path) -> tuple[Coords, Coords]:
    array = store.open_array(path)
    return tuple(array.shape), tuple(array.shards or array.chunks)
