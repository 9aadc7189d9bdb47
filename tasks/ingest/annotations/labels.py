"""Label images read by windows, whatever holds them: PNG, label raster in TIFF, or GeoJSON polygons.

A raster may be smaller than its picture by a whole factor, as scanners' and networks' masks are: each of its
pixels then stands for a square of them. What has been read of a file is kept while it stays the same, so that
every column of a slide can open it anew.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tasks.ingest.annotations import geojson, polygons
from tasks.ingest.annotations.classes import index_of, raster_table
from tasks.ingest.bad import AGAIN, BadFile, too_large
from tasks.ingest.formats import segments, tiff
from tasks.ingest.formats.sniff import format_of
from tasks.ingest.params import IngestParams

Read = Callable[[slice, slice], NDArray[np.uint8]]
"""Class indices, uint8 (y, x), of a window given as rows and columns."""
Values = Callable[[slice, slice], NDArray[np.generic]]
RASTER = "one channel of class values in 8 or 16 bits"
State = tuple[int, int, int]
"""Size, time of change and number of a file: what is kept of it holds while they do."""

# Sizes are checked against the params, before a pixel is decoded; Pillow's own limit is lower than they allow.
Image.MAX_IMAGE_PIXELS = None


@contextmanager
def opened(path: Path, shape: tuple[int, ...], classes: tuple[str, ...], params: IngestParams) -> Iterator[Read]:
    """A reader of the label image at `path` of a picture of `shape` (y, x). Raises `BadFile`.

    Memory: polygons and TIFF rasters are read by windows; a PNG must be decoded whole.
    """
    form, (height, width) = format_of(path), shape
    if form == "json":
        yield _painting(path, classes, params.model_dump_json(), _state(path)).paint
    elif form == "png":
        values = _png(path, params.mask_values == "nonzero", params.most_frame_pixels, (height, width), _state(path))
        yield _named(path, classes, params, _enlarged(path, values.shape, (height, width), _window_of(values)))
    elif form == "tiff":
        page = _page(
            path, params.mask_values == "nonzero", params.most_slide_pixels, params.most_frame_pixels, _state(path)
        )
        file = os.open(path, os.O_RDONLY)
        try:
            read = _enlarged(path, (page.height, page.width), (height, width), _raster(page, file, path))
            yield _named(path, classes, params, read)
        finally:
            os.close(file)
    else:
        raise BadFile(path, f"a {form} file", "PNG, TIFF or GeoJSON", "export the labels again")


def _state(path: Path) -> State:
    known = path.stat()
    return known.st_size, known.st_mtime_ns, known.st_ino


@lru_cache(maxsize=4)
def _painting(path: Path, classes: tuple[str, ...], params: str, _state: State) -> polygons.Painting:
    known = IngestParams.model_validate_json(params)
    shapes = geojson.read_polygons(path, known.most_annotation_bytes)
    index = {name: index_of(name, path, classes, known) for name in dict.fromkeys(p.name for p in shapes)}
    return polygons.painting([(index[p.name], p) for p in shapes])


def _window_of(values: NDArray[np.generic]) -> Values:
    return lambda rows, columns: values[rows, columns]


def factor_of(found: tuple[int, ...], shape: tuple[int, int]) -> int | None:
    """How many times smaller than `shape` a raster of the size `found` is: sides rounded up or down; None if not.

    Where several factors fit, which happens to small rasters only, the power of two is meant; without one the
    raster is refused: half a guess would shift every label.
    """
    if 0 in found[:2]:
        return None
    if tuple(found[:2]) == shape:
        return 1
    factors = np.arange(2, max(shape) + 1)
    fits = np.ones(len(factors), bool)
    for n, side in zip(found, shape, strict=True):
        fits &= (side // factors == n) | (-(-side // factors) == n)
    able = factors[fits].tolist()
    powers = [factor for factor in able if factor & (factor - 1) == 0]
    chosen = powers if len(able) > 1 else able
    return int(chosen[0]) if len(chosen) == 1 else None


def _enlarged(path: Path, found: tuple[int, ...], shape: tuple[int, int], read: Values) -> Values:
    """`read` of a raster of the size `found`, by nearest pixel, in pixels of its picture. Raises `BadFile`."""
    factor = factor_of(found, shape)
    if factor is None:
        wrong = f"{found[0]} x {found[1]} pixels"
        expected = f"{shape[0]} x {shape[1]} as its picture has, or smaller by a whole factor"
        raise BadFile(path, wrong, expected, "export the labels at full size")
    if factor == 1:
        return read

    def enlarged(rows: slice, columns: slice) -> NDArray[np.generic]:
        y, x = (
            np.minimum(np.arange(w.start, w.stop) // factor, n - 1) for w, n in zip((rows, columns), found, strict=True)
        )
        small = read(slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1))
        return np.asarray(small[np.ix_(y - y[0], x - x[0])])

    return enlarged


def _named(path: Path, classes: tuple[str, ...], params: IngestParams, read: Values) -> Read:
    """`read` with the raster's values turned into class indices."""
    table = raster_table(path, classes, params)

    def named(rows: slice, columns: slice) -> NDArray[np.uint8]:
        values = read(rows, columns)
        indices: NDArray[np.int16] = table[values if values.dtype == np.uint8 else np.minimum(values, 256)]
        if indices.min(initial=0) < 0:
            raise _foreign(path, int(values[indices < 0].min()), params)
        return indices.astype(np.uint8)

    return named


