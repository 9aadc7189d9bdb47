"""Pixels of a TIFF page, window by window, each segment bounded before it is decoded.

A segment can not expand beyond its claim: byte codecs get an output of the claimed size, and a JPEG or JPEG 2000
stream must state that size before its decoder runs. Only compressions of which this holds are read. A missing or
cut segment is an error here, never a patch of zeros. Reads go by `os.pread`, so that threads share the file.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.ingest.bad import AGAIN, BadFile
from tasks.ingest.formats.tiff import Page, grid
from tasks.jpeg import dropped, frame_size

DAMAGED = (
    *(tifffile.TiffFileError, RuntimeError, ValueError, NotImplementedError, IndexError, KeyError, TypeError),
    *(ArithmeticError, AttributeError, MemoryError),
)
"""What tifffile and imagecodecs raise on pixel data that cannot be decoded."""
NONE, JPEG = 1, 7
MOSAIC = 32803
"""PhotometricInterpretation of a colour filter array."""
JPEG_2000 = (33004, 33005, 34712)
COMPRESSIONS = {NONE: "none", 5: "LZW", JPEG: "JPEG", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
COMPRESSIONS |= {50000: "zstd", 34925: "LZMA", **dict.fromkeys(JPEG_2000, "JPEG 2000")}
MOST_ROWS = 256
MOST_PIECE_BYTES = 2**26
"""Of a tile or strip that must be unpacked whole for any window in it: each column of the picture does so again."""
JPEG_END = b"\xff\xd9"
PALETTE = 3
LOOKED_AT = 64
"""Tiles of a picture whose JPEG markers are read to name what is not kept."""


def check_codec(page: Page, path: Path) -> None:
    """Raise `BadFile` where the pixels are packed in a way that is not read with a bound on memory."""
    if page.compression not in COMPRESSIONS:
        wrong = f"compression {page.compression}"
        raise BadFile(path, wrong, f"one of {', '.join(sorted(set(COMPRESSIONS.values())))}", "export it again")
    if page.compression != JPEG and page.photometric == 6:
        raise BadFile(path, "YCbCr pixels without JPEG", "RGB pixels", "export it as RGB")


def check_piece(page: Page, path: Path) -> None:
    """Raise `BadFile` where a packed tile or strip is too large to be unpacked again for each window in it."""
    height, width = page.segment
    size = height * width * (1 if page.planar else page.samples) * page.dtype.itemsize
    if size > MOST_PIECE_BYTES and not _plain(page):
        wrong = f"a piece of {height} x {width} pixels in one"
        raise BadFile(path, wrong, f"tiles or strips of at most {MOST_PIECE_BYTES} bytes", "export it in tiles")


def read_into(out: NDArray[np.generic], page: Page, file: int, path: Path, rows: slice, columns: slice) -> None:
    """Fill `out` (sample, y, x) with a window of `page`. Raises `BadFile` on damaged data."""
    if _plain(page):
        return _read_plain(out, page, file, path, rows, columns)
    height, width = page.segment
    down, across = grid(page)
    for plane in range(page.samples if page.planar else 1):
        target = out[plane : plane + 1] if page.planar else out
        for i in range(rows.start // height, -(-rows.stop // height)):
            for j in range(columns.start // width, -(-columns.stop // width)):
                data = decoded(page, file, path, (plane * down + i) * across + j)
                _paste(target, data, rows, columns, i * height, j * width)
    return None


def _paste(out: NDArray[np.generic], data: NDArray[np.generic], rows: slice, columns: slice, y: int, x: int) -> None:
    """Copy the overlap of `data` (y, x, sample), whose corner is at (y, x), with the window into `out`."""
    top, bottom = max(rows.start, y), min(rows.stop, y + data.shape[0])
    left, right = max(columns.start, x), min(columns.stop, x + data.shape[1])
    piece = data[top - y : bottom - y, left - x : right - x]
    place = slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start)
    for sample in range(len(out)):
        out[sample, place[0], place[1]] = piece[..., sample]


def _plain(page: Page) -> bool:
    """Whether rows of pixels stand in the file as they are: strips can be as large as the picture there."""
    simple = page.compression == NONE and page.predictor == 1 and page.fill_order == 1 and not page.tiled
    return simple and page.bits == 8 * page.dtype.itemsize


def _read_plain(out: NDArray[np.generic], page: Page, file: int, path: Path, rows: slice, columns: slice) -> None:
    """From strips that are not packed: many whole rows at once, else row by row, and nothing beside the window."""
    samples = 1 if page.planar else page.samples
    kind, span = page.dtype.newbyteorder(page.byteorder), columns.stop - columns.start
    height, (down, _) = page.segment[0], grid(page)
    for plane in range(page.samples if page.planar else 1):
        target = out[plane : plane + 1] if page.planar else out
        for first, last in _runs(rows, height, span == page.width):
            at = (first % height * page.width + columns.start) * samples * page.dtype.itemsize
            size = (last - first) * span * samples * page.dtype.itemsize
            data = _bytes_at(page, file, path, plane * down + first // height, at, size)
            pixels = np.frombuffer(data, kind).reshape(last - first, span, samples)
            target[:, first - rows.start : last - rows.start] = np.moveaxis(pixels, -1, 0)


def _runs(rows: slice, height: int, whole: bool) -> Iterator[tuple[int, int]]:
    """`rows` in runs whose bytes follow each other: rows of one strip of `height` where they are `whole`, else single.

    A strip may be the whole picture: runs have `MOST_ROWS` at most.
    """
    first = rows.start
    while first < rows.stop:
        last = min(rows.stop, (first // height + 1) * height, first + MOST_ROWS) if whole else first + 1
        yield first, last
        first = last


def _bytes_at(page: Page, file: int, path: Path, strip: int, at: int, size: int) -> bytes:
    """`size` bytes from byte `at` of a strip that is not packed. Raises `BadFile` where they are cut off."""
    data = os.pread(file, size, int(page.offsets[strip]) + at) if at + size <= page.sizes[strip] else b""
    if len(data) < size:
        raise BadFile(path, f"piece {strip} of its pixel data is cut off", "whole pixel data", AGAIN)
    return data


def raw(page: Page, file: int, path: Path, index: int) -> bytes:
    """The bytes of one segment as they stand in the file. Raises `BadFile` where they are cut off."""
    size = int(page.sizes[index])
    claim = page.segment[0] * page.segment[1] * page.samples * page.dtype.itemsize
    if size > 4 * claim + 2**20:
        raise BadFile(path, f"{size} bytes for {claim} bytes of pixels", "pixel data of its size", AGAIN)
    data = os.pread(file, size, int(page.offsets[index]))
    cut = page.compression == JPEG and page.header is None and not data.rstrip(b"\x00").endswith(JPEG_END)
    if len(data) < size or cut:
        raise BadFile(path, f"piece {index} of its pixel data is cut off", "whole pixel data", AGAIN)
    return data


def decoded(page: Page, file: int, path: Path, index: int) -> NDArray[np.generic]:
    """One tile or strip, (y, x, sample); edge tiles are whole or cut to the picture. Raises `BadFile`."""
    data = raw(page, file, path, index)
    jpeg = {}
    if page.compression == JPEG:
        jpeg = {"jpegtables": page.tables, "jpegheader": page.header}
    try:
        _check_claim(page, index, data)
        found = page.decode(data, index, **jpeg)[0]
    except DAMAGED:
        found = None
    if found is None:
        raise BadFile(path, f"piece {index} of its pixel data cannot be decoded", "whole pixel data", AGAIN)
    pixels = np.asarray(found[0])
    if pixels.shape[-1] != (1 if page.planar else page.samples) or pixels.dtype != page.dtype:
        wrong = f"piece {index} of its pixel data holds {pixels.shape[-1]} samples of {pixels.dtype}"
        raise BadFile(path, wrong, f"{page.samples} of {page.dtype}", AGAIN)
    return pixels


def check_claim(page: Page, index: int, data: bytes, path: Path) -> None:
    """Raise `BadFile` unless a stream that states its size states that of its segment."""
    try:
        _check_claim(page, index, data)
    except ValueError:
        raise BadFile(path, f"piece {index} of its pixel data cannot be decoded", "whole pixel data", AGAIN) from None


def _check_claim(page: Page, index: int, data: bytes) -> None:
    """Raise `ValueError` unless a stream that states its size states that of its segment."""
    if page.compression == JPEG:
        stated = frame_size((page.header or b"") + data)
    elif page.compression in JPEG_2000:
        stated = jpeg_2000_size(data)
    else:
        return
    samples = 1 if page.planar else page.samples
    down, across = grid(page)
    top = index // across % down * page.segment[0]
    left = index % across * page.segment[1]
    cut = min(page.segment[0], page.height - top), min(page.segment[1], page.width - left)
    heights = (page.segment[0], cut[0])
    if page.photometric == MOSAIC:
        # Lossless JPEG of a mosaic takes two or four columns as its components, or two rows as one (DNG
        # specification, chapter 3): what counts is the number of values.
        values = stated[0] * stated[1] * stated[2]
        sizes = [(h, w) for h in heights for w in (page.segment[1], cut[1]) if h * w == values]
        stated = (*(sizes[0] if sizes else stated[:2]), 1)
    if stated[2] != samples or stated[0] not in heights or stated[1] not in (page.segment[1], cut[1]):
        raise ValueError(f"a stream of {stated}, not of {page.segment} and {samples} samples")


def jpeg_2000_size(data: bytes) -> tuple[int, int, int]:
    """(height, width, components) of a JPEG 2000 codestream's SIZ marker (ISO 15444-1, A.5.1). Raises `ValueError`."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 42:
        raise ValueError("no JPEG 2000 codestream")
    width, height, left, top = (int.from_bytes(data[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
    return height - top, width - left, int.from_bytes(data[at + 40 : at + 42], "big")


def dropped_markers(page: Page, path: Path) -> set[str]:
    """Names of JPEG comments and application data, which are never kept: of the tables and tiles spread over `page`."""
    if page.compression != JPEG:
        return set()
    names: set[str] = set()
    with path.open("rb") as file:
        some = np.unique(np.linspace(0, len(page.offsets) - 1, LOOKED_AT).astype(int)).tolist()
        for data in (page.tables or b"", *(_stream(page, file.fileno(), path, index) for index in some)):
            with contextlib.suppress(ValueError):  # met again when it is read
                names |= dropped(data)
    return names


def _stream(page: Page, file: int, path: Path, index: int) -> bytes:
    try:
        return (page.header or b"") + raw(page, file, path, index)
    except BadFile:
        return b""


def whole(page: Page, file: int, path: Path) -> NDArray[np.generic]:
    """All of `page`: (sample, y, x)."""
    out = np.empty((page.samples, page.height, page.width), page.dtype)
    read_into(out, page, file, path, slice(0, page.height), slice(0, page.width))
    return out
