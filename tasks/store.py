"""All Zarr I/O: Zarr v3, sharded, crc32c last, whole shards only, read back and compared before they are seen.

Images follow OME-NGFF 0.5 (tasks/ngff.py): metadata under the attribute `ome`, axes equal to `dimension_names`,
labels below `labels/`. rawmill's own keys stand in the attribute `rawmill`. A missing chunk would read back as
zeros without a word (zarr 3.1), so empty chunks are written and every file is listed in the output's `tree.json`.
Arrays are read through zarr-python; shards are written by tasks/shards.py.

A pyramid is written by columns: one shard of level 0 and the one shard below it in each of the next levels, whose
pixels are averaged from just those of the column. So columns can be written side by side, and again. Levels deeper
than a column reaches are averaged from the deepest that it does (tasks/pyramids.py says how exactly).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, TransposeCodec, ZstdCodec

from tasks import ngff, pyramids, shards
from tasks.disk import storage_faults
from tasks.errors import LineageError, StoreError, fault
from tasks.jpeg import JpegCodec
from tasks.ngff import RGB, Image, level_shape, pyramid_levels
from tasks.pyramids import halve
from tasks.shards import Layout

__all__ = ["RGB", "Array", "Image", "Window", "halve", "level_shape", "pyramid_levels"]

ZSTD_LEVEL = 1
Array = NDArray[Any]
Window = tuple[slice, ...]


def create_group(path: Path, attributes: Mapping[str, Any]) -> zarr.Group:
    """A new Zarr v3 group at `path`; parents are made too."""
    with storage_faults(path):
        return zarr.create_group(path, zarr_format=3, attributes=dict(attributes), overwrite=False)


def create_array(
    path: Path,
    shape: Sequence[int],
    dtype: str,
    chunks: Sequence[int],
    shards: Sequence[int],
    axes: Sequence[str],
    attributes: Mapping[str, Any] | None = None,
    jpeg: bool = False,
) -> zarr.Array[Any]:
    """A new sharded array. `chunks` are cut to the shape; a shard is the next multiple of its chunk.

    With `jpeg` a chunk (c, y, x) is one JPEG stream, which shows a whole tile even where the image ends in it.
    """
    chunk = list(chunks) if jpeg else [min(c, n) for c, n in zip(chunks, shape, strict=True)]
    shard = [min(-(-s // c) * c, -(-n // c) * c) for s, c, n in zip(shards, chunk, shape, strict=True)]
    with storage_faults(path):
        return zarr.create_array(
            path,
            shape=tuple(shape),
            dtype=dtype,
            chunks=tuple(chunk),
            shards=tuple(shard),
            filters=[TransposeCodec(order=(1, 2, 0))] if jpeg else None,
            serializer=JpegCodec() if jpeg else BytesCodec(),
            compressors=[*([] if jpeg else [ZstdCodec(level=ZSTD_LEVEL)]), Crc32cCodec()],
            dimension_names=list(axes),
            attributes=dict(attributes or {}),
            zarr_format=3,
            config={"write_empty_chunks": True},
        )


def windows(array: zarr.Array[Any] | Layout) -> Iterator[Window]:
    """The shard-aligned windows of `array`, in C order."""
    shard = array.shards or array.chunks
    for corner in product(*(range(0, n, s) for n, s in zip(array.shape, shard, strict=True))):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, shard, array.shape, strict=True))


def shard_file(path: Path, array: zarr.Array[Any] | Layout, window: Window) -> Path:
    """The file that holds the shard of the array at `path` which starts at `window`."""
    shard = array.shards or array.chunks
    return path.joinpath("c", *(str(w.start // s) for w, s in zip(window, shard, strict=True)))


def write(path: Path, window: Window, data: Array, encoded: Sequence[bytes] | None = None) -> Path:
    """Write one whole shard of the array at `path`, read it back and compare; returns its file.

    A shard that is already there and holds `data` is not written again. `encoded` are the JPEG streams of an array
    of such, for the chunks in the image in C order. Raises `StoreError` when `window` is not a whole shard
    (unaligned writers lose data silently) or the read-back differs, `LineageError` where there is no array.
    """
    how = _layout(path)
    for w, s, n in zip(window, how.shards, how.shape, strict=True):
        if w.start % s or w.stop != min(w.start + s, n):
            raise StoreError(fault(path, f"window {w.start}:{w.stop}", f"a whole shard of {s}", "report this as a bug"))
    if data.shape != tuple(w.stop - w.start for w in window):
        raise ValueError(f"data of {data.shape} for the window {window} of {path}")
    file = shard_file(path, how, window)
    with storage_faults(path):
        shards.write_shard(file, how, data, encoded)
    return file


def _layout(path: Path) -> Layout:
    try:
        return shards.layout(path)
    except (FileNotFoundError, ValueError):
        raise LineageError(fault(path, "not a Zarr v3 array", "a store of rawmill", "make it again")) from None


def open_group(path: Path) -> zarr.Group:
    """The Zarr v3 group at `path`, read-only. Raises `LineageError` where there is none."""
    try:
        return zarr.open_group(path, mode="r", zarr_format=3)
    except (FileNotFoundError, ValueError, KeyError):
        raise LineageError(fault(path, "not a Zarr v3 group", "a store of rawmill", "make it again")) from None


def open_array(path: Path, mode: str = "r") -> zarr.Array[Any]:
    """The Zarr v3 array at `path`. Raises `LineageError` where there is none."""
    try:
        return zarr.open_array(path, mode=mode, zarr_format=3)  # type: ignore[arg-type]
    except (FileNotFoundError, ValueError, KeyError):
        raise LineageError(fault(path, "not a Zarr v3 array", "a store of rawmill", "make it again")) from None


def read_attributes(path: Path) -> dict[str, Any]:
    """The `rawmill` attributes of the group or array at `path`."""
    try:
        attributes: Any = zarr.open(path, mode="r", zarr_format=3).attrs
        return dict(attributes["rawmill"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise LineageError(fault(path, "no rawmill attributes", "a store of rawmill", "make it again")) from None


def create_image(path: Path, image: Image) -> None:
    """Lay out an OME-Zarr 0.5 image group at `path` with its empty levels."""
    ngff.check(image)
    attributes: dict[str, Any] = {"ome": ngff.document(path.name, image)}
    if image.attributes:
        attributes["rawmill"] = dict(image.attributes)
    create_group(path, attributes)
    for level in range(image.levels):
        shape = level_shape(image.shape, level)
        chunks, shard = ngff.level_grid(image, level)
        kept = level == 0 and image.level0_codec == "jpeg"
        create_array(path / str(level), shape, image.dtype, chunks, shard, list(image.axes), jpeg=kept)


def create_labels(image_path: Path, labels: Mapping[str, Image]) -> None:
    """Lay out `labels/` below the image at `image_path`, one label image a name."""
    create_group(image_path / "labels", {"ome": {"version": "0.5", "labels": sorted(labels)}})
    for name, image in sorted(labels.items()):
        create_image(image_path / "labels" / name, image)


def column_count(image: Image) -> int:
    """How many columns an image has that is laid out so."""
    _, shard = ngff.level_grid(image, 0)
    return prod(-(-n // s) for n, s in zip(image.shape, shard, strict=True))


def columns(path: Path) -> list[Window]:
    """The level-0 windows of the columns of the image at `path`, in C order: those of its shards."""
    return list(windows(_layout(path / "0")))


def write_column(path: Path, window: Window, data: Array, encoded: Sequence[bytes] | None = None) -> list[Path]:
    """Write level 0's shard at `window` of the image at `path` and all shards below it; returns their files.

    `data` are the pixels of level 0, `encoded` their JPEG streams as for `write`. Raises as `write`.
    """
    levels, label = _levels(path), _is_label(path)
    files = [write(path / "0", window, data, encoded)]
    made = pyramids.levels(data, _depth(levels), label)
    for level, pixels in enumerate(made, start=1):
        files.append(write(path / str(level), _below(window, level, levels[level].shape), pixels))
    return files


def write_rest(path: Path) -> list[Path]:
    """Write the levels that no column reaches, from the last that columns reach; returns their files.

    Memory is a few shards, whatever the size.
    """
    levels, label = _levels(path), _is_label(path)
    source = _depth(levels)
    files = []
    for level in range(source + 1, len(levels)):
        array = open_array(path / str(source))
        for window in windows(levels[level]):
            data = pyramids.reduced(array, window, level - source, levels[0].shape, 2**source, label)
            files.append(write(path / str(level), window, data))
    return files


def write_image(path: Path, read: Callable[[Window], Array]) -> list[Path]:
    """Fill the image laid out at `path`: level 0 from `read(window)` in C order, then the other levels.

    Memory is a few shards, whatever the size. Returns the files written.
    """
    files = [file for window in columns(path) for file in write_column(path, window, read(window))]
    return files + write_rest(path)


def _ome(path: Path) -> Any:
    try:
        return shards.document(path)["attributes"]["ome"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise LineageError(fault(path, "not an OME-Zarr image", "a store of rawmill", "make it again")) from None


def _is_label(path: Path) -> bool:
    return "image-label" in _ome(path)


def _levels(path: Path) -> list[Layout]:
    return [_layout(path / entry["path"]) for entry in _ome(path)["multiscales"][0]["datasets"]]


def _depth(levels: Sequence[Layout]) -> int:
    """The last level with a shard for each shard of level 0."""
    counts = [tuple(-(-n // s) for n, s in zip(level.shape, level.shards, strict=True)) for level in levels]
    return next((k for k, count in enumerate(counts) if count != counts[0]), len(counts)) - 1


def _below(window: Window, level: int, shape: Sequence[int]) -> Window:
    """The window of `level` that shows what `window` of level 0 shows."""
    plane = zip(window[-2:], shape[-2:], strict=True)
    return (*window[:-2], *(slice(w.start >> level, min(-(-w.stop // 2**level), n)) for w, n in plane))
