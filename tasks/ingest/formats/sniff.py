"""What a file is, from what is in it: the name's ending only tells camera raw formats from plain TIFF."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile

from tasks.ingest.bad import AGAIN, BadFile
from tasks.ingest.formats import tiff
from tasks.ingest.params import Kind

Format = Literal["dng", "camera raw", "tiff", "png", "json"]
CAMERA_RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"}
    | {".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
DNG_VERSION = 50706
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
MOSAIC = "mosaics"
SORTS = {"slides": "a slide", "images": "an image", MOSAIC: "a mosaic"}
CROP_SIDE_PX = 512
"""A mosaic of at most this side is a crop, where nobody says what it is."""


def format_of(path: Path) -> Format:
    """The format of the file at `path`. Raises `BadFile` where it is empty, not a file or of no known format."""
    if not path.is_file():
        raise BadFile(
            path, "not there" if not path.exists() else "not a file", "a file", "mend the name or leave it out"
        )
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise BadFile(path, "empty", "a picture", AGAIN)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "json"
    if path.suffix.lower() in CAMERA_RAW:
        return "camera raw"
    if head[:4] in TIFF_MAGIC:
        return _tiff_flavour(path)
    known = "DNG, camera raw, TIFF, SVS, NDPI, PNG or GeoJSON"
    raise BadFile(path, "a format that rawmill does not know", known, "convert it or leave it out")


def _tiff_flavour(path: Path) -> Format:
    with tiff.opened(path) as tif:
        return "dng" if DNG_VERSION in tiff.first_page(tif, path).tags else "tiff"


@dataclass(frozen=True)
class Look:
    """What a picture is at first sight; the size of a camera raw file is not looked up (0)."""

    kind: Kind
    height: int
    width: int


def look(path: Path) -> Look:
    """Which kind of raw store the picture at `path` belongs into. Raises `BadFile` where into none."""
    form = format_of(path)
    if form in ("dng", "camera raw"):
        return Look("frames", 0, 0)
    if form != "tiff":
        raise BadFile(
            path, f"{form} holds no raw pixels", "DNG, 16-bit Bayer TIFF, a slide or image", "name it as a mask"
        )
    with tiff.opened(path) as tif, tiff.headers(path, "its pages cannot be read"):
        page = tiff.first_page(tif, path)
        size = page.imagelength, page.imagewidth
        return Look(_kind(tif, page, path), *size)


def _kind(tif: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> Kind:
    """RGB of 8 bits is a slide, one page of 16 bits a mosaic, anything more an image of a microscope."""
    stack = _is_stack(tif)
    if tif.is_svs or tif.is_ndpi:
        return "slides"
    if page.samplesperpixel == 3 and page.dtype == np.uint8 and not (tif.is_imagej or (tif.is_ome and stack)):
        return "slides"
    if page.samplesperpixel > 1 or tif.is_ome or tif.is_imagej or stack:
        return "images"
    if page.dtype != np.uint16:
        wrong = f"{page.dtype} with one channel"
        raise BadFile(path, wrong, "a 16-bit mosaic or an 8-bit RGB slide", "export the raw numbers as 16 bit")
    return "crops" if max(page.imagelength, page.imagewidth) <= CROP_SIDE_PX else "frames"


def _is_stack(tif: tifffile.TiffFile) -> bool:
    """Whether a second page stands beside the first, and not a smaller copy of it."""
    if not tif.pages.is_multipage:
        return False
    first, second = tif.pages.first, tif.pages[1].aspage()
    return (first.imagelength, first.imagewidth) == (second.imagelength, second.imagewidth)


def one_kind(looks: Mapping[Path, Look]) -> tuple[Kind, list[BadFile]]:
    """The commonest kind of `looks`, and what is wrong with each file of another: crops are small mosaics of one size.

    Of kinds that are equally common: slides, then images, then mosaics.
    """
    sorts = {path: MOSAIC if seen.kind in ("crops", "frames") else seen.kind for path, seen in looks.items()}
    counts = Counter(sorts.values())
    kind = max(SORTS, key=lambda sort: counts[sort])
    others = [path for path, sort in sorts.items() if sort != kind]
    wrong = {path: f"{SORTS[sorts[path]]} among {'mosaics' if kind == MOSAIC else kind}" for path in others}
    odd = [BadFile(path, words, "one kind of file", "ingest it apart") for path, words in wrong.items()]
    if kind != MOSAIC:
        return kind, odd  # type: ignore[return-value]
    mosaics = [looks[path] for path, sort in sorts.items() if sort == MOSAIC]
    alike = {(seen.kind, seen.height, seen.width) for seen in mosaics}
    return ("crops" if len(alike) == 1 and mosaics[0].kind == "crops" else "frames"), odd
