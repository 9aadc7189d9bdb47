"""A Bayer mosaic in a plain 16-bit TIFF: the format says nothing of the camera, so a calibration must."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.formats import descriptions, segments, tiff
from tasks.ingest.formats.choice import MASK, REDUCED
from tasks.ingest.formats.mosaic import Mosaic
from tasks.ingest.formats.picture import DECODER
from tasks.ingest.params import IngestParams


def mosaic_page(page: tifffile.TiffPage, path: Path, most_pixels: int) -> tiff.Page:
    """Raise `BadFile` unless `page` is one channel of uint16, whole, of at most `most_pixels`."""
    again = "export the raw numbers as 16-bit integers"
    if page.samplesperpixel != 1:
        raise BadFile(
            path, f"{page.samplesperpixel} channels", "a mosaic of one channel", "export it before demosaicing"
        )
    if int(page.photometric) == segments.PALETTE:
        raise BadFile(path, "colours from a palette", "a mosaic of one channel", again)
    if page.dtype is None or page.dtype.kind != "u":
        raise BadFile(path, f"{page.dtype} pixels", "uint16", again)
    if page.dtype != np.uint16:
        raise BadFile(path, f"{8 * page.dtype.itemsize}-bit pixels", "16-bit pixels", again)
    too_large(path, page.imagelength, page.imagewidth, most_pixels, "most_frame_pixels")
    found = tiff.page_of(page, path, most_pixels)
    segments.check_codec(found, path)
    return found


def whole(page: tiff.Page, path: Path) -> NDArray[np.generic]:
    """All of `page`: (sample, y, x)."""
    file = os.open(path, os.O_RDONLY)
    try:
        return segments.whole(page, file, path)
    finally:
        os.close(file)


def header(path: Path, params: IngestParams) -> tuple[tiff.Page, dict[str, Any], tuple[str, ...]]:
    """The only whole picture of the TIFF at `path`, what is kept of its tags and what is not. Raises `BadFile`."""
    with tiff.opened(path) as tif:
        page = only_page(tif, path)
        checked = mosaic_page(page, path, params.most_frame_pixels)
        with tiff.headers(path, "its tags cannot be read"):
            kept, dropped, _ = descriptions.of_pages([page], params.deidentify)
    return checked, kept, dropped


def only_page(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """The one page that is no reduced picture and no mask. Raises `BadFile` where there are more."""
    first = tiff.first_page(tif, path)
    with tiff.headers(path, "its pages cannot be read"):
        pages = [p.aspage() for p in tif.pages]
        pages += [below.aspage() for page in pages for below in page.pages or ()]
        found = [p for p in pages if not p.subfiletype & (REDUCED | MASK)]
    if len(found) > 1:
        raise BadFile(path, f"{len(found)} pictures in it", "one mosaic", "split it into a file for each")
    return found[0] if found else first


def decode(path: Path, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    """The mosaic in the TIFF at `path`. Raises `BadFile`."""
    page, kept, dropped = header(path, params)
    if calibration is None:
        remedy = "put calibration.json beside it or name one with --calibration"
        raise BadFile(path, "a TIFF does not say which camera made it", "a calibration", remedy)
    pixels = whole(page, path)[0]
    pixels = pixels.astype(np.uint16, copy=False)
    return Mosaic("16-bit Bayer TIFF", pixels, calibration, kept, dropped, DECODER)
