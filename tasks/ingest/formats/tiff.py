"""TIFF through tifffile: checked headers, and pages as plain facts whose windows are read segment by segment.

tifffile parses headers that `structure` has found sound; what a page is then stands in a frozen `Page` that
needs no open file, so that it can be kept between the columns of a slide and shared by threads.
"""

import errno
import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.ingest.bad import AGAIN, BadFile, too_large
from tasks.ingest.formats import structure

MALFORMED = (
    *(tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError),
    *(ArithmeticError, RuntimeError, AssertionError, SyntaxError),
)
"""What tifffile raises on headers that are not what they claim."""

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
        if error.errno not in (errno.EINVAL, errno.EOVERFLOW):
            raise
        raise BadFile(path, wrong, "a whole TIFF file", AGAIN) from None


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The TIFF at `path`, its directories walked before; `BadFile` where they are damaged or absurd.

    Other files that it names are not opened.
    """
    flags = {"is_ndpi": True} if structure.check(path).ndpi else {"is_ndpi": None}
    with headers(path, "truncated or damaged, not a readable TIFF"):
        tif = tifffile.TiffFile(path, _multifile=False, **flags)
    with tif:
        with headers(path, "its description cannot be read"):
            if "<!ENTITY" in tif.pages.first.description:
                raise BadFile(path, "XML with entities of its own in its description", "plain OME-XML", AGAIN)
        yield tif


def first_page(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """The first page; `BadFile` where there is none."""
    with headers(path, "truncated or damaged, its first page cannot be read"):
        page = tif.pages.first
        _ = page.dtype, page.shape, page.chunked
        if page.imagelength < 1 or page.imagewidth < 1:
            raise BadFile(path, "its first page holds no picture", "a whole TIFF file", AGAIN)
    return page


@dataclass(frozen=True, eq=False)
class Page:
    """One image of a TIFF: pixels (height, width, samples) of `dtype`, in tiles or strips.

    `offsets` and `sizes` are int64, one a segment; `decode` is tifffile's decoder of a segment, which keeps
    no state. `planar`: the samples are apart, all segments of the first, then of the second.
    """

    height: int
    width: int
    samples: int
    dtype: np.dtype[Any]
    tiled: bool
    segment: tuple[int, int]
    planar: bool
    bits: int
    byteorder: Literal["<", ">"]
    compression: int
    predictor: int
    photometric: int
    fill_order: int
    jfif: bool
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    tables: bytes | None
    header: bytes | None
    decode: Callable[..., Any]


def page_of(page: tifffile.TiffPage, path: Path, most_segment_pixels: int) -> Page:
    """`page` as a `Page`: all segments there, whole and inside the file, none too large. Raises `BadFile`."""
    with headers(path, "a page that cannot be read"):
        segment = segment_shape(page)
        too_large(path, *segment, most_segment_pixels, "most_frame_pixels")
        if page.dtype is None or page.imagedepth != 1 or page.tiledepth != 1:
            wrong = f"{page.bitspersample}-bit pixels of sample format {page.sampleformat}, depth {page.imagedepth}"
            raise BadFile(path, wrong, "8- or 16-bit integers or 32-bit floats", "export it again")
        offsets, sizes = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
        found = Page(
            height=page.imagelength,
            width=page.imagewidth,
            samples=page.samplesperpixel,
            dtype=np.dtype(page.dtype).newbyteorder("="),
            tiled=page.is_tiled,
            segment=segment,
            planar=page.planarconfig == 2 and page.samplesperpixel > 1,
            bits=page.bitspersample,
            byteorder=page.parent.byteorder,
            compression=int(page.compression),
            predictor=int(page.predictor),
            photometric=int(page.photometric),
            fill_order=int(page.fillorder),
            jfif=page.is_jfif,
            offsets=offsets,
            sizes=sizes,
            tables=page.jpegtables,
            header=page.jpegheader,
            decode=page.decode,
        )
    check_segments(found, path)
    return found


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """(height, width) of a tile or strip, in pixels."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def grid(page: Page) -> tuple[int, int]:
    """How many segments (down, across) a plane of `page` has."""
    return -(-page.height // page.segment[0]), -(-page.width // page.segment[1])


def check_segments(page: Page, path: Path) -> None:
    """All segments are there and inside the file. Raises `BadFile`."""
    down, across = grid(page)
    expected = down * across * (page.samples if page.planar else 1)
    if min(len(page.offsets), len(page.sizes)) < expected:
        raise BadFile(path, f"{min(len(page.offsets), len(page.sizes))} pieces of pixel data", expected, AGAIN)
    offsets, sizes = page.offsets[:expected], page.sizes[:expected]
    if sizes.min() < 1 or offsets.min() < 1:
        raise BadFile(path, "a piece of its pixel data is missing", "every tile or strip", AGAIN)
    size, end = path.stat().st_size, int((offsets + sizes).max())
    if end > size:
        raise BadFile(path, f"truncated at {size} bytes", f"{end} bytes", AGAIN)


def rational(value: tuple[int, ...]) -> tuple[float, ...]:
    """Numerators and denominators in turn, as numbers; 0/0 and x/0 are not finite."""
    pairs = zip(value[::2], value[1::2], strict=True)
    return tuple(n / d if d else float("nan") for n, d in pairs)
