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
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tasks import store

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


def arrays_of_tile(row: Mapping[str, Any]) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
    """Arrays that may hold the tile of a row of tiles.parquet, with the window over the last axes or, in a stack,
    over the first."""
    if not row["item"]:
        return [(name, ((int(row["index"]), int(row["index"]) + 1),)) for name in ("mosaic", "view")]
    y, x = int(row["y_px"]), int(row["x_px"])
    window = ((y, y + int(row["height_px"])), (x, x + int(row["width_px"])))
    images = [f"frames/{row['item']}", f"slides/{row['item']}", *([row["mask"]] if row["mask"] else [])]
    return [(f"{image}/0", window) for image in images]


def shards(path: Path, name: str, window: Sequence[tuple[int, int]]) -> list[str]:
    """Files, relative to the store, of the shards of array `name` at `path` that meet `window`."""
    shape, shard = _layout(path)
    rest = len(shape) - len(window)
    whole = [(0, n) for n in shape]
    full = [*window, *whole[len(window) :]] if len(window) == 1 else [*whole[:rest], *window]
    ranges = [range(start // s, -(-stop // s)) for (start, stop), s in zip(full, shard, strict=True)]
    return ["/".join([name, "c", *map(str, index)]) for index in product(*ranges)]


@functools.lru_cache(maxsize=512)
def _layout(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    array = store.open_array(path)
    return tuple(array.shape), tuple(array.shards or array.chunks)
