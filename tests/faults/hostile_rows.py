"""The table of hostile files: how each is made beside good ones, and what its line must say."""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from tests import hostile_makers as hostile
from tests import makers
from tests.hostile_makers import PLAIN, SIDE, cut, mosaic_tile, overwrite, patch, tile_of

Make = Callable[[Path], object]
FRAME, SLIDE = (96, 128), (200, 260)
CROP = (SIDE, SIDE)
STACK = (2, 2, 2, 40, 50)


@dataclass(frozen=True)
class Row:
    """`make(folder)` adds the bad files to a folder with good ones; each of `names` gets one line with `words`.

    `lines` are further ones of a manifest: then the folder is ingested, else its files. `cuts`: any of the files
    `bad-*` may be refused, and those that are not must hold the pixels of the good one. `nothing`: there is no
    store at all. `unprivileged`: as a user who may not read everything.
    """

    kind: str
    make: Make
    words: str
    names: tuple[str, ...]
    lines: str | None = None
    cuts: bool = False
    nothing: bool = False
    unprivileged: bool = False


def one(kind: str, suffix: str, spoil: Make, words: str) -> Row:
    """One bad file."""
    name = f"bad{suffix}"
    return Row(kind, lambda folder: spoil(folder / name), words, (name,))


def mask(suffix: str, spoil: Make, words: str) -> Row:
    """A good frame with a bad annotation."""

    def make(folder: Path) -> None:
        frame(folder / "bad.dng")
        spoil(folder / f"bad{suffix}")

    return Row("frames", make, words, (f"bad{suffix}",))


def listed(lines: str, words: str, make: Make = lambda folder: None, name: str = "manifest.csv", **more: Any) -> Row:
    """Lines of a manifest."""
    return Row("frames", make, words, (name,), lines=lines, **more)


def cuts(kind: str) -> Row:
    """The good file, cut at every boundary of its structure."""
    return Row(kind, lambda folder: hostile.cut_everywhere(next(folder.glob("good.*"))), "; expected ", (), cuts=True)


def frame(path: Path, **changes: Any) -> Path:
    return makers.write_dng(path, makers.mosaic_of(*FRAME), **changes)


def with_tags(*tags: tuple[Any, ...]) -> Make:
    return lambda path: frame(path, tags={**makers.dng_tags(), **{tag[0]: tag for tag in tags}})


def lossless(path: Path) -> Path:
    return frame(path, compression=7)


def crop(path: Path) -> Path:
    return makers.write_tiff(path, makers.mosaic_of(*CROP))


def slide(path: Path) -> Path:
    return makers.write_slide(path, makers.picture_of(*SLIDE))


def svs(path: Path) -> Path:
    return makers.write_svs(path, makers.picture_of(*SLIDE))


def ndpi(path: Path) -> Path:
    return makers.write_ndpi(path, {20.0: makers.picture_of(*SLIDE), -1.0: makers.picture_of(20, 50)}, 0.5)


def stack(path: Path) -> Path:
    return hostile.write_ome(path, stack_pixels())


def stack_pixels() -> np.ndarray:
    return makers.rng(6).integers(0, 999, STACK).astype(np.uint16)


def raw(data: Callable[[], bytes]) -> Make:
    return lambda path: path.write_bytes(data())


def tags(make: Make, page: int = 0, **values: Any) -> Make:
    """A file with some tags changed."""

    def spoil(path: Path) -> None:
        make(path)
        overwrite(path, page, **values)

    return spoil


def noise(name: str, make: Make) -> Make:
    """A file with noise for its first piece of pixels."""

    def spoil(path: Path) -> None:
        make(path)
        with tifffile.TiffFile(path) as tif:
            start, size = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
        patch(path, start, makers.rng(9).bytes(size))

    return spoil


