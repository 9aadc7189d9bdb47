"""All Zarr I/O: Zarr v3, sharded, crc32c last, whole shards only, read back and compared after each write.

Images follow OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5/): metadata under the attribute `ome`, axes
equal to `dimension_names`, one `scale` and at most one `translation` a level, labels below `labels/`.
rawmill's own keys stand in the attribute `rawmill`. A missing chunk would read back as zeros without a word
(zarr 3.1), so empty chunks are written and every file is listed in the output's `tree.json`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from tasks.errors import LineageError, StoreError, fault
from tasks.output import storage_faults

ZSTD_LEVEL = 3
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
) -> zarr.Array[Any]:
    """A new sharded array. `chunks` are cut to the shape; a shard is the next multiple of its chunk."""
    chunk = [min(c, n) for c, n in zip(chunks, shape, strict=True)]
    shard = [min(-(-s // c) * c, -(-n // c) * c) for s, c, n in zip(shards, chunk, shape, strict=True)]
    with storage_faults(path):
        return zarr.create_array(
            path,
            shape=tuple(shape),
            dtype=dtype,
            chunks=tuple(chunk),
            shards=tuple(shard),
            serializer=BytesCodec(),
            compressors=[ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()],
            dimension_names=list(axes),
            attributes=dict(attributes or {}),
            zarr_format=3,
            config={"write_empty_chunks": True},
        )


def windows(array: zarr.Array[Any]) -> Iterator[Window]:
    """The shard-aligned windows of `array`, in C order."""
    shard = array.shards or array.chunks
    starts = [range(0, n, s) for n, s in zip(array.shape, shard, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, shard, array.shape, strict=True))


def shard_file(path: Path, array: zarr.Array[Any], window: Window) -> Path:
    """The file that holds the shard of the array at `path` which starts at `window`."""
    shard = array.shards or array.chunks
    parts = (str(w.start // s) for w, s in zip(window, shard, strict=True))
    return path.joinpath("c", *parts)


def write(path: Path, window: Window, data: Array) -> Path:
    """Write one whole shard of the array at `path`, read it back and compare; returns its file.

    Raises `StoreError` when `window` is not a whole shard (unaligned writers lose data silently) or the
    read-back differs.
    """
    array = open_array(path, mode="r+")
    shard = array.shards or array.chunks
    for w, s, n in zip(window, shard, array.shape, strict=True):
        if w.start % s or w.stop != min(w.start + s, n):
            raise StoreError(fault(path, f"window {w.start}:{w.stop}", f"a whole shard of {s}", "report this as a bug"))
    with storage_faults(path):
        # A shard at the edge is read before it is written: half of one that a killed worker left would fail.
        shard_file(path, array, window).unlink(missing_ok=True)
        array.with_config({"write_empty_chunks": True})[window] = data
        back = array[window]
    if not np.array_equal(np.asarray(back), data, equal_nan=data.dtype.kind == "f"):
        raise StoreError(fault(path, f"read back other values at {window}", "those written", "check the disk"))
    return shard_file(path, array, window)


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


@dataclass(frozen=True)
class Image:
    """Layout of an OME-Zarr image: `axes` such as "cyx", level-0 `shape`, and what one pixel measures."""

    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size_um: float | None
    levels: int
    chunk_px: int
    shard_px: int
    channels: tuple[tuple[str, str], ...] = ()
    """(name, RGB hex) of each channel, for viewers."""
    channel_max: float = 255.0
    label: bool = False
    """A label image: levels by nearest pixel instead of area averaging, and `image-label` metadata."""
    attributes: Mapping[str, Any] | None = None


RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


def level_shape(shape: Sequence[int], level: int) -> tuple[int, ...]:
    """Shape of pyramid level `level`: the last two axes halved, rounding up, `level` times."""
    return (*shape[:-2], *(-(-n // 2**level) for n in shape[-2:]))


def pyramid_levels(height: int, width: int, smallest_px: int) -> int:
    """How many levels bring the longer side to at most `smallest_px`."""
    levels = 1
    while -(-max(height, width) // 2 ** (levels - 1)) > smallest_px:
        levels += 1
    return levels


def _multiscales(name: str, image: Image) -> dict[str, Any]:
    kind = {"y": "space", "x": "space", "z": "space", "c": "channel", "t": "time"}
    unit = {"unit": "micrometer"} if image.pixel_size_um else {}
    size = image.pixel_size_um or 1.0
    axes = [{"name": a, "type": kind[a], **(unit if a in "zyx" else {})} for a in image.axes]
    datasets = []
    for level in range(image.levels):
        scale = [size * 2.0**level if a in "yx" else 1.0 for a in image.axes]
        # The centre of a level's first pixel lies (2^level - 1)/2 level-0 pixels inside the image.
        shift = [0.0 if image.label or a not in "yx" else size * (2.0**level - 1) / 2 for a in image.axes]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {"name": name, "axes": axes, "datasets": datasets}


def _ome(name: str, image: Image) -> dict[str, Any]:
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [_multiscales(name, image)]}
    if image.label:
        ome["image-label"] = {"source": {"image": "../../"}}
    if image.channels:
        window = {"min": 0.0, "max": image.channel_max, "start": 0.0, "end": image.channel_max}
        ome["omero"] = {
            "channels": [{"label": n, "color": c, "active": True, "window": window} for n, c in image.channels]
        }
    return ome


def create_image(path: Path, image: Image) -> None:
    """Lay out an OME-Zarr 0.5 image group at `path` with its empty levels."""
    attributes: dict[str, Any] = {"ome": _ome(path.name, image)}
    if image.attributes:
        attributes["rawmill"] = dict(image.attributes)
    create_group(path, attributes)
    for level in range(image.levels):
        shape = level_shape(image.shape, level)
        chunks = [*image.shape[:-2], image.chunk_px, image.chunk_px]
        shards = [*image.shape[:-2], image.shard_px, image.shard_px]
        create_array(path / str(level), shape, image.dtype, chunks, shards, list(image.axes))


def create_labels(image_path: Path, labels: Mapping[str, Image]) -> None:
    """Lay out `labels/` below the image at `image_path`, one label image a name."""
    create_group(image_path / "labels", {"ome": {"version": "0.5", "labels": sorted(labels)}})
    for name, image in sorted(labels.items()):
        create_image(image_path / "labels" / name, image)


def halve(block: Array, label: bool) -> Array:
    """The next pyramid level of `block` (..., y, x): true area average, or the nearest pixel of a label.

    The last row or column of an odd side averages what is there. Integers are rounded half to even.
    """
    if label:
        return block[..., ::2, ::2]
    pad = [(0, 0)] * (block.ndim - 2) + [(0, block.shape[-2] % 2), (0, block.shape[-1] % 2)]
    even = np.pad(block, pad, mode="edge")
    # Small integers are summed exactly in few bytes: a shard of a slide takes 100 MB here, in float64 1 GB.
    wide = np.dtype({"u1": np.uint16, "u2": np.uint32}.get(block.dtype.str[1:], np.float64))
    rows = np.add(even[..., ::2, :], even[..., 1::2, :], dtype=wide)
    total = rows[..., ::2] + rows[..., 1::2]
    if wide.kind == "u":
        return np.asarray(((total + 1 + (total >> 2 & 1)) >> 2).astype(block.dtype))
    return np.asarray((np.rint(total / 4) if block.dtype.kind in "ui" else total / 4).astype(block.dtype))


def write_image(path: Path, read: Callable[[Window], Array]) -> list[Path]:
    """Fill the image laid out at `path`: level 0 from `read(window)`, each next level from the one before.

    Memory is a few shards, whatever the size. Returns the files written.
    """
    files: list[Path] = []
    ome: Any = open_group(path).attrs["ome"]
    levels = len(ome["multiscales"][0]["datasets"])
    label = "image-label" in ome
    for level in range(levels):
        here = path / str(level)
        source = read if level == 0 else _halved(path / str(level - 1), label)
        files += [write(here, window, source(window)) for window in windows(open_array(here))]
    return files


def _halved(path: Path, label: bool) -> Callable[[Window], Array]:
    array = open_array(path)

    def read(window: Window) -> Array:
        sides = zip(window[-2:], array.shape[-2:], strict=True)
        double = tuple(slice(2 * w.start, min(2 * w.stop, n)) for w, n in sides)
        return halve(np.asarray(array[(*window[:-2], *double)]), label)

    return read