def _foreign(path: Path, value: int, params: IngestParams) -> BadFile:
    """What is wrong with a value that has no name."""
    if not params.source_classes:
        wrong = f"the value {value}, and no names for label values"
        expected = "source_classes in the params, such as [tumour, stroma]"
        return BadFile(
            path, wrong, expected, "name them there or by --classes, or set mask_values: nonzero with one name"
        )
    remedy = "name it in source_classes, set mask_values: nonzero, or export the labels again"
    return BadFile(path, f"the value {value}", f"0 to {len(params.source_classes)}", remedy)


@lru_cache(maxsize=4)
def _page(path: Path, nonzero: bool, most_pixels: int, most_segment_pixels: int, _state: State) -> tiff.Page:
    """The raster in a TIFF's first page, its headers checked."""
    with tiff.opened(path) as tif:
        first = tiff.first_page(tif, path)
        if first.dtype not in (np.uint8, np.uint16) or (first.samplesperpixel != 1 and not nonzero):
            raise BadFile(path, f"{first.samplesperpixel} channels of {first.dtype}", RASTER, "export it again")
        too_large(path, first.imagelength, first.imagewidth, most_pixels, "most_slide_pixels")
        page = tiff.page_of(first, path, most_segment_pixels)
    segments.check_codec(page, path)
    segments.check_piece(page, path)
    return page


def _raster(page: tiff.Page, file: int, path: Path) -> Values:
    def read(rows: slice, columns: slice) -> NDArray[np.generic]:
        out = np.empty((page.samples, rows.stop - rows.start, columns.stop - columns.start), page.dtype)
        segments.read_into(out, page, file, path, rows, columns)
        colours = out[:3] if page.samples > 2 else out[:1]
        return np.asarray(out[0] if page.samples == 1 else (colours != 0).any(axis=0).astype(np.uint8))

    return read


@lru_cache(maxsize=1)
def _png(path: Path, nonzero: bool, most_pixels: int, shape: tuple[int, int], _state: State) -> NDArray[np.generic]:
    """The values of a PNG of one 8- or 16-bit channel, a palette's indices, or one bit; its size is checked first.

    Where only `nonzero` matters, any mode will do, and a pixel counts when any of its colours is not 0.
    """
    try:
        with Image.open(path) as image:
            too_large(path, image.height, image.width, most_pixels, "most_frame_pixels")
            _enlarged(path, (image.height, image.width), shape, _window_of(np.empty((0, 0))))
            if image.mode not in ("L", "P", "1", "I;16", "I") and not nonzero:
                raise BadFile(path, f"PNG mode {image.mode}", RASTER, "export it again")
            values = np.asarray(image)
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        KeyError,
        IndexError,
        Image.DecompressionBombError,
    ):
        raise BadFile(path, "truncated or damaged", "a whole PNG", AGAIN) from None
    if values.ndim == 3:
        colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
        return np.asarray((colours != 0).any(axis=-1), np.uint8)
    return values.astype(np.uint8 if values.dtype.itemsize == 1 else np.uint16)
