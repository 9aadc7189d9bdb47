"""Which of a file's pictures is the picture: the others are known to stand beside it, or the file is refused.

A slide's label or macro may come first, and must never become the slide; a second field must never be lost. What
tifffile makes of the directories is held against all directories that are in the file.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tifffile
from tifffile import TiffPageSeries

from tasks.ingest.bad import BadFile
from tasks.ingest.formats import structure

BESIDE = {"thumbnail": "thumbnail", "label": "label", "macro": "macro", "overview": "macro", "map": "map"}
SUBFILE, REDUCED, MASK = 254, 1, 4
"""NewSubfileType and its bits (TIFF 6.0, section 8)."""
FIRST_PAGE_ONLY = ("imagej", "shaped")
"""Descriptions by which one directory may stand for many planes, and others for the same."""


@dataclass(frozen=True)
class Choice:
    """`beside` are (thumbnail, label, macro or map; its series); `left_out` are names of what is not looked at."""

    main: TiffPageSeries
    beside: tuple[tuple[str, TiffPageSeries], ...]
    left_out: tuple[str, ...]


def chosen(tif: tifffile.TiffFile, series: Sequence[TiffPageSeries], path: Path) -> Choice:
    """The one picture of a file. Raises `BadFile` where there is none, or more than one."""
    macros = _scn_macros(tif, len(series))
    names = ["macro" if i in macros else name_of(one) for i, one in enumerate(series)]
    rest = [one for one, name in zip(series, names, strict=True) if not name]
    if not rest:
        raise BadFile(path, "only pictures that stand beside a slide", "the slide itself", "export it again")
    whole = [one for one in rest if not one.keyframe.subfiletype & (REDUCED | MASK)]
    main = max(whole or rest, key=_pixels)
    others = [one for one in whole if one is not main and not _smaller_copy(one, main)]
    lost = list(_lost(tif, series, path))
    count = len(others) + sum(not small for small in lost)
    if count:
        raise BadFile(path, f"{count + 1} pictures in it", "one", "split it into a file for each")
    copies = any(lost) or len(rest) > 1 or any(not _is_copy(level) for level in _guessed(main))
    beside = tuple((name, one) for one, name in zip(series, names, strict=True) if name)
    return Choice(main, beside, ("picture of reduced size",) if copies else ())


def name_of(one: TiffPageSeries) -> str:
    """What stands beside a slide by its own word, else empty: the series' name, or a line of the page's description."""
    words = "|".join(BESIDE)
    said = [one.name] if one.name else one.keyframe.description.splitlines()
    found = (re.fullmatch(rf"({words})( image)?( \d+ ?x ?\d+)?", line.strip().lower()) for line in said)
    return next((BESIDE[match[1]] for match in found if match), "")


def _pixels(one: TiffPageSeries) -> int:
    return int(one.keyframe.imagelength) * int(one.keyframe.imagewidth)


def _smaller_copy(one: TiffPageSeries, main: TiffPageSeries) -> bool:
    """Below another directory, or another magnification of an NDPI: made of the picture."""
    return (one.keyframe.is_subifd or one.kind == "ndpi") and _pixels(one) < _pixels(main)


def _guessed(main: TiffPageSeries) -> list[TiffPageSeries]:
    """Levels that tifffile took for such by their size alone."""
    return list(main.levels[1:]) if main.kind in ("generic", "uniform") else []


def _is_copy(level: TiffPageSeries) -> bool:
    return bool(level.keyframe.is_subifd or level.keyframe.subfiletype & REDUCED)


def _lost(tif: tifffile.TiffFile, series: Sequence[TiffPageSeries], path: Path) -> Iterator[bool]:
    """Of each directory that no series holds: whether it says that it is a reduced picture or a mask."""
    layouts = structure.check(path).layouts
    held = {page.offset for one in series for level in one.levels for page in level.pages if page is not None}
    alike = {layouts[at] for at in held if at in layouts} if series[0].kind in FIRST_PAGE_ONLY else set()
    order = "little" if tif.byteorder == "<" else "big"
    for at, layout in layouts.items():
        if at not in held and layout not in alike:
            yield bool(int.from_bytes(dict(layout).get(SUBFILE, b""), order) & (REDUCED | MASK))  # type: ignore[arg-type]


def _scn_macros(tif: tifffile.TiffFile, count: int) -> set[int]:
    """Series of a Leica SCN that show the whole glass: their view is as large as the collection."""
    if not tif.is_scn:
        return set()
    found = []
    for collection in ET.fromstring(tif.pages.first.description):
        for image in collection.iterfind("{*}image"):
            view = image.find("{*}view")
            whole = view is not None and all(view.get(k) == collection.get(k) for k in ("sizeX", "sizeY"))
            found += [whole] * len(image.findall("{*}pixels"))
    return {i for i, whole in enumerate(found) if whole} if len(found) == count else set()
