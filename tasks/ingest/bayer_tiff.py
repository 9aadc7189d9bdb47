"""A Bayer mosaic in a plain 16-bit TIFF: the format says nothing of the camera, so a calibration must."""

from pathlib import Path

import numpy as np
import tifffile

from tasks.contracts import Calibration
from tasks.ingest import tiff
from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.mosaic import Mosaic


def check_mosaic_page(page: tifffile.TiffPage, path: Path, most_pixels: int) -> None:
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
    tiff.check_page(page, path, most_pixels)


def decode(path: Path, calibration: Calibration | None, most_pixels: int) -> Mosaic:
    """The mosaic in the first page of the TIFF at `path`. Raises `BadFile`."""
    if calibration is None:
        remedy = "put calibration.json beside it or name one with --calibration"
        raise BadFile(path, "a TIFF does not say which camera made it", "a calibration", remedy)
    with tiff.opened(path) as tif:
        page = tiff.first_page(tif, path)
        check_mosaic_page(page, path, most_pixels)
        pixels = tiff.read_window(page, path, slice(0, page.imagelength), slice(0, page.imagewidth))
    return Mosaic(pixels[..., 0].astype(np.uint16, copy=False), calibration)
