"""Stored arrays read with distrust: every shard and chunk that the grid wants is there, and decodes.

zarr-python 3.1 reads a chunk that is missing as zeros, without a word; here it is a fault. The decoding itself is
left to zarr-python, which did not write the shards: another pair of eyes.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from tasks import store
from tasks.errors import LineageError, fault
from tasks.lineage import chunks

AGAIN = "ingest the sources again"
STRIP_PX = 64
"""Rows of a level that are averaged at a time: they stay in the cache."""


@dataclass(frozen=True)
class Stored:
    """An array of a store; `name` is its path below it."""

    root: Path
    name: str
    array: zarr.Array[Any]
    layout: chunks.Sharding

    @property
    def count(self) -> int:
        """How many shards its grid wants."""
        return math.prod(-(-n // s) for n, s in zip(self.layout.shape, self.layout.shard, strict=True))

    def windows(self) -> Iterator[store.Window]:
        """Its shards' windows, in C order."""
        return store.windows(self.array)


def opened(root: Path, name: str) -> Stored:
    """The sharded array at `name` below the store `root`. Raises `LineageError`."""
    layout = chunks.sharding((root / name / "zarr.json").read_bytes())
    if layout is None:
        raise LineageError(fault(root / name, "not a sharded array", "arrays as rawmill writes them", AGAIN))
    with decoding(root / name / "zarr.json", "not readable", "metadata of an array"):
        return Stored(root, name, store.open_array(root / name), layout)


def is_array(metadata: Path) -> bool:
    """Whether a `zarr.json` is that of an array. Raises `LineageError` where it is no metadata at all."""
    try:
        return bool(json.loads(metadata.read_bytes())["node_type"] == "array")
    except (OSError, ValueError, KeyError, TypeError):
        raise LineageError(fault(metadata, "not readable", "metadata of Zarr v3", AGAIN)) from None


def check_grid(stored: Stored, found: int) -> None:
    """As many shards were `found` as the grid wants: asked before they are gone through. Raises `LineageError`."""
    if found != stored.count:
        raise LineageError(fault(stored.root / stored.name, f"{found} shards", stored.count, AGAIN))


@contextmanager
def decoding(
    file: Path, wrong: str = "cannot be decoded", expected: str = "chunks that hold what was written"
) -> Iterator[None]:
    """Turn whatever a library says of bytes that are not its own into a `LineageError` that names the file."""
    try:
        yield
    except LineageError:
        raise
    except FileNotFoundError:
        raise LineageError(fault(file, "missing", "a shard", AGAIN)) from None
    except Exception:  # what it is depends on the library's version; the file says enough
        raise LineageError(fault(file, wrong, expected, AGAIN)) from None


def read(stored: Stored, window: store.Window) -> NDArray[Any]:
    """The pixels of one shard, every chunk of it decoded. Raises `LineageError` that names its file."""
    file = store.shard_file(stored.root / stored.name, stored.array, window)
    with decoding(file):
        missing = _missing(file, stored.layout, window)
        if missing:
            wrong = f"{len(missing)} chunks missing, first {chunks.name_of(missing[0])}"
            raise LineageError(fault(file, wrong, "every chunk of the grid", AGAIN))
        return np.asarray(stored.array[window])


def chunk_count(stored: Stored, window: store.Window) -> int:
    """How many chunks the part of the array in `window` has."""
    return math.prod(-(-(w.stop - w.start) // c) for w, c in zip(window, stored.layout.chunk, strict=True))


def _missing(file: Path, layout: chunks.Sharding, window: store.Window) -> list[chunks.Coords]:
    """Chunks of the shard `file` that hold pixels of the array and are not there."""
    (wanted,) = chunks.places(layout, [(w.start, w.stop) for w in window]).values()
    with file.open("rb") as opened_file:
        return sorted(set(wanted) - set(chunks.read_index(opened_file, layout)))


def differs(found: NDArray[Any], expected: NDArray[Any], window: store.Window) -> str | None:
    """What is wrong with `found` where it is not `expected` to the last bit; `window` says where it lies."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    bits = f"u{found.dtype.itemsize}"  # in these, NaN equals itself and -0 does not equal 0
    unequal = np.ascontiguousarray(found).view(bits) != np.ascontiguousarray(expected).view(bits)
    if not unequal.any():
        return None
    first = np.unravel_index(int(unequal.argmax()), unequal.shape)
    at = tuple(int(i) + w.start for i, w in zip(first, window, strict=True))
    return f"{int(unequal.sum())} values differ, first at {at}"


def level_fault(stored: Stored, window: store.Window, pixels: NDArray[Any], below: Stored, label: bool) -> str | None:
    """What is wrong with `pixels`, a window of a pyramid's level, against the level `below` it; None where nothing.

    Labels are the nearest pixel, exactly. Others are the mean of the level-0 pixels under them; taken from the
    level below, which was rounded itself, it may differ by 1 DN (floats: by 1e-5 of the largest value).
    """
    sides = zip(window[-2:], below.array.shape[-2:], strict=True)
    double = tuple(slice(2 * w.start, min(2 * w.stop, n)) for w, n in sides)
    with decoding(below.root / below.name):
        under = np.asarray(below.array[(*window[:-2], *double)])
    if label:
        wrong = bool((pixels != under[..., ::2, ::2]).any())
    else:
        wrong = any(_far(*strips) for strips in _strips(pixels, under, window, stored.array.shape))
    if wrong:
        return f"not the {'nearest pixel' if label else 'mean'} of {below.name}"
    return None


def _strips(
    pixels: NDArray[Any], under: NDArray[Any], window: store.Window, shape: tuple[int, ...]
) -> Iterator[tuple[NDArray[Any], NDArray[Any], tuple[bool, ...]]]:
    """Rows of a level with those under them, and whether the image ends at their last row and column."""
    height = pixels.shape[-2]
    for top in range(0, height, STRIP_PX):
        bottom = min(top + STRIP_PX, height)
        ends = (bottom == height and window[-2].stop == shape[-2], window[-1].stop == shape[-1])
        yield pixels[..., top:bottom, :], under[..., 2 * top : 2 * bottom, :], ends


def _far(part: NDArray[Any], under: NDArray[Any], ends: tuple[bool, ...]) -> bool:
    """Whether any value of `part` is further from the mean of its four pixels in `under` than rounding allows.

    Where the image ends (`ends`: at the last row, column), a pixel below may stand for fewer level-0 pixels than its
    neighbour, so that only their range is certain. A mean that is no number, or infinite, must be just that.
    """
    pad = [(0, 0)] * (under.ndim - 2) + [(0, under.shape[-2] % 2), (0, under.shape[-1] % 2)]
    even = np.pad(under, pad, mode="edge")
    whole = part.dtype.kind in "ui"
    quarters = [even[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    four: list[NDArray[Any]] = [q.astype(np.int32 if whole else np.float64) for q in quarters]
    with np.errstate(invalid="ignore"):  # inf - inf
        total = four[0] + four[1] + four[2] + four[3]
        distance = np.abs(4 * part.astype(total.dtype) - total)
    slack = 1.0 if whole else 1e-5 * float(np.abs(even[np.isfinite(even)]).max(initial=0))
    inside = (distance <= 4 * slack) | (part == total) & np.isinf(total) | np.isnan(part) & np.isnan(total)
    for end, edge in zip(ends, (np.s_[..., -1:, :], np.s_[..., :, -1:]), strict=True):
        if end:
            here = np.stack([q[edge] for q in four])
            inside[edge] |= (part[edge] >= here.min(axis=0) - slack) & (part[edge] <= here.max(axis=0) + slack)
    return not bool(inside.all())
