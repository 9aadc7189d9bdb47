"""Training tiles of a slide store: which they are, and their pixels and conditions as memory-mapped caches."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.store import open_array, open_group, read_attributes
from tasks.synthesis.conditioning import condition

Array = NDArray[Any]
ORIENTATIONS = 8
"""Quarter turns and flips of a square tile."""
KEPT_BYTES = 2**28
"""Of decoded tiles that a process keeps in memory while it trains an autoencoder."""


def read_tiles(raw: Path) -> pd.DataFrame:
    """`tiles.parquet` of a slide store, with the column `annotated`, the fraction with a named class; and `subtype`,
    empty where a store of an earlier rawmill does not tell it.

    Raises `InputError` where there is no training tile, or the tiles, held-out ones among them, differ in size or are
    not square.
    """
    tiles = pd.read_parquet(raw / "tiles.parquet").sort_values("tile_id", ignore_index=True)
    named = [name for name in tiles.columns if name.startswith("fraction_")]
    tiles["annotated"] = tiles[named].sum(axis=1)
    if "subtype" not in tiles:
        tiles["subtype"] = ""
    sizes = {tuple(size) for size in tiles[["height_px", "width_px"]].itertuples(index=False)}
    if not (tiles["split"] == "train").any() or len(sizes) != 1 or any(height != width for height, width in sizes):
        wrong = f"tiles of sizes {sorted(sizes)}, {int((tiles['split'] == 'train').sum())} of them for training"
        raise InputError(fault(raw / "tiles.parquet", wrong, "square tiles of one size", "ingest the slides again"))
    return tiles


def side_px(tiles: pd.DataFrame) -> int:
    """Side of the training tiles."""
    return int(tiles.loc[tiles["split"] == "train", "height_px"].iloc[0])


def classes(raw: Path) -> list[str]:
    """Class names in the order of the mask's indices 1, 2, …"""
    return [str(name) for name in read_attributes(raw)["classes"]]


def place(raw: Path, item: str) -> Path:
    """The picture of that name in a store of slides, or of images; a store has one kind."""
    return raw / ("slides" if (raw / "slides").is_dir() else "images") / item


def pixel_size_um(raw: Path, slide: str) -> float | None:
    """Physical side of a level-0 pixel in micrometer, or None where the slide's scale has no unit."""
    image: Any = open_group(place(raw, slide)).attrs["ome"]
    scales = image["multiscales"][0]
    if scales["axes"][-1].get("unit") != "micrometer":
        return None
    return float(scales["datasets"][0]["coordinateTransformations"][0]["scale"][-1])


def annotation(raw: Path, tile: Any) -> NDArray[np.uint8]:
    """Class mask (y, x) of one row of `tiles.parquet`; all unknown where the slide has none."""
    if not tile.mask:
        return np.zeros((tile.height_px, tile.width_px), np.uint8)
    window = (slice(tile.y_px, tile.y_px + tile.height_px), slice(tile.x_px, tile.x_px + tile.width_px))
    return np.asarray(open_array(raw / tile.mask / "0")[window], np.uint8)


def annotations(raw: Path, rows: pd.DataFrame, reduction: int) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str]]:
    """The annotation (y, x) of each slide of `rows` that has one, one pixel in `reduction`; and known subtypes."""
    named = rows[rows["mask"] != ""].drop_duplicates("item")
    arrays = {str(row.item): open_array(raw / str(row.mask) / "0") for row in named.itertuples(index=False)}
    slides = {item: np.asarray(array[::reduction, ::reduction], np.uint8) for item, array in arrays.items()}
    return slides, {str(row.item): str(row.subtype) for row in named.itertuples(index=False) if row.subtype}


class Windows:
    """Pixels of tiles (n, 3, y, x), uint8, read from their slides' chunks as they are asked for; a `pictures.Stack`.

    Tiles that were read are kept until `KEPT_BYTES` are full. Batches draw tiles evenly, so which ones are kept does
    not matter, and unlike with the least recently used a pass over all of them does not empty the cache.
    """

    def __init__(self, raw: Path, tiles: pd.DataFrame) -> None:
        self.rows: list[Any] = list(tiles.itertuples(index=False))
        self.slides = {name: open_array(place(raw, name) / "0") for name in sorted(set(tiles["item"]))}
        self.kept: dict[int, NDArray[np.uint8]] = {}
        each = 3 * int(self.rows[0].height_px) * int(self.rows[0].width_px)
        self.most = min(len(self.rows), KEPT_BYTES // each)
        self.cache_bytes = self.most * each

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | np.int64 | slice) -> NDArray[np.uint8]:
        if isinstance(index, slice):
            return np.stack([self._tile(k) for k in range(*index.indices(len(self)))])
        return self._tile(int(index))

    def _tile(self, index: int) -> NDArray[np.uint8]:
        found = self.kept.get(index)
        if found is None:
            found = self._read(self.rows[index])
            found.setflags(write=False)
            if len(self.kept) < self.most:
                self.kept[index] = found
        return found

    def _read(self, tile: Any) -> NDArray[np.uint8]:
        window = (slice(tile.y_px, tile.y_px + tile.height_px), slice(tile.x_px, tile.x_px + tile.width_px))
        return np.array(self.slides[tile.item][(slice(None), *window)], np.uint8)


def picture(raw: Path, tile: Any) -> NDArray[np.uint8]:
    """Pixels (3, y, x) of one row of `tiles.parquet`."""
    window = (slice(tile.y_px, tile.y_px + tile.height_px), slice(tile.x_px, tile.x_px + tile.width_px))
    return np.asarray(open_array(place(raw, str(tile.item)) / "0")[(slice(None), *window)], np.uint8)


def cached(path: Path, rows: Sequence[Any], make: Callable[[Any], Array]) -> Array:
    """Memory-mapped stack of `make(row)` for all rows, kept at `path` (.npy); made once, moved into place whole."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        first = make(rows[0])
        stack = np.lib.format.open_memmap(part, "w+", first.dtype, (len(rows), *first.shape))
        for index, row in enumerate(rows):
            stack[index] = make(row)
        stack.flush()
        part.replace(path)
    return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))


def cache_conditions(raw: Path, tiles: pd.DataFrame, count: int, factor: int, path: Path) -> NDArray[np.float32]:
    """Conditions (n, k, y/f, x/f) of `tiles` for `count` classes, memory-mapped."""
    rows = list(tiles.itertuples(index=False))
    return cached(path, rows, lambda tile: condition(annotation(raw, tile), count, factor))


def oriented(square: Array, orientation: int) -> Array:
    """One of the eight flips and quarter turns of the last two axes; 0 changes nothing."""
    turned = np.rot90(square, orientation % 4, (-2, -1))
    return turned[..., ::-1] if orientation >= 4 else turned
