"""TIFF through tifffile: checked headers, and windows of a page decoded segment by segment.

Only the tiles or strips under a window are read, so memory does not grow with the picture. A missing or cut
segment is an error here, never a patch of zeros (TIFF 6.0, section 15; Aperio writes JPEG tiles).
"""

import errno
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.ingest.bad import BadFile, too_large

MALFORMED = (
    *(tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError),
    *(ArithmeticError, RuntimeError),
)
"""What tifffile raises on headers that are not what they claim."""
DAMAGED = (tifffile.TiffFileError, RuntimeError, ValueError, NotImplementedError)
"""What tifffile and imagecodecs raise on pixel data that cannot be decoded."""
JPEG = 7
JPEG_END = b"\xff\xd9"
AGAIN = "copy or export it again"

# What is wrong with a file is raised here as one line, not logged as many.
tifffile.logger().setLevel(logging.CRITICAL)


@contextmanager
def headers(path: Path, wrong: str) -> Iterator[None]:
    """Turn what tifffile raises while it reads headers, an impossible seek included, into `BadFile`."""
    try:
        yield
    except MALFORMED:
        raise BadFile(path, wrong, "a whole TIFF file", AGAIN) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise BadFile(path, wrong, "a whole TIFF file", AGAIN) from None


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The TIFF at `path`; `BadFile` where its header cannot be read."""
    with headers(path, "truncated or damaged, not a readable TIFF"):
        tif = tifffile.TiffFile(path)
    with tif:
        yield tif


def check_chain(tif: tifffile.TiffFile, path: Path) -> None:
    """Every directory of the main chain lies inside the file. Raises `BadFile`.

    tifffile ends the chain at one that does not, which would lose the pictures after it without a word.
    """
    layout, size, seen = tif.tiff, path.stat().st_size, set()
    with path.open("rb") as file:
        at = layout.offsetsize if layout.offsetsize == 8 and not tif.is_ndpi else 4
        while True:
            file.seek(at)
            word = file.read(layout.offsetsize)
            start = struct.unpack(layout.offsetformat, word)[0] if len(word) == layout.offsetsize else -1
            if start == 0:
                return
            file.seek(start if 0 <= start < size else size)
            count = file.read(layout.tagnosize)
            if start in seen or len(count) < layout.tagnosize:
                raise BadFile(path, f"truncated at {size} bytes or damaged", "all its pages", AGAIN)
            seen.add(start)
            at = start + layout.tagnosize + struct.unpack(layout.tagnoformat, count)[0] * layout.tagsize


def first_page(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """The first page; `BadFile` where there is none."""
    with headers(path, "truncated or damaged, its first page cannot be read"):
        page = tif.pages.first
        _ = page.dtype, page.shape, page.chunked
        if page.imagelength < 1 or page.imagewidth < 1:
            raise BadFile(path, "its first page holds no picture", "a whole TIFF file", AGAIN)
    return page


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """(height, width) of a tile or strip, in pixels."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def check_page(page: tifffile.TiffPage, path: Path, most_segment_pixels: int) -> None:
    """All segments are there, whole and inside the file, and none is too large. Raises `BadFile`."""
    with headers(path, "a page that cannot be read"):
        _check_page(page, path, most_segment_pixels)


def _check_page(page: tifffile.TiffPage, path: Path, most_segment_pixels: int) -> None:
    height, width = segment_shape(page)
    too_large(path, height, width, most_segment_pixels, "most_frame_pixels")
    expected = int(np.prod(page.chunked))
    if min(len(page.dataoffsets), len(page.databytecounts)) < expected:
        raise BadFile(path, f"{len(page.dataoffsets)} pieces of pixel data", expected, AGAIN)
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    size = path.stat().st_size
    if min(page.databytecounts[:expected]) < 1 or min(page.dataoffsets[:expected]) < 1:
        raise BadFile(path, "a piece of its pixel data is missing", "every tile or strip", AGAIN)
    if max(ends[:expected]) > size:
        raise BadFile(path, f"truncated at {size} bytes", f"{max(ends[:expected])} bytes", AGAIN)


def read_window(page: tifffile.TiffPage, path: Path, rows: slice, columns: slice) -> NDArray[np.generic]:
    """Pixels of a window, (y, x, sample), in the dtype of the page. Raises `BadFile` on damaged data."""
    samples = page.samplesperpixel
    out = np.empty((rows.stop - rows.start, columns.stop - columns.start, samples), page.dtype)
    height, width = segment_shape(page)
    grid_y, grid_x = -(-page.imagelength // height), -(-page.imagewidth // width)
    planes = range(samples if page.planarconfig == 2 else 1)
    for plane in planes:
        target = out[..., plane : plane + 1] if len(planes) > 1 else out
        for i in range(rows.start // height, -(-rows.stop // height)):
            for j in range(columns.start // width, -(-columns.stop // width)):
                data = _segment(page, path, (plane * grid_y + i) * grid_x + j)
                _paste(target, data, rows, columns, i * height, j * width)
    return out


def _segment(page: tifffile.TiffPage, path: Path, index: int) -> NDArray[np.generic]:
    """One decoded tile or strip, (y, x, sample)."""
    file = page.parent.filehandle
    file.seek(page.dataoffsets[index])
    data = file.read(page.databytecounts[index])
    cut = page.compression == JPEG and not page.jpegheader and not data.rstrip(b"\x00").endswith(JPEG_END)
    if len(data) < page.databytecounts[index] or cut:
        raise BadFile(path, f"piece {index} of its pixel data is cut off", "whole pixel data", AGAIN)
    jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in (6, 7) else {}
    try:
        decoded = page.decode(data, index, **jpeg)[0]
    except DAMAGED:
        decoded = None
    if decoded is None:
        raise BadFile(path, f"piece {index} of its pixel data cannot be decoded", "whole pixel data", AGAIN)
    return np.asarray(decoded[0])


def _paste(out: NDArray[np.generic], data: NDArray[np.generic], rows: slice, columns: slice, y: int, x: int) -> None:
    """Copy the overlap of `data`, whose corner is at (y, x), with the window into `out`."""
    top, bottom = max(rows.start, y), min(rows.stop, y + data.shape[0])
    left, right = max(columns.start, x), min(columns.stop, x + data.shape[1])
    piece = data[top - y : bottom - y, left - x : right - x]
    out[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = piece


def rational(value: tuple[int, ...]) -> tuple[float, ...]:
    """Numerators and denominators in turn, as numbers; 0/0 and x/0 are not finite."""
    pairs = zip(value[::2], value[1::2], strict=True)
    return tuple(n / d if d else float("nan") for n, d in pairs)
