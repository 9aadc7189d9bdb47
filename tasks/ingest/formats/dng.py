"""DNG without LibRaw: what its tags say (DNG specification 1.4, chapter 4), and its mosaic.

LibRaw rounds black levels to integers and orders them by colour, reads floats and JPEG XL wrongly, and of
lossless JPEG in several strips only the first, leaving zeros without a word (LibRaw 0.22, measured). So tags and
pixels are read here, segment by segment with a bound on each; LibRaw is the oracle of the tests.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.contracts import Pattern, Triple
from tasks.ingest.bad import AGAIN, BadFile, too_large
from tasks.ingest.formats import descriptions, segments, tiff
from tasks.ingest.formats.calibration import srgb_from_camera
from tasks.ingest.formats.choice import REDUCED
from tasks.ingest.formats.tiff import Page
from tasks.ingest.params import IngestParams

CFA, LINEAR_RAW = 32803, 34892
BLACK_DIM, BLACK, WHITE = 50713, 50714, 50717
COLOUR_MATRIX_1, COLOUR_MATRIX_2, NEUTRAL, NOISE = 50721, 50722, 50728, 51041
EXPOSURE, ISO, EXIF = 33434, 34855, 34665
BLACK_DELTAS = (50715, 50716)
ACTIVE_AREA = 50829
CFA_PATTERN, PLANE_COLOUR, CFA_LAYOUT, LINEARISATION = 33422, 50710, 50711, 50712
READABLE = (1, 7)
"""Uncompressed and lossless JPEG."""
LEAST_BITS = 10
GIVE = "put a calibration.json beside it"


@dataclass(frozen=True)
class DngTags:
    """Levels in DN in mosaic order of the active area; what the file does not say is None."""

    black_level_dn: tuple[float, float, float, float]
    white_level_dn: float
    white_balance: Triple | None
    colour_matrix: tuple[Triple, Triple, Triple] | None
    exposure_s: float | None
    iso: float | None
    gain_dn_per_e: float | None
    metadata: Mapping[str, Any]
    dropped: tuple[str, ...]
    pattern: Pattern
    page: Page
    active_area: tuple[int, int, int, int]
    """Top, left, bottom, right of the mosaic without its masked margins."""
    linearisation: NDArray[np.uint16] | None


class _Tags:
    """Tags of the raw page, else of the first page, as tuples of numbers."""

    def __init__(self, raw: tifffile.TiffPage, first: tifffile.TiffPage) -> None:
        self.pages = (raw, first)

    def get(self, code: int) -> tuple[float, ...] | None:
        for page in self.pages:
            tag = page.tags.get(code)
            if tag is not None:
                bytes_ = isinstance(tag.value, bytes)
                value = tuple(tag.value) if bytes_ else tuple(np.atleast_1d(tag.value).tolist())
                return tiff.rational(value) if int(tag.dtype) in (5, 10) else value
        return None

    def exif(self, code: int, name: str) -> float | None:
        direct = self.get(code)
        if direct:
            return _positive(direct[0])
        tag = self.pages[1].tags.get(EXIF)
        value: Any = tag.value.get(name) if tag is not None and isinstance(tag.value, dict) else None
        if value is None:
            return None
        return _positive(tiff.rational(value)[0] if isinstance(value, tuple) and len(value) == 2 else value)


def _positive(value: float) -> float | None:
    return float(value) if math.isfinite(value) and value > 0 else None


def raw_page(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """The full-size mosaic's page: one of the file's pages or of their sub-pages. Raises `BadFile`."""
    tiff.first_page(tif, path)
    with tiff.headers(path, "its pages cannot be read"):
        chain = [page.aspage() for page in tif.pages]
        pages = [p for page in chain for p in (page, *(below.aspage() for below in page.pages or ()))]
        kinds = [int(p.photometric) for p in pages]
    mosaics = [p for p, kind in zip(pages, kinds, strict=True) if kind == CFA]
    if not mosaics:
        wrong = "already demosaiced (LinearRaw)" if LINEAR_RAW in kinds else "no mosaic in it"
        raise BadFile(path, wrong, "a Bayer mosaic (CFA)", "convert the camera's raw file without demosaicing")
    whole = [p for p in mosaics if not p.subfiletype & REDUCED]
    if len(whole) > 1:
        raise BadFile(path, f"{len(whole)} mosaics in it", "one", "convert it to a file for each")
    largest: tifffile.TiffPage = max(whole or mosaics, key=lambda p: p.imagelength * p.imagewidth)
    return largest


def check_raw_page(page: tifffile.TiffPage, path: Path, most_pixels: int) -> Page:
    """Raise `BadFile` on what is not read: floats, 8 bits, other compressions and patterns, odd margins."""
    again = "convert it to an uncompressed or lossless JPEG DNG of integers"
    if page.sampleformat == 3:
        raise BadFile(path, f"float{page.bitspersample} pixels", "integer pixels", again)
    if page.bitspersample < LEAST_BITS:
        raise BadFile(path, f"{page.bitspersample}-bit pixels", "10 to 16 bits", "export the raw numbers as 16 bit")
    if int(page.compression) not in READABLE:
        raise BadFile(
            path, f"compression {tifffile.COMPRESSION(page.compression).name}", "none or lossless JPEG", again
        )
    repeat = page.tags.get(33421)
    if repeat is not None and tuple(repeat.value) != (2, 2):
        raise BadFile(path, f"a colour pattern of {tuple(repeat.value)} sites", "a 2x2 Bayer pattern", "leave it out")
    area = page.tags.get(ACTIVE_AREA)
    if page.samplesperpixel != 1:
        raise BadFile(path, f"{page.samplesperpixel} samples a pixel", "a mosaic of one", again)
    if area is not None and (area.value[0] % 2 or area.value[1] % 2):
        wrong = f"an active area that starts at {tuple(area.value[:2])}"
        raise BadFile(path, wrong, "even offsets: readers shift the pattern at odd ones", again)
    too_large(path, page.imagelength, page.imagewidth, most_pixels, "most_frame_pixels")
    return tiff.page_of(page, path, most_pixels)


def read_tags(path: Path, params: IngestParams) -> DngTags:
    """Check the DNG at `path` and read what it says of its camera. Raises `BadFile`."""
    with tiff.opened(path) as tif, tiff.headers(path, "its tags cannot be read"):
        page = raw_page(tif, path)
        checked = check_raw_page(page, path, params.most_frame_pixels)
        first = tiff.first_page(tif, path)
        tags = _Tags(page, first)
        black = _black(tags, path)
        white = (tags.get(WHITE) or (2.0**page.bitspersample - 1,))[0]
        neutral = tags.get(NEUTRAL)
        pages = [first] if page is first else [first, page]
        kept, dropped, _ = descriptions.of_pages(pages, params.deidentify)
        return DngTags(
            black_level_dn=black,
            white_level_dn=float(white),
            white_balance=_white_balance(neutral),
            colour_matrix=_colour_matrix(tags.get(COLOUR_MATRIX_1), tags.get(COLOUR_MATRIX_2)),
            exposure_s=tags.exif(EXPOSURE, "ExposureTime"),
            iso=tags.exif(ISO, "ISOSpeedRatings"),
            gain_dn_per_e=_gain(tags.get(NOISE), float(white) - max(black)),
            metadata={**kept, "compression": int(page.compression), "bits_per_sample": int(page.bitspersample)},
            dropped=dropped,
            pattern=_pattern(tags, path),
            page=checked,
            active_area=_area(tags, checked, path),
            linearisation=_linearisation(tags),
        )


def read_mosaic(path: Path, tags: DngTags) -> NDArray[np.uint16]:
    """The active area's pixels, uint16 (y, x), linearised where the file has a table for it. Raises `BadFile`."""
    top, left, bottom, right = tags.active_area
    out = np.empty((1, bottom - top, right - left), np.uint16)
    file = os.open(path, os.O_RDONLY)
    try:
        segments.read_into(out, tags.page, file, path, slice(top, bottom), slice(left, right))
    finally:
        os.close(file)
    table = tags.linearisation
    return out[0] if table is None else np.asarray(table[np.minimum(out[0], len(table) - 1)])


