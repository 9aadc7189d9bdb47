"""What a row of the table of hostile files is, the good files beside them, and ways to spoil one."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tests import hostile_makers as hostile
from tests import makers

Make = Callable[[Path], object]
FRAME, CROP, SLIDE, STACK = (96, 128), (64, 64), (200, 260), (2, 2, 2, 40, 50)


@dataclass(frozen=True)
class Row:
    """`make(folder)` adds bad files to a folder with good ones; each of `names` gets one line, with `words`.

    `kind` is a key of GOOD. `lines` are further ones of a manifest: then the folder is ingested, else its files.
    `cuts`: any file `bad-*` may be refused, and those that are not must hold the pixels of the good one. `nothing`:
    the fault is not one file's, and there is no store. `unprivileged`: as a user who may not read everything. `also`
    are ids of pictures that are stored beside the good one; `zeros`: of nothing but zeros, if it is.
    """

    kind: str
    make: Make
    words: str
    names: tuple[str, ...]
    lines: str | None = None
    cuts: bool = False
    nothing: bool = False
    unprivileged: bool = False
    also: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()


def one(kind: str, suffix: str, spoil: Make, words: str, **more: Any) -> Row:
    """One bad file."""
    name = f"bad{suffix}"
    return Row(kind, lambda folder: spoil(folder / name), words, (name,), **more)


def mask(suffix: str, spoil: Make, words: str, **more: Any) -> Row:
    """A good frame with an annotation that is bad where there are `words`."""
    lines = f"bad.dng,bad,bad,,bad{suffix},1.0\n" if suffix == ".tif" else None

    def make(folder: Path) -> None:
        frame(folder / "bad.dng")
        spoil(folder / f"bad{suffix}")

    names, also = ((f"bad{suffix}",), ()) if words else ((), ("bad",))
    return Row("frames", make, words, names, lines=lines, also=also, **more)


def cuts(kind: str) -> Row:
    """The good file, cut at every boundary of its structure."""
    return Row(kind, lambda folder: hostile.cut_everywhere(next(folder.glob("good.*"))), "; expected ", (), cuts=True)


def frame(path: Path, **changes: Any) -> Path:
    return makers.write_dng(path, makers.mosaic_of(*FRAME), **changes)


def lossless(path: Path) -> Path:
    return frame(path, compression=7)


def crop(path: Path) -> Path:
    return makers.write_tiff(path, makers.mosaic_of(*CROP))


def slide(path: Path, **options: Any) -> Path:
    return makers.write_slide(path, makers.picture_of(*SLIDE), **options)


def svs(path: Path) -> Path:
    return makers.write_svs(path, makers.picture_of(*SLIDE))


def ndpi(path: Path) -> Path:
    return makers.write_ndpi(path, {20.0: makers.picture_of(*SLIDE), -1.0: makers.picture_of(20, 50)}, 0.5)


def stack(path: Path) -> Path:
    return hostile.write_ome(path, makers.rng(6).integers(0, 999, STACK).astype(np.uint16))


GOOD: dict[str, tuple[str, str, Make]] = {
    "frames": ("frames", ".dng", frame),
    "lossless": ("frames", ".dng", lossless),
    "crops": ("crops", ".tif", crop),
    "slides": ("slides", ".tif", slide),
    "jpeg": ("slides", ".tif", lambda path: slide(path, compression="jpeg")),
    "svs": ("slides", ".svs", svs),
    "ndpi": ("slides", ".ndpi", ndpi),
    "images": ("images", ".tif", stack),
}
"""Kind of store, ending and maker of a good file."""


def truth(kind: str, good: Path) -> NDArray[Any]:
    """The pixels of the good file of a row's kind, as the store must have them; of JPEG what tifffile makes of it."""
    if kind in ("jpeg", "svs"):
        return np.moveaxis(tifffile.imread(good, key=0), -1, 0)
    if kind in ("slides", "ndpi"):
        return np.moveaxis(makers.picture_of(*SLIDE), -1, 0)
    if kind == "images":
        return makers.rng(6).integers(0, 999, STACK).astype(np.uint16)
    return makers.mosaic_of(*(CROP if kind == "crops" else FRAME))


def raw(data: Callable[[], bytes]) -> Make:
    return lambda path: path.write_bytes(data())


def text(words: str) -> Make:
    return lambda path: path.write_text(words, encoding="utf-8")


def with_tags(*tags: tuple[Any, ...]) -> Make:
    """A DNG with other tags."""
    return lambda path: frame(path, tags={**makers.dng_tags(), **{tag[0]: tag for tag in tags}})


def tags(make: Make, page: int = 0, **values: Any) -> Make:
    """A file with some tags changed in place."""

    def spoil(path: Path) -> None:
        make(path)
        hostile.overwrite(path, page, **values)

    return spoil


def piece(make: Make, name: str, value: int, index: int = 2) -> Make:
    """A file with one of its first page's TileOffsets or TileByteCounts changed."""

    def spoil(path: Path) -> None:
        make(path)
        with tifffile.TiffFile(path, mode="r+b") as tif:
            tag = tif.pages[0].tags[name]
            tag.overwrite([*tag.value[:index], value, *tag.value[index + 1 :]])

    return spoil


def noise(make: Make) -> Make:
    """A file with noise for its first piece of pixels."""

    def spoil(path: Path) -> None:
        make(path)
        with tifffile.TiffFile(path) as tif:
            start, size = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
        hostile.patch(path, start, makers.rng(9).bytes(size))

    return spoil


def jpeg_size(make: Make, height: int, width: int) -> Make:
    """A file whose first JPEG states another size in its frame header."""

    def spoil(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        at = min(place for place in (data.find(b"\xff\xc0\x00\x11"), data.find(b"\xff\xc3\x00\x0b")) if place >= 0)
        hostile.patch(path, at + 5, struct.pack(">HH", height, width))

    return spoil


def described(words: str) -> Make:
    """A grey page with a description."""
    options: dict[str, Any] = {"description": words, "metadata": None, "software": False}
    return lambda path: tifffile.imwrite(path, np.zeros((64, 64), np.uint8), **options)
