"""Axes of a picture in a TIFF: which page holds which plane of t, c, z, and which axes the store gets.

tifffile names a series' axes as OME-XML, ImageJ's description or the pages themselves do (S: samples of one
page; Q and I: pages of which nobody says what they are).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tasks.ingest.bad import BadFile, too_large
from tasks.ingest.formats import segments, structure, tiff
from tasks.ingest.formats.tiff import Page
from tasks.ingest.params import IngestParams

ORDER = "tczyx"
DTYPES = ("uint8", "uint16", "float32")
MOST_PLANES = 100_000
SAY = "set stack_axis in the params, or export it as OME-TIFF"


@dataclass(frozen=True, eq=False)
class Grid:
    """Level 0: `axes` and `shape` in the order t, c, z, y, x, those of length 1 left out except c of RGB.

    `pages` by the index along the leading axes; where `samples`, c is inside each page and not in that index.
    """

    axes: str
    shape: tuple[int, ...]
    samples: bool
    pages: Mapping[tuple[int, ...], Page]

    @property
    def first(self) -> Page:
        return next(iter(self.pages.values()))


def grid_of(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, params: IngestParams) -> Grid:
    """The planes of `series`, headers checked. Raises `BadFile`."""
    with tiff.headers(path, "its axes cannot be read"):
        named = dict(zip(_axes(series, path, params), series.levels[0].get_shape(False), strict=True))
        height, width = named["y"], named["x"]
    too_large(path, height, width, params.most_slide_pixels, "most_slide_pixels")
    lead = {a: n for a, n in named.items() if a in "tcz"}
    count = int(np.prod([float(n) for n in lead.values()]))
    if count < 1 or count > MOST_PLANES:
        raise BadFile(path, f"{count} planes", f"1 to {MOST_PLANES}", "export it in parts")
    pages = _pages(tif, series.levels[0], count, path, params)
    return _arranged(named, lead, pages, path)


def _axes(series: tifffile.TiffPageSeries, path: Path, params: IngestParams) -> str:
    """tifffile's letters in lower case, with s for samples; unknown axes as the params say."""
    axes: str = series.levels[0].get_axes(False)
    shape = series.levels[0].get_shape(False)
    unknown = [a for a, n in zip(axes, shape, strict=True) if a not in "TCZYXS" and n > 1]
    if unknown:
        if len(unknown) > 1 or params.stack_axis is None or params.stack_axis.upper() in axes:
            count = next(n for a, n in zip(axes, shape, strict=True) if a == unknown[0])
            raise BadFile(path, f"a stack of {count} pages that does not say what they are", "t, c or z", SAY)
        axes = axes.replace(unknown[0], params.stack_axis.upper())
    return axes.lower()


def _pages(
    tif: tifffile.TiffFile, level: tifffile.TiffPageSeries, count: int, path: Path, params: IngestParams
) -> list[Page]:
    """The pages of a level in its order, each checked, all stored in one way."""
    with tiff.headers(path, "its pages cannot be read"):
        key = tiff.page_of(level.keyframe.aspage(), path, params.most_frame_pixels)
        segments.check_codec(key, path)
        segments.check_piece(key, path)
        if key.photometric == segments.PALETTE:
            raise BadFile(path, "colours from a palette", "grey values or RGB", "export it as grey or RGB")
        if key.dtype.name not in DTYPES or key.bits < 8:
            raise BadFile(
                path, f"{key.bits}-bit {key.dtype} pixels", ", ".join(DTYPES), "export it with one of these types"
            )
        found = list(level.pages)
        if len(found) == 1 and count > 1 and level.dataoffset is not None:
            return _contiguous(key, int(level.dataoffset), count, path)
        layouts = structure.check(path).layouts
        wanted = layouts.get(level.keyframe.offset)
        out = []
        for page in found:
            if page is None or page.parent.filehandle.path != tif.filehandle.path:
                raise BadFile(path, "a part of it is in another file or missing", "one whole file", "join its parts")
            if layouts.get(page.offset) != wanted:
                raise BadFile(path, "pages that are not stored alike", "one way for all pages of a stack", SAY)
            out.append(key if page.offset == level.keyframe.offset else _like(key, page, path))
    return out


def _like(key: Page, page: Any, path: Path) -> Page:
    """A page that differs from `key` only in where its pixels are."""
    offsets, sizes = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    found = replace(key, offsets=offsets, sizes=sizes)
    tiff.check_segments(found, path)
    return found


def _contiguous(key: Page, start: int, count: int, path: Path) -> list[Page]:
    """`count` planes one after another of which the file describes the first only (ImageJ above 4 GB, tifffile)."""
    if key.compression != 1 or key.tiled or key.bits != 8 * key.dtype.itemsize:
        raise BadFile(path, "a stack of one page", "a page for each plane", "export it as OME-TIFF")
    plane = key.height * key.width * key.samples * key.dtype.itemsize
    out = []
    for i in range(count):
        place, size = np.array([start + i * plane], np.int64), np.array([plane], np.int64)
        out.append(replace(key, segment=(key.height, key.width), planar=False, offsets=place, sizes=size))
    tiff.check_segments(out[-1], path)
    if key.planar:
        raise BadFile(path, "a stack of planes of one page", "a page for each plane", "export it as OME-TIFF")
    return out


def _arranged(named: dict[str, int], lead: dict[str, int], pages: list[Page], path: Path) -> Grid:
    """Put the pages, in the order of the file's axes, into the store's order."""
    first = pages[0]
    inside = first.samples > 1
    if inside and lead.get("c", 1) > 1 and lead["c"] != first.samples:
        raise BadFile(path, f"{lead['c']} channels of {first.samples} samples each", "one sample each", SAY)
    if (first.height, first.width) != (named["y"], named["x"]):
        raise BadFile(path, f"pages of {first.height} x {first.width}", f"{named['y']} x {named['x']}", SAY)
    outer = {a: n for a, n in lead.items() if not (inside and a == "c")}
    if int(np.prod(list(outer.values()), dtype=np.int64)) != len(pages):
        raise BadFile(path, f"{len(pages)} pages", f"{dict(outer)}", "export it again as OME-TIFF")
    axes = [a for a in ORDER if (a in "yx") or (a == "c" and inside) or outer.get(a, 1) > 1]
    kept = [a for a in axes if a in outer]
    places = product(*(range(n) for n in outer.values()))
    order = list(outer)
    by_index = {tuple(place[order.index(a)] for a in kept): page for place, page in zip(places, pages, strict=True)}
    sizes = {**outer, "y": first.height, "x": first.width, **({"c": first.samples} if inside else {})}
    return Grid("".join(axes), tuple(sizes[a] for a in axes), inside, by_index)