def _pattern(tags: _Tags, path: Path) -> Pattern:
    """The colours of the 2x2 cell at the corner of the active area (CFAPattern, CFAPlaneColor). Raises `BadFile`."""
    cell, planes = tags.get(CFA_PATTERN) or (), tags.get(PLANE_COLOUR) or (0, 1, 2)
    names = {int(plane): "RGB"[int(plane)] for plane in planes if int(plane) in (0, 1, 2)}
    found = "".join(names.get(int(site), "?") for site in cell)
    if (tags.get(CFA_LAYOUT) or (1,))[0] != 1:
        raise BadFile(path, "sites that are not on a square grid", "a 2x2 Bayer pattern", "leave it out")
    for pattern in get_args(Pattern):
        if pattern == found:
            return pattern  # type: ignore[no-any-return]
    remedy = "convert it with a tool that knows this sensor, or leave it out"
    raise BadFile(path, f"the colour pattern {found or 'is missing'}", "RGGB, BGGR, GRBG or GBRG", remedy)


def _area(tags: _Tags, page: Page, path: Path) -> tuple[int, int, int, int]:
    """The active area, else all. Raises `BadFile` where it is not inside the picture."""
    area = tags.get(ACTIVE_AREA) or (0, 0, page.height, page.width)
    top, left, bottom, right = (int(v) for v in area)
    if not (0 <= top < bottom <= page.height and 0 <= left < right <= page.width):
        raise BadFile(path, f"an active area of {top, left, bottom, right}", "a part of the picture", AGAIN)
    return top, left, bottom, right


