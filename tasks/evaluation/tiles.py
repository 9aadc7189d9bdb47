"""Tiles out of stores: windows of slides by tiles.parquet, and synthetic canvases cut into training-size tiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tasks import store
from tasks.disk import storage_faults
from tasks.errors import InputError, fault

Tiles = NDArray[np.uint8]
COLUMNS = ("tile_id", "item", "y_px", "x_px", "height_px", "width_px", "label", "mask", "split", "coverage")


def table(slides: Path, split: str) -> pd.DataFrame:
    """Rows of `tiles.parquet` of a slides store whose split is `split`, by tile_id, index 0..n-1.

    Raises `InputError` where there are none or they differ in size.
    """
    path = slides / "tiles.parquet"
    rows = pd.read_parquet(path, columns=list(COLUMNS))
    rows = rows[rows["split"] == split].sort_values("tile_id", kind="stable").reset_index(drop=True)
    if rows.empty:
        raise InputError(fault(path, f"no tile of split {split!r}", "some", "ingest slides with test groups"))
    if len(rows[["height_px", "width_px"]].drop_duplicates()) > 1:
        raise InputError(fault(path, "tiles of several sizes", "one size", "ingest with one tile size"))
    return rows


def tile_size(rows: pd.DataFrame) -> tuple[int, int]:
    """Height and width in pixels of the tiles of `rows`."""
    return int(rows["height_px"].iloc[0]), int(rows["width_px"].iloc[0])


def pixel_size_um(image: Path) -> float:
    """Micrometers per pixel of level 0 of the OME-Zarr image at `image`, along x; 1.0 where it is not known."""
    ome: Any = store.open_group(image).attrs["ome"]
    return float(ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][-1])


def _windows(root: Path, rows: pd.DataFrame, images: list[str]) -> Iterator[Tiles]:
    """The window of each row in the level-0 array of its image, leading axes whole."""
    arrays = {name: store.open_array(root / name / "0") for name in sorted(set(images))}
    corners = rows[["y_px", "x_px", "height_px", "width_px"]].to_numpy(np.int64)
    for (y, x, height, width), name in zip(corners.tolist(), images, strict=True):
        yield np.asarray(arrays[name][..., y : y + height, x : x + width])


def pictures(slides: Path, rows: pd.DataFrame) -> Iterator[Tiles]:
    """Tiles (c, y, x), uint8 display RGB, in the order of `rows`."""
    return _windows(slides, rows, [f"slides/{item}" for item in rows["item"]])


def annotations(slides: Path, rows: pd.DataFrame) -> Iterator[Tiles]:
    """Class indices (y, x), uint8, 0 unknown, in the order of `rows`, which all name a mask."""
    return _windows(slides, rows, list(rows["mask"]))


def memory_map(path: Path, tiles: Iterator[Tiles], count: int) -> Tiles:
    """Write `count` equal tiles to a .npy file at `path`, one at a time, and map it: (count, ...), uint8."""
    with storage_faults(path):
        first = next(tiles)
        part = path.with_suffix(".part")
        out = open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, *first.shape))
        out[0] = first
        for i, tile in enumerate(tiles, start=1):
            out[i] = tile
        out.flush()
        part.replace(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def corners(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> NDArray[np.int64]:
    """Upper left corners (n, 2), y x, of the whole tiles that fit side by side into a canvas, row by row.

    What is left at the right and lower border belongs to no tile.
    """
    rows = range(0, height_px - tile_height_px + 1, tile_height_px)
    columns = range(0, width_px - tile_width_px + 1, tile_width_px)
    return np.array([(y, x) for y in rows for x in columns], np.int64).reshape(-1, 2)


def cut(canvas: Tiles, height_px: int, width_px: int) -> list[Tiles]:
    """The tiles of (..., y, x) at `corners`, in their order."""
    places = corners(canvas.shape[-2], canvas.shape[-1], height_px, width_px).tolist()
    return [canvas[..., y : y + height_px, x : x + width_px] for y, x in places]


def join(parts: Tiles, height_px: int, width_px: int) -> Tiles:
    """Undo `cut` for label tiles (n, h, w) of a canvas of that size; without the border that no tile holds."""
    h, w = parts.shape[-2:]
    down, across = height_px // h, width_px // w
    return parts.reshape(down, across, h, w).swapaxes(1, 2).reshape(down * h, across * w)


def class_names(slides: Path) -> list[str]:
    """Names of the classes 1..K of the slides store at `slides`."""
    return [str(name) for name in store.read_attributes(slides)["classes"]]
