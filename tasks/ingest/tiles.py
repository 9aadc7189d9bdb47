"""Tiles: their grid, how much of each class they hold, and the table of a store."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import InputError, fault

Window = tuple[int, int, int, int]
"""y, x, height, width in pixels of level 0."""
Read = Callable[[slice, slice], NDArray[np.uint8]]
BLOCK_PX = 2048
COLUMNS: tuple[tuple[str, Any], ...] = (
    ("tile_id", pa.string()),
    ("source", pa.string()),
    ("item", pa.string()),
    ("index", pa.int64()),
    ("y_px", pa.int64()),
    ("x_px", pa.int64()),
    ("height_px", pa.int64()),
    ("width_px", pa.int64()),
    ("label", pa.string()),
    ("mask", pa.string()),
    ("group", pa.string()),
    ("split", pa.string()),
    ("fold", pa.int64()),
    ("intensity", pa.float64()),
    ("subtype", pa.string()),
    ("coverage", pa.float64()),
    ("tissue", pa.float64()),
)


def grid(height: int, width: int, side: int, overlap: int) -> list[Window]:
    """Whole tiles of `side` from the upper left corner; an extent shorter than `side` is one tile."""
    return [
        (y, x, min(side, height), min(side, width))
        for y in _starts(height, side, overlap)
        for x in _starts(width, side, overlap)
    ]


def _starts(extent: int, side: int, overlap: int) -> range:
    return range(0, max(extent - side, 0) + 1, side - overlap)


def blocks(tiles: Sequence[Window]) -> Iterator[tuple[slice, slice, list[int]]]:
    """Tiles gathered by the block that their corner is in: (rows, columns, indices), one read a block."""
    cells: dict[tuple[int, int], list[int]] = {}
    for i, (y, x, _, _) in enumerate(tiles):
        cells.setdefault((y // BLOCK_PX, x // BLOCK_PX), []).append(i)
    for members in cells.values():
        ys, xs = [tiles[i][0] for i in members], [tiles[i][1] for i in members]
        bottom = max(tiles[i][0] + tiles[i][2] for i in members)
        right = max(tiles[i][1] + tiles[i][3] for i in members)
        yield slice(min(ys), bottom), slice(min(xs), right), members


def fractions(tiles: Sequence[Window], read: Read, classes: int) -> NDArray[np.float64]:
    """Fraction of each tile's pixels of each index 0 to `classes`: float64 (tile, class), rows sum to 1."""
    out = np.zeros((len(tiles), classes + 1))
    for rows, columns, members in blocks(tiles):
        values = read(rows, columns)
        for i in members:
            y, x, height, width = tiles[i]
            tile = values[y - rows.start :, x - columns.start :][:height, :width]
            out[i] = np.bincount(tile.ravel(), minlength=classes + 1)[: classes + 1] / (height * width)
    return out


def tile_label(shares: Sequence[float], classes: Sequence[str], least: float) -> str:
    """The class with the largest share (the first of equals), or empty where none reaches `least` or is there."""
    if not shares:
        return ""
    best = max(range(len(shares)), key=lambda k: (shares[k], -k))
    return classes[best] if shares[best] > 0 and shares[best] >= least else ""


def table(rows: Iterable[Mapping[str, Any]], classes: Sequence[str]) -> pa.Table:
    """tiles.parquet, sorted by `tile_id`. Raises `InputError` where two tiles have one id."""
    schema = pa.schema([*COLUMNS, *((f"fraction_{name}", pa.float64()) for name in classes)])
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        for name, column in columns.items():
            column.append(row[name])
    made = pa.Table.from_arrays([_column(columns[f.name], f.type) for f in schema], schema=schema).sort_by("tile_id")
    for a, b in pairwise(made["tile_id"]):
        if a == b:
            raise InputError(fault("tiles.parquet", f"two tiles {a}", "unique ids", "rename one of the sources"))
    return made


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`values` as a column of strings, int64 or float64, made of its buffers: `pa.array` imports pandas for half a
    second, which is longer than a small ingest takes."""
    if kind == pa.string():
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)])
        if ends[-1] > np.iinfo(np.int32).max:
            return pa.array(values, kind)  # which knows what to do with so much
        return pa.Array.from_buffers(
            kind, len(texts), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))]
        )
    numbers = np.asarray(values, np.int64 if kind == pa.int64() else np.float64)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def write_table(path: Path, made: pa.Table) -> None:
    """Write tiles.parquet."""
    pq.write_table(made, path, compression="zstd")