def first_jpeg(make: Make, height: int, width: int) -> Make:
    """A file whose first piece of pixels claims another size in its own JPEG frame header."""

    def spoil(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        at = min(p for p in (data.find(b"\xff\xc0\x00"), data.find(b"\xff\xc3\x00")) if p >= 0)
        patch(path, at + 5, struct.pack(">HH", height, width))

    return spoil


def names_itself(path: Path) -> None:
    """A page that names itself as the page below it."""
    path.write_bytes(tile_of(PLAIN, 1, t330=(4, 8 + len(PLAIN))))


def in_words(description: str) -> Make:
    return lambda path: tifffile.imwrite(
        path, np.zeros((SIDE, SIDE), np.uint8), description=description, metadata=None, software=False
    )


def ome_words(planes: str, size_z: int) -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
        f'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="64" SizeZ="{size_z}" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )


def foreign_pages(path: Path) -> None:
    """Planes that are said to be in another file."""
    makers.write_tiff(path.parent / "beside" / "secret.tif", np.ones((SIDE, SIDE), np.uint8))
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(("bad.ome.tif", "beside/secret.tif"))
    )
    in_words(ome_words(planes, 2))(path)


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
    "]><OME>&b;</OME>"
)
IMAGEJ = "ImageJ=1.53t\nimages=1000000000\nslices=1000000000\nhyperstack=true\n"
FRAMES: dict[str, Row] = {
    "DNG cut at every boundary": cuts("frames"),
    "DNG empty": one("frames", ".dng", raw(lambda: b""), "empty; expected a picture"),
    "DNG of four bytes": one("frames", ".dng", cut(frame, lambda d: 4), "not a readable TIFF"),
    "DNG cut in its directory": one("frames", ".dng", cut(frame, lambda d: 100), "truncated at 100 bytes"),
    "DNG cut in its pixels": one("frames", ".dng", cut(frame, lambda d: len(d) - 999), "truncated at"),
    "DNG without its last byte": one("frames", ".dng", cut(frame, lambda d: len(d) - 1), "truncated at"),
    "DNG with pixels out of the file": one("frames", ".dng", tags(frame, StripOffsets=2**31), "truncated at"),
    "DNG with pixels that end out of the file": one("frames", ".dng", tags(frame, StripByteCounts=2**31), "truncated"),
    "DNG without pixels": one("frames", ".dng", tags(frame, StripByteCounts=0), "a piece of its pixel data is missing"),
    "DNG of 2^62 pixels": one(
        "frames", ".dng", tags(frame, ImageWidth=2**31, ImageLength=2**31, RowsPerStrip=2**31), "expected at most"
    ),
    "DNG of 196 million pixels that are not there": one(
        "frames", ".dng", tags(frame, ImageWidth=14000, ImageLength=14000, RowsPerStrip=14000), "is cut off"
    ),
    "DNG of no width": one("frames", ".dng", tags(frame, ImageWidth=0), "0 pixels"),
    "DNG in a circle": one("frames", ".dng", lambda p: hostile.circle(frame(p)), "its pages run in a circle"),
    "DNG of floats": one(
        "frames", ".dng", lambda p: makers.write_dng(p, np.ones(FRAME, np.float32), makers.dng_tags()), "float32 pixels"
    ),
    "DNG of 8 bits": one(
        "frames", ".dng", lambda p: makers.write_dng(p, np.ones(FRAME, np.uint8), makers.dng_tags()), "8-bit pixels"
    ),
    "DNG in JPEG XL": one("frames", ".dng", tags(frame, Compression=52546), "compression JPEGXL_DNG"),
    "DNG with a colour pattern of 6x6": one(
        "frames", ".dng", with_tags((33421, 3, 2, (6, 6), True), (33422, 1, 36, bytes(36), True)), "(6, 6) sites"
    ),
    "DNG with an active area outside": one(
        "frames", ".dng", with_tags((50829, 4, 4, (0, 0, 9000, 9000), True)), "an active area of (0, 0, 9000, 9000)"
    ),
    "DNG with a million black levels": one(
        "frames", ".dng", with_tags((50713, 3, 2, (1000, 1000), True)), "4 black levels for a cell of 1000x1000"
    ),
    "DNG with white below black": one("frames", ".dng", with_tags((50717, 4, 1, 50, True)), "white level 50"),
    "DNG with a colour matrix of 0/0": one(
        "frames", ".dng", with_tags((50721, 10, 9, (0, 0) * 9, True)), "no usable ColorMatrix1"
    ),
    "DNG with an empty linearisation": one(
        "frames", ".dng", with_tags((50712, 3, 0, (), True)), "linearisation"
    ),
    "lossless JPEG of another size": one("frames", ".dng", first_jpeg(lossless, 30000, 30000), "cannot be decoded"),
    "lossless JPEG of noise": one("frames", ".dng", noise("dng", lossless), "cannot be decoded"),
    "camera raw of noise": one("frames", ".cr3", raw(lambda: makers.rng(3).bytes(4096)), "LibRaw cannot read it"),
    "camera raw that is a cut DNG": one("frames", ".nef", cut(frame, lambda d: len(d) - 999), ""),
    "a PNG for a frame": one("frames", ".dng", raw(lambda: hostile.png(8, 8, [])), "a png file"),
}  # fmt: skip
CROPS: dict[str, Row] = {
    "Bayer TIFF cut at every boundary": cuts("crops"),
    "Bayer TIFF of floats": one(
        "crops", ".tif", lambda p: makers.write_tiff(p, np.ones(CROP, np.float32)), "float32 pixels"
    ),
    "Bayer TIFF of 8 bits": one("crops", ".tif", lambda p: makers.write_tiff(p, np.ones(CROP, np.uint8)), "8-bit"),
    "Bayer TIFF of 64 bits": one("crops", ".tif", lambda p: makers.write_tiff(p, np.ones(CROP, np.uint64)), "64-bit"),
    "Bayer TIFF of colours": one("crops", ".tif", raw(lambda: tile_of(PLAIN, 1)), "3 channels"),
    "deflate that expands": one("crops", ".tif", raw(lambda: mosaic_tile(hostile.deflated(hostile.BOMB_BYTES), 8)), ""),
    "zstd that expands": one("crops", ".tif", raw(lambda: mosaic_tile(hostile.zstd_bomb(), 50000)), ""),
    "LZW that expands": one("crops", ".tif", raw(lambda: mosaic_tile(hostile.lzw_bomb(), 5)), ""),
    "PackBits that expands": one("crops", ".tif", raw(lambda: mosaic_tile(hostile.packbits_bomb(), 32773)), ""),
    "LZMA that expands": one("crops", ".tif", raw(lambda: mosaic_tile(hostile.lzma_bomb(), 34925)), ""),
    "deflate of noise": one("crops", ".tif", raw(lambda: mosaic_tile(makers.rng(2).bytes(900), 8)), "be decoded"),
    "a hundred million pixels of nothing": one(
        "crops", ".tif",
        raw(lambda: mosaic_tile(hostile.deflated(200 << 20), 8, t256=(3, 10240), t257=(3, 10240), t322=(3, 10240),
                                t323=(3, 10240))), "10240",
    ),
}  # fmt: skip
HUGE = {"t256": (4, 13312), "t257": (4, 13312)}
SLIDES: dict[str, Row] = {
    "slide cut at every boundary": cuts("slides"),
    "SVS cut at every boundary": cuts("svs"),
    "NDPI cut at every boundary": cuts("ndpi"),
    "JPEG that claims more than its tile": one("slides", ".tif", raw(lambda: tile_of(hostile.jpeg_bomb(), 7, t262=(3, 6))), "be decoded"),
    "JPEG of two frames": one("slides", ".tif", raw(lambda: tile_of(hostile.two_frames(), 7, t262=(3, 6))), "be decoded"),
    "JPEG of one component": one(
        "slides", ".tif",
        raw(lambda: tile_of(imagecodecs.jpeg8_encode(np.zeros(CROP, np.uint8)), 7, t262=(3, 6))), "be decoded",
    ),
    "JPEG 2000 that claims more than its tile": one("slides", ".tif", raw(lambda: tile_of(hostile.jpeg_2000_bomb(), 34712)), "be decoded"),
    "tiles that expand to nothing": one("slides", ".tif", raw(lambda: tile_of(zlib.compress(b""), 8)), "be decoded"),
    "one tile of 170 million pixels of nothing": one(
        "slides", ".tif", raw(lambda: tile_of(hostile.deflated(507 << 20), 8, t322=(4, 13312), t323=(4, 13312), **HUGE)), "",
    ),
    "one strip of 170 million pixels of nothing": one(
        "slides", ".tif",
        raw(lambda: strip_of(hostile.deflated(507 << 20), 8, 13312)), "",
    ),
    "a compression that nobody knows": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 12345)), "compression"),
    "old JPEG": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 6)), "compression 6"),
    "tiles of no width": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t322=(3, 0))), ""),
    "an absurd width": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t256=(4, 2**31), t257=(4, 2**31))), ""),
    "absurd tiles": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t322=(4, 2**30), t323=(4, 2**30))), ""),
    "tiles out of the file": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t324=(4, 2**31))), "truncated at"),
    "tiles at 0": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t324=(4, 0))), "missing"),
    "zero tiles": one("slides", ".tif", raw(no_tiles), ""),
    "too little data": one("slides", ".tif", raw(lambda: tile_of(PLAIN[:100], 1)), ""),
    "samples of 7 bits": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t258=(3, 7))), ""),
    "complex samples": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t339=(3, 6))), ""),
    "60000 samples a pixel": one("slides", ".tif", raw(lambda: tile_of(PLAIN, 1, t277=(3, 60000))), ""),
    "a predictor of 77": one("slides", ".tif", raw(lambda: tile_of(zlib.compress(PLAIN), 8, t317=(3, 77))), ""),
    "YCbCr that is not JPEG": one("slides", ".tif", raw(lambda: tile_of(zlib.compress(PLAIN), 8, t262=(3, 6))), "YCbCr"),
    "SVS in a circle": one("slides", ".svs", lambda p: hostile.circle(svs(p)), "run in a circle"),
    "SVS in a circle to its second page": one("slides", ".svs", lambda p: hostile.circle(svs(p), 1), "run in a circle"),
    "SVS with a tile out of the file": one("slides", ".svs", lost_tile("TileOffsets", 2**31), "truncated at"),
    "SVS with an empty tile": one("slides", ".svs", lost_tile("TileByteCounts", 0), "a piece of its pixel data is missing"),
    "SVS with a cut tile": one("slides", ".svs", lost_tile("TileByteCounts", 200), "is cut off"),
    "SVS of noise": one("slides", ".svs", noise("svs", svs), ""),
    "SVS with a thumbnail of 2^62 pixels": one(
        "slides", ".svs", tags(svs, 1, ImageWidth=2**31, ImageLength=2**31), "",
    ),
    "a page below itself": one("slides", ".tif", names_itself, "run in a circle"),
    "5000 tags": one("slides", ".tif", many_tags, "5000 tags in one page"),
    "2^60 tags": one("slides", ".tif", big_directory, ""),
    "2^31 tiles": one("slides", ".tif", many_tiles, ""),
    "BigTIFF with offsets of 4 bytes": one(
        "slides", ".tif", raw(lambda: b"II+\x00" + struct.pack("<HHQ", 4, 0, 16) + bytes(64)), "offsets of another size"
    ),
    "no pages": one("slides", ".tif", raw(lambda: b"II*\x00" + bytes(12)), ""),
    "a directory out of the file": one("slides", ".tif", raw(lambda: b"II*\x00" + struct.pack("<I", 2**31) + bytes(64)), "truncated at"),
    "a slide of 16 bits": one("slides", ".tif", raw(lambda: tile_of(PLAIN * 2, 1, t258=(3, 16))), "uint16 pixels"),
    "a script for a slide": one("slides", ".svs", raw(lambda: b"#!/bin/sh\nrm -rf /\n"), "a format that rawmill does not know"),
}  # fmt: skip
