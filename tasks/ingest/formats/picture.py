"""Slides and microscopy images through tifffile: SVS, NDPI, OME-TIFF, ImageJ and plain TIFF, level 0 by windows.

What a file's headers say is read and checked once a process and kept while the file stays the same; each
`opened` then costs one `open`. Reading is safe from many threads.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks import jpeg, store
from tasks.ingest.bad import AGAIN, BadFile, too_large
from tasks.ingest.formats import descriptions, scale, segments, tiff
from tasks.ingest.formats.axes import Grid, grid_of
from tasks.ingest.formats.choice import Choice, chosen
from tasks.ingest.formats.sniff import format_of
from tasks.ingest.formats.tiff import Page
from tasks.ingest.params import IngestParams

Kind = Literal["slides", "images"]
RGB8 = "8-bit RGB"
EXPORT = "export it as 8-bit RGB TIFF"
SHOW_LABEL = ("label", "macro")
"""Pictures that show the slide's label, and so perhaps a name."""
DECODER = f"tifffile {tifffile.__version__}, imagecodecs {imagecodecs.__version__}"


@dataclass(frozen=True, eq=False)
class Picture:
    """An open slide or microscopy image; everything is said of level 0."""

    path: Path
    form: str
    axes: str
    """"cyx" for RGB; else a part of "tczyx" in that order, ending in "yx"."""
    shape: tuple[int, ...]
    dtype: str
    """uint8, uint16 or float32."""
    rgb: bool
    pixel_size_um: float | None
    z_um: float | None
    t_s: float | None
    channels: tuple[tuple[str, str], ...]
    """(name, RRGGBB) of each channel."""
    metadata: Mapping[str, Any]
    """What is kept of the file's tags, as JSON."""
    dropped: tuple[str, ...]
    """Names of the tags and pictures that the policy left out, sorted."""
    icc: bytes | None
    associated: Mapping[str, Page]
    jpeg_tile_px: tuple[int, int] | None
    """(height, width) of level 0's JPEG tiles where their bytes can be kept."""
    decoder: str
    _grid: Grid = field(repr=False)
    _file: int = field(repr=False, default=-1)

    def read(self, window: tuple[slice, ...]) -> NDArray[Any]:
        """A window over all axes, C-contiguous. Raises `BadFile` on damaged data."""
        out = np.empty([w.stop - w.start for w in window], self.dtype)
        lead = [
            (a, w) for a, w in zip(self.axes[:-2], window[:-2], strict=True) if not (self._grid.samples and a == "c")
        ]
        for index in np.ndindex(*(w.stop - w.start for _, w in lead)):
            page = self._grid.pages[tuple(w.start + i for (_, w), i in zip(lead, index, strict=True))]
            self._fill(out, page, dict(zip((a for a, _ in lead), index, strict=True)), window)
        return out

    def _fill(self, out: NDArray[Any], page: Page, index: Mapping[str, int], window: tuple[slice, ...]) -> None:
        """One page's part of a window, all its samples."""
        if not self._grid.samples:
            target = out[tuple(index[a] for a in self.axes[:-2])][None]
            segments.read_into(target, page, self._file, self.path, window[-2], window[-1])
            return
        target = out[tuple(index.get(a, slice(None)) for a in self.axes[:-2])]
        wanted = window[self.axes.index("c")]
        whole = len(target) == page.samples
        samples = target if whole else np.empty((page.samples, *target.shape[1:]), out.dtype)
        segments.read_into(samples, page, self._file, self.path, window[-2], window[-1])
        if not whole:
            target[...] = samples[wanted]

    def picture(self, name: str) -> NDArray[np.uint8]:
        """An associated picture, whole: uint8 (c, y, x); grey becomes three equal channels."""
        pixels = segments.whole(self.associated[name], self._file, self.path)
        pixels = np.repeat(pixels, 3, axis=0) if len(pixels) < 3 else pixels[:3]
        return np.ascontiguousarray(pixels).astype(np.uint8, copy=False)

    def jpeg_stream(self, row: int, column: int) -> bytes:
        """The bytes of one tile of level 0 as a self-contained JPEG, its comments left out. Raises `BadFile`."""
        page = self._grid.first
        index = row * tiff.grid(page)[1] + column
        data = segments.raw(page, self._file, self.path, index)
        segments.check_claim(page, index, data, self.path)
        if jpeg.frame_size(data)[:2] != page.segment:
            raise BadFile(
                self.path,
                "JPEG tiles cut at its edges",
                f"tiles of {page.segment[0]} x {page.segment[1]}",
                "set jpeg: recode",
            )
        try:
            return jpeg.self_contained(page.tables, data, page.photometric == 2 and not page.jfif)
        except ValueError:
            wrong = f"piece {index} of its pixel data is no whole JPEG stream"
            raise BadFile(self.path, wrong, "whole pixel data", AGAIN) from None


@contextmanager
def opened(path: Path, kind: Kind, params: IngestParams) -> Iterator[Picture]:
    """The picture at `path`, its headers checked. Raises `BadFile`."""
    form = format_of(path)
    if form != "tiff":
        raise BadFile(path, f"a {form} file", "SVS, NDPI, OME-TIFF or tiled TIFF", "leave it out")
    known = path.stat()
    closed = _closed(path, kind, params.model_dump_json(), (known.st_size, known.st_mtime_ns, known.st_ino))
    file = os.open(path, os.O_RDONLY)
    try:
        yield replace(closed, _file=file)
    finally:
        os.close(file)


