"""A raw frame or crop: the mosaic as it was, with its calibration, from whichever format holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.ingest.bad import BadFile
from tasks.ingest.params import IngestParams


@dataclass(frozen=True)
class Mosaic:
    """`pixels` uint16 (y, x) in DN, untouched, and what is needed to develop them.

    `metadata` is what is kept of the file's tags, as JSON; `dropped` are names of those that the policy left out.
    The orientation stands in the metadata and is never applied.
    """

    form: str
    """DNG, camera raw or 16-bit Bayer TIFF."""
    pixels: NDArray[np.uint16]
    calibration: Calibration
    metadata: Mapping[str, Any]
    dropped: tuple[str, ...]
    decoder: str


def checked(path: Path, mosaic: Mosaic) -> Mosaic:
    """`mosaic`, or `BadFile` where its levels cannot be or it is too small to hold one 2x2 cell."""
    black, white = max(mosaic.calibration.black_level_dn), mosaic.calibration.white_level_dn
    if white <= black:
        raise BadFile(path, f"white level {white:g}", f"more than its black level {black:g}", "mend calibration.json")
    if min(mosaic.pixels.shape) < 2:
        raise BadFile(path, f"{mosaic.pixels.shape} pixels", "at least one 2x2 cell", "leave it out")
    return mosaic


def decode(path: Path, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    """Decode the DNG, camera raw file or 16-bit Bayer TIFF at `path`.

    A `calibration` that stands beside the file wins over what a DNG says; its pattern must agree. A TIFF
    needs one. Raises `BadFile`.
    """
    from tasks.ingest.formats import bayer_tiff, camera_raw
    from tasks.ingest.formats.sniff import format_of

    form = format_of(path)
    if form in ("dng", "camera raw"):
        return checked(path, camera_raw.decode(path, form == "dng", calibration, params))
    if form == "tiff":
        return checked(path, bayer_tiff.decode(path, calibration, params))
    raise BadFile(path, f"a {form} file", "DNG, camera raw or 16-bit Bayer TIFF", "leave it out or name it as a mask")