def _linearisation(tags: _Tags) -> NDArray[np.uint16] | None:
    table = tags.get(LINEARISATION)
    return None if table is None else np.asarray(table, np.uint16)


def _black(tags: _Tags, path: Path) -> tuple[float, float, float, float]:
    """BlackLevel starts at the corner of the active area, which is the corner of what LibRaw shows."""
    if any(any(tags.get(code) or ()) for code in BLACK_DELTAS):
        raise BadFile(path, "a black level for each row or column", "four black levels", GIVE)
    level = [float(v) for v in tags.get(BLACK) or (0.0,)]
    rows, columns = (int(v) for v in tags.get(BLACK_DIM) or (1, 1))
    if len(level) != rows * columns or rows > 2 or columns > 2:
        raise BadFile(path, f"{len(level)} black levels for a cell of {rows}x{columns}", "one or four", GIVE)
    cell = np.tile(np.reshape(level, (rows, columns)), (2 // rows, 2 // columns)).ravel().tolist()
    return cell[0], cell[1], cell[2], cell[3]


def _white_balance(neutral: Sequence[float] | None) -> Triple | None:
    """Factors that turn AsShotNeutral grey, green 1."""
    if neutral is None or len(neutral) != 3 or not all(n > 0 and math.isfinite(n) for n in neutral):
        return None
    return neutral[1] / neutral[0], 1.0, neutral[1] / neutral[2]


def _colour_matrix(
    first: Sequence[float] | None, second: Sequence[float] | None
) -> tuple[Triple, Triple, Triple] | None:
    """From the second matrix where there is one (daylight, by the convention of converters), else the first."""
    values = second or first
    if values is None or len(values) != 9 or not all(map(math.isfinite, values)):
        return None
    matrix = np.reshape(np.asarray(values, np.float64), (3, 3))
    if abs(np.linalg.det(matrix)) < 1e-9:
        return None
    a, b, c = srgb_from_camera(matrix).tolist()
    return tuple(a), tuple(b), tuple(c)


def _gain(noise: Sequence[float] | None, range_dn: float) -> float | None:
    """NoiseProfile: variance = S x + O of the signal scaled to black 0, white 1; so gain = S (white - black).

    Where black differs by site, the scale is that of the largest (DNG specification, chapter 5: "the maximum
    black level").
    """
    if noise is None or len(noise) < 2:
        return None
    slopes = noise[::2]
    return _positive(sum(slopes) / len(slopes) * range_dn)