@lru_cache(maxsize=8)
def _closed(path: Path, kind: Kind, params: str, _state: tuple[int, int, int]) -> Picture:
    """What the headers say; kept while the file is the same."""
    known = IngestParams.model_validate_json(params)
    with tiff.opened(path) as tif:
        with tiff.headers(path, "its pages cannot be read"):
            series = list(tif.series)
            if not series:
                raise BadFile(path, "no picture in it", "a whole TIFF file", AGAIN)
            _check_understood(tif, series[0], path)
            choice = chosen(tif, series, path)
        return _picture(tif, choice, path, kind, known)


def _check_understood(tif: tifffile.TiffFile, first: tifffile.TiffPageSeries, path: Path) -> None:
    """Raise `BadFile` where tifffile gave up a description: it would go on with the pages that it finds."""
    for flag, name in (("ome", "OME-XML"), ("imagej", "ImageJ's description"), ("shaped", "tifffile's description")):
        known = ("ome", "imagej", "shaped")
        if getattr(tif, f"is_{flag}") and first.kind not in known:
            wrong = f"{name} does not fit what is in the file"
            raise BadFile(path, wrong, "all its planes in this one file", "copy it whole or join its parts")


def _picture(tif: tifffile.TiffFile, choice: Choice, path: Path, kind: Kind, params: IngestParams) -> Picture:
    main = choice.main
    grid = grid_of(tif, main, path, params)
    rgb = kind == "slides" or _is_rgb(grid)
    if kind == "slides":
        _check_slide(tif, main, grid, path, params)
    with tiff.headers(path, "its resolution cannot be read"):
        sizes = scale.scale_of(tif, main, path, params)
    if kind == "slides" and sizes.pixel_um is None:
        remedy = "set pixel_size_um in the params"
        raise BadFile(path, "does not say how large a pixel is", "micrometres a pixel", remedy)
    with tiff.headers(path, "the pictures beside it cannot be read"):
        beside, hidden = _associated(choice, path, params)
    with tiff.headers(path, "its tags cannot be read"):
        kept, dropped, icc = descriptions.of_tiff(tif, main, params.deidentify)
    markers = segments.dropped_markers(grid.first, path)
    return Picture(
        path=path,
        form=form_of(tif, grid.first),
        axes="cyx" if kind == "slides" else grid.axes,
        shape=grid.shape,
        dtype=grid.first.dtype.name,
        rgb=rgb,
        pixel_size_um=sizes.pixel_um,
        z_um=sizes.z_um,
        t_s=sizes.t_s,
        channels=store.RGB if rgb else scale.channels_of(tif, main, grid, params.deidentify),
        metadata=kept,
        dropped=tuple(sorted({*dropped, *hidden, *choice.left_out, *markers})),
        icc=icc,
        associated=beside,
        jpeg_tile_px=_jpeg_tile(grid) if rgb else None,
        decoder=DECODER,
        _grid=grid,
    )


def _is_rgb(grid: Grid) -> bool:
    """Red, green and blue of uint8 by the file's own word: three channels alone can be three stains."""
    dimensions = grid.axes == "cyx" and grid.shape[0] == 3 and grid.first.dtype == np.uint8
    return dimensions and grid.samples and grid.first.photometric in (2, 6)


def _check_slide(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, grid: Grid, path: Path, params: IngestParams
) -> None:
    """Raise `BadFile` unless it is 8-bit RGB, whole at all levels."""
    channels = grid.shape[grid.axes.index("c")] if "c" in grid.axes else 1
    if grid.first.dtype != np.uint8:
        raise BadFile(path, f"{grid.first.dtype} pixels", RGB8, EXPORT)
    if grid.axes != "cyx" or channels != 3 or grid.first.photometric not in (1, 2, 6):
        raise BadFile(path, f"{channels} channels of axes {grid.axes}", RGB8, EXPORT)
    for level in series.levels[1:]:
        for page in level.pages:
            with tiff.headers(path, "its pages cannot be read"):
                whole = page.aspage() if page is not None else None
            if whole is not None:
                too_large(path, whole.imagelength, whole.imagewidth, params.most_slide_pixels, "most_slide_pixels")
                tiff.page_of(whole, path, params.most_frame_pixels)


def _associated(choice: Choice, path: Path, params: IngestParams) -> tuple[dict[str, Page], list[str]]:
    """The pictures beside the slide that the params keep, 8 bits each, by name, and the names of the others."""
    found: dict[str, Page] = {}
    hidden = []
    for name, one in choice.beside:
        shown = name in params.associated and not (params.deidentify and name in SHOW_LABEL)
        if shown and name not in found and one.dtype == np.uint8:
            found[name] = _beside(one.keyframe.aspage(), path, params)
        else:
            hidden.append(f"picture {name}")
    return found, hidden


def _beside(page: tifffile.TiffPage, path: Path, params: IngestParams) -> Page:
    too_large(path, page.imagelength, page.imagewidth, params.most_frame_pixels, "most_frame_pixels")
    found = tiff.page_of(page, path, params.most_frame_pixels)
    segments.check_codec(found, path)
    return found


def _jpeg_tile(grid: Grid) -> tuple[int, int] | None:
    page = grid.first
    kept = page.tiled and page.compression == segments.JPEG and page.header is None and not page.planar
    return page.segment if kept and page.samples == 3 and page.bits == 8 and page.photometric in (2, 6) else None


def form_of(tif: tifffile.TiffFile, page: Page) -> str:
    """The format's name in words."""
    names = (("is_svs", "SVS"), ("is_ndpi", "NDPI"), ("is_ome", "OME-TIFF"), ("is_imagej", "ImageJ TIFF"))
    known = next((name for flag, name in names if getattr(tif, flag)), None)
    return known or ("tiled TIFF" if page.tiled else "TIFF")
