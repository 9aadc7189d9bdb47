"""A Bayer mosaic in a plain 16-bit TIFF: the format says nothing of the camera, so a calibration must."""

import os
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.ingest import descriptions, segments, tiff
from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.mosaic import Mosaic
from tasks.ingest.params import IngestParams
from tasks.ingest.picture import DECODER


def mosaic_page(page: tifffile.TiffPage, path: Path, most_pixels: int) -> tiff.Page:
    """Raise `BadFile` unless `page` is one channel of uint16, whole, of at most `most_pixels`."""
    again = "export the raw numbers as 16-bit integers"
    if page.samplesperpixel != 1:
        raise BadFile(
            path, f"{page.samplesperpixel} channels", "a mosaic of one channel", "export it before demosaicing"
        )
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


def decode(path: Path, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    """The mosaic in the first page of the TIFF at `path`. Raises `BadFile`."""
    if calibration is None:
        remedy = "put calibration.json beside it or name one with --calibration"
        raise BadFile(path, "a TIFF does not say which camera made it", "a calibration", remedy)
    with tiff.opened(path) as tif:
        page = mosaic_page(tiff.first_page(tif, path), path, params.most_frame_pixels)
        with tiff.headers(path, "its tags cannot be read"):
            kept, dropped, _ = descriptions.of_pages([tif.pages.first], params.deidentify)
    pixels = whole(page, path)[0]
    return Mosaic(pixels.astype(np.uint16, copy=False), calibration, kept, dropped, DECODER)
