"""Label images read by windows, whatever holds them: PNG, label raster in TIFF, or GeoJSON polygons."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tasks.ingest import polygons, tiff
from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.classes import index_of, raster_table
from tasks.ingest.params import IngestParams
from tasks.ingest.sniff import format_of

Read = Callable[[slice, slice], NDArray[np.uint8]]
"""Class indices, uint8 (y, x), of a window given as rows and columns."""
RASTER = "one 8-bit channel of class values"


@contextmanager
def opened(path: Path, shape: tuple[int, int], classes: tuple[str, ...], params: IngestParams) -> Iterator[Read]:
    """A reader of the label image at `path`, which must be of `shape` (y, x). Raises `BadFile`.

    Memory: polygons and TIFF rasters are read by windows; a PNG must be decoded whole.
    """
    form = format_of(path)
    if form == "json":
        found = [(index_of(p.name, path, classes, params), p) for p in polygons.read_polygons(path)]
        yield lambda y, x: polygons.paint(found, y, x)
    elif form == "png":
        whole = _png(path, shape, params.most_frame_pixels)
        yield _named(path, classes, params, lambda y, x: whole[y, x])
    elif form == "tiff":
        with tiff.opened(path) as tif:
            page = tiff.first_page(tif, path)
            if page.dtype != np.uint8 or page.samplesperpixel != 1:
                raise BadFile(path, f"{page.samplesperpixel} channels of {page.dtype}", RASTER, "export it again")
            _same_size(path, (page.imagelength, page.imagewidth), shape)
            tiff.check_page(page, path, params.most_frame_pixels)
            yield _named(path, classes, params, lambda y, x: tiff.read_window(page, path, y, x)[..., 0])
    else:
        raise BadFile(path, f"a {form} file", "PNG, TIFF or GeoJSON", "export the labels again")


def _same_size(path: Path, found: tuple[int, int], shape: tuple[int, int]) -> None:
    if found != shape:
        wrong, expected = f"{found[0]} x {found[1]} pixels", f"{shape[0]} x {shape[1]} as its picture has"
        raise BadFile(path, wrong, expected, "export the labels at full size")


def _named(
    path: Path, classes: tuple[str, ...], params: IngestParams, read: Callable[[slice, slice], NDArray[np.generic]]
) -> Read:
    """`read` with the raster's values turned into class indices."""
    table = raster_table(path, classes, params)

    def named(rows: slice, columns: slice) -> NDArray[np.uint8]:
        values = read(rows, columns)
        indices: NDArray[np.int16] = table[values]
        if indices.min(initial=0) < 0:
            foreign = int(values[indices < 0].min())
            expected = f"0 to {len(params.source_classes)}"
            raise BadFile(
                path, f"the value {foreign}", expected, "name it in source_classes or export the labels again"
            )
        return indices.astype(np.uint8)

    return named


def _png(path: Path, shape: tuple[int, int], most_pixels: int) -> NDArray[np.uint8]:
    """The values of a PNG of one 8-bit channel, a palette's indices, or one bit. Its size is checked first."""
    try:
        with Image.open(path) as image:
            _same_size(path, (image.height, image.width), shape)
            too_large(path, image.height, image.width, most_pixels, "most_frame_pixels")
            if image.mode not in ("L", "P", "1"):
                raise BadFile(path, f"PNG mode {image.mode}", RASTER, "export it again")
            values: NDArray[np.uint8] = np.asarray(image, np.uint8)
            return values
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise BadFile(path, "truncated or damaged", "a whole PNG", "copy or export it again") from None
