"""Whole slides through tifffile: SVS, NDPI, OME-TIFF and generic tiled TIFF, level 0 by windows."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.ingest import tiff
from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.params import IngestParams
from tasks.ingest.sniff import format_of

RGB8 = "8-bit RGB"
EXPORT = "export it as 8-bit RGB TIFF"
UM = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
INCH_UM, CM_UM = 25400.0, 10000.0
PLAUSIBLE_UM = (0.01, 100.0)
"""A screen's 72 dots an inch is no microscope's resolution."""
NAMES = {"thumbnail": "thumbnail", "label": "label", "macro": "macro", "overview": "macro"}


@dataclass(frozen=True)
class Slide:
    """An open slide. `pages` is one RGB page, or three of one channel each."""

    path: Path
    height: int
    width: int
    pixel_size_um: float
    pages: Sequence[tifffile.TiffPage]
    associated: Mapping[str, tifffile.TiffPage]

    def read(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """A window of level 0: uint8 (c, y, x), display RGB. Raises `BadFile` on damaged data."""
        parts = [tiff.read_window(page, self.path, rows, columns) for page in self.pages]
        return np.ascontiguousarray(np.moveaxis(np.concatenate(parts, axis=-1), -1, 0)).astype(np.uint8, copy=False)

    def picture(self, name: str) -> NDArray[np.uint8]:
        """An associated picture, whole: uint8 (c, y, x); grey becomes three equal channels."""
        page = self.associated[name]
        pixels = tiff.read_window(page, self.path, slice(0, page.imagelength), slice(0, page.imagewidth))
        if pixels.shape[-1] == 1:
            pixels = np.repeat(pixels, 3, axis=-1)
        return np.ascontiguousarray(np.moveaxis(pixels[..., :3], -1, 0)).astype(np.uint8, copy=False)


@contextmanager
def opened(path: Path, params: IngestParams) -> Iterator[Slide]:
    """The slide at `path`, its headers checked. Raises `BadFile`."""
    form = format_of(path)
    if form != "tiff":
        raise BadFile(path, f"a {form} file", "SVS, NDPI, OME-TIFF or tiled TIFF", "leave it out")
    with tiff.opened(path) as tif:
        yield _slide(tif, path, params)


def _slide(tif: tifffile.TiffFile, path: Path, params: IngestParams) -> Slide:
    tiff.check_chain(tif, path)
    with tiff.headers(path, "its pages cannot be read"):
        series = list(tif.series)
        levels = [[page.aspage() for page in level.pages if page is not None] for level in series[0].levels]
    pages = levels[0]
    _check_rgb(pages, path)
    for page in (page for level in levels for page in level):
        too_large(path, page.imagelength, page.imagewidth, params.most_slide_pixels, "most_slide_pixels")
        tiff.check_page(page, path, params.most_frame_pixels)
    with tiff.headers(path, "its resolution cannot be read"):
        size = pixel_size_um(tif, pages[0], path) or params.pixel_size_um
    if size is None:
        raise BadFile(
            path, "does not say how large a pixel is", "micrometres a pixel", "set pixel_size_um in the params"
        )
    with tiff.headers(path, "the pictures beside it cannot be read"):
        beside = _associated(series[1:], path, params)
    return Slide(path, pages[0].imagelength, pages[0].imagewidth, size, pages, beside)


def _check_rgb(pages: Sequence[tifffile.TiffPage], path: Path) -> None:
    """Raise `BadFile` unless the pages hold three channels of uint8 together."""
    shapes = {(p.imagelength, p.imagewidth) for p in pages}
    channels = sum(p.samplesperpixel for p in pages)
    if channels != 3 or len(shapes) != 1:
        raise BadFile(path, f"{channels} channels in {len(pages)} pages", RGB8, EXPORT)
    if any(p.dtype != np.uint8 for p in pages):
        raise BadFile(path, f"{pages[0].dtype} pixels", RGB8, EXPORT)


def _associated(
    series: Sequence[tifffile.TiffPageSeries], path: Path, params: IngestParams
) -> dict[str, tifffile.TiffPage]:
    """The pictures beside the slide that the params keep, by name."""
    found: dict[str, tifffile.TiffPage] = {}
    for one in series:
        words = re.findall(r"[a-z]+", one.name.lower())
        name = next((NAMES[w] for w in words if w in NAMES), None)
        page = one.pages[0]
        if name is None or name not in params.associated or name in found or page is None:
            continue
        found[name] = page.aspage()
    for page in found.values():
        if page.dtype != np.uint8:
            raise BadFile(path, f"a picture beside it of {page.dtype}", RGB8, EXPORT)
        too_large(path, page.imagelength, page.imagewidth, params.most_frame_pixels, "most_frame_pixels")
        tiff.check_page(page, path, params.most_frame_pixels)
    return found


def pixel_size_um(tif: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> float | None:
    """Micrometres a pixel as Aperio's description, OME-XML or the resolution tags say; None where none does.

    Raises `BadFile` where x and y differ by more than 1 %: rawmill's pixels are square.
    """
    sizes = _aperio(tif, page) or _ome(tif) or _resolution(page)
    if sizes is None:
        return None
    y, x = sizes
    if abs(y / x - 1) > 0.01:
        raise BadFile(path, f"pixels of {y:g} x {x:g} um", "square pixels", "resample it")
    return math.sqrt(x * y) if x != y else x


def _plausible(y: float, x: float) -> tuple[float, float] | None:
    low, high = PLAUSIBLE_UM
    return (y, x) if low <= y <= high and low <= x <= high else None


def _aperio(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    found = re.search(r"\bMPP\s*=\s*([0-9]+(?:\.[0-9]+)?)", page.description) if tif.is_svs else None
    return _plausible(float(found[1]), float(found[1])) if found else None


def _ome(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """PhysicalSizeX and Y of the first image (OME 2016-06; the unit is micrometre unless it says otherwise)."""
    if not tif.is_ome or not tif.ome_metadata:
        return None
    try:
        pixels = next(e for e in ET.fromstring(tif.ome_metadata).iter() if e.tag.endswith("}Pixels"))
        y, x = (
            float(pixels.attrib[f"PhysicalSize{a}"]) * UM[pixels.attrib.get(f"PhysicalSize{a}Unit", "µm")] for a in "YX"
        )
    except (ET.ParseError, StopIteration, KeyError, ValueError):
        return None
    return _plausible(y, x)


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """From XResolution and YResolution (TIFF 6.0, pixels an inch or centimetre)."""
    unit = {2: INCH_UM, 3: CM_UM}.get(int(page.tags[296].value) if 296 in page.tags else 0)
    if unit is None or 282 not in page.tags or 283 not in page.tags:
        return None
    x, y = (tiff.rational(page.tags[code].value)[0] for code in (282, 283))
    return _plausible(unit / y, unit / x) if x > 0 and y > 0 else None
