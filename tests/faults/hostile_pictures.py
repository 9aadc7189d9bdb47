"""The table of hostile files, first half: pictures."""

import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np

from tests import hostile_makers as hostile
from tests import makers
from tests.faults.hostile_rows import (
    CROP,
    FRAME,
    Row,
    cuts,
    described,
    frame,
    jpeg_size,
    lossless,
    noise,
    one,
    piece,
    raw,
    stack,
    svs,
    tags,
    with_tags,
)
from tests.hostile_makers import PLAIN, cut, mosaic_tile, tile_of

FRAMES = {
    "empty": ("", raw(lambda: b""), "empty; expected a picture"),
    "of four bytes": ("", cut(frame, lambda d: 4), "not a readable TIFF"),
    "cut in its directory": ("", cut(frame, lambda d: 100), "truncated at 100 bytes"),
    "cut in its pixels": ("", cut(frame, lambda d: len(d) - 999), "truncated at"),
    "without its last byte": ("", cut(frame, lambda d: len(d) - 1), "truncated at"),
    "with pixels out of the file": ("", tags(frame, StripOffsets=2**31), "truncated at"),
    "with pixels that end out of it": ("", tags(frame, StripByteCounts=2**31), "truncated at"),
    "without pixels": ("", tags(frame, StripByteCounts=0), "a piece of its pixel data is missing"),
    "of 2^62 pixels": ("", tags(frame, ImageWidth=2**31, ImageLength=2**31, RowsPerStrip=2**31), "expected at most"),
    "of 196 million pixels that are not there": (
        "", tags(frame, ImageWidth=14000, ImageLength=14000, RowsPerStrip=14000), "is cut off"
    ),
    "of no width": ("", tags(frame, ImageWidth=0), "its first page holds no picture"),
    "in a circle": ("", lambda p: hostile.circle(frame(p)), "its pages run in a circle"),
    "of floats": ("", lambda p: makers.write_dng(p, np.ones(FRAME, np.float32), makers.dng_tags()), "float32 pixels"),
    "of 8 bits": ("", lambda p: makers.write_dng(p, np.ones(FRAME, np.uint8), makers.dng_tags()), "8-bit pixels"),
    "in JPEG XL": ("", tags(frame, Compression=52546), "compression JPEGXL_DNG"),
    "with a pattern of 6x6": ("", with_tags((33421, 3, 2, (6, 6), True)), "a colour pattern of (6, 6) sites"),
    "with an area outside": ("", with_tags((50829, 4, 4, (0, 0, 9000, 9000), True)), "an active area of (0, 0, 9000"),
    "with a cell of 1000x1000": ("", with_tags((50713, 3, 2, (1000, 1000), True)), "4 black levels for a cell of"),
    "with white below black": ("", with_tags((50717, 4, 1, 50, True)), "white level 50; expected more than"),
    "with a matrix of 0/0": ("", with_tags((50721, 10, 9, (0, 0) * 9, True)), "no usable ColorMatrix1"),
    "with white above 16 bits": ("", with_tags((50717, 4, 1, 70000, True)), "camera constants that cannot be"),
    "lossless JPEG of another size": ("", jpeg_size(lossless, 30000, 30000), "cannot be decoded"),
    "lossless JPEG of noise": ("", noise(lossless), "is cut off"),
    "of a PNG": ("", raw(lambda: hostile.png(8, 8, [])), "a png file"),
    "of camera raw noise": (".cr3", raw(lambda: makers.rng(3).bytes(4096)), "LibRaw cannot read it"),
}  # fmt: skip
BIG = {"t256": (4, 5120), "t257": (4, 5120), "t322": (4, 5120), "t323": (4, 5120)}
UNPACKED = {"LZW": (hostile.lzw_bomb, 5), "LZMA": (hostile.lzma_bomb, 34925)}
"""Decoders that stop when the claim is filled: what follows is not read, and no fault."""
CROPS = {
    "of floats": (lambda p: makers.write_tiff(p, np.ones(CROP, np.float32)), "float32 pixels"),
    "of 8 bits": (lambda p: makers.write_tiff(p, np.ones(CROP, np.uint8)), "8-bit pixels"),
    "of 64 bits": (lambda p: makers.write_tiff(p, np.ones(CROP, np.uint64)), "64-bit pixels"),
    "of signed numbers": (lambda p: makers.write_tiff(p, np.ones(CROP, np.int16)), "int16 pixels"),
    "of colours": (raw(lambda: tile_of(PLAIN, 1)), "3 channels"),
    "in deflate that expands": (raw(lambda: mosaic_tile(hostile.deflated(hostile.BOMB_BYTES), 8)), "be decoded"),
    "in zstd that expands": (raw(lambda: mosaic_tile(hostile.zstd_bomb(), 50000)), "be decoded"),
    "in PackBits that expand": (raw(lambda: mosaic_tile(hostile.packbits_bomb(), 32773)), "be decoded"),
    "in deflate of noise": (raw(lambda: mosaic_tile(makers.rng(2).bytes(900), 8)), "be decoded"),
    "of 26 million zeros": (raw(lambda: mosaic_tile(hostile.deflated(50 << 20), 8, **BIG)), "5120 x 5120 pixels"),
}  # fmt: skip
HUGE = {"t256": (4, 13312), "t257": (4, 13312), "t322": (4, 13312), "t323": (4, 13312)}
SLIDES = {
    "JPEG that claims more than its tile": (lambda: tile_of(hostile.jpeg_bomb(), 7, t262=(3, 6)), "be decoded"),
    "JPEG of two frames": (lambda: tile_of(hostile.two_frames(), 7, t262=(3, 6)), "be decoded"),
    "JPEG of one component": (
        lambda: tile_of(imagecodecs.jpeg8_encode(np.zeros(CROP, np.uint8)), 7, t262=(3, 6)), "be decoded"
    ),
    "JPEG 2000 that claims more": (lambda: tile_of(hostile.jpeg_2000_bomb(), 34712), "be decoded"),
    "tiles that expand to nothing": (lambda: tile_of(zlib.compress(b""), 8), "be decoded"),
    "a tile of 170 million zeros": (
        lambda: tile_of(hostile.deflated(507 << 20), 8, **HUGE), "a piece of 13312 x 13312 pixels"
    ),
    "a compression that nobody knows": (lambda: tile_of(PLAIN, 12345), "compression 12345"),
    "old JPEG": (lambda: tile_of(PLAIN, 6), "compression 6"),
    "tiles of no width": (lambda: tile_of(PLAIN, 1, t322=(3, 0)), "; expected "),
    "an absurd width": (lambda: tile_of(PLAIN, 1, t256=(4, 2**31), t257=(4, 2**31)), "expected at most"),
    "absurd tiles": (lambda: tile_of(PLAIN, 1, t322=(4, 2**30), t323=(4, 2**30)), "expected at most"),
    "tiles out of the file": (lambda: tile_of(PLAIN, 1, t324=(4, 2**31)), "truncated at"),
    "tiles at 0": (lambda: tile_of(PLAIN, 1, t324=(4, 0)), "a piece of its pixel data is missing"),
    "zero tiles": (lambda: tile_of(PLAIN, 1, t325=(4, 0)), "a piece of its pixel data is missing"),
    "too little data": (lambda: tile_of(PLAIN[:100], 1), "; expected "),
    "samples of 7 bits": (lambda: tile_of(PLAIN, 1, t258=(3, 7)), "; expected "),
    "complex samples": (lambda: tile_of(PLAIN, 1, t339=(3, 6)), "; expected "),
    "60000 samples a pixel": (lambda: tile_of(PLAIN, 1, t277=(3, 60000)), "; expected "),
    "a predictor of 77": (lambda: tile_of(zlib.compress(PLAIN), 8, t317=(3, 77)), "; expected "),
    "YCbCr that is not JPEG": (lambda: tile_of(zlib.compress(PLAIN), 8, t262=(3, 6)), "YCbCr pixels without JPEG"),
    "5000 tags": (hostile.many_tags, "5000 tags in one page"),
    "2^60 tags": (hostile.big_directory, "tags in one page"),
    "2^31 tiles": (hostile.many_tiles, "truncated at"),
    "a page below itself": (lambda: tile_of(PLAIN, 1, t330=(4, 8 + len(PLAIN))), "run in a circle"),
    "a directory out of the file": (lambda: tile_of(PLAIN, 1)[:4] + b"\x00\x00\x00\x80" + PLAIN, "truncated at"),
    "no pages": (lambda: b"II*\x00" + bytes(12), "; expected "),
    "16 bits": (lambda: tile_of(PLAIN * 2, 1, t258=(3, 16)), "; expected "),
    "a script": (lambda: b"#!/bin/sh\necho\n", "a format that rawmill does not know"),
}  # fmt: skip
SVS = {
    "in a circle": (lambda p: hostile.circle(svs(p)), "run in a circle"),
    "in a circle to its second page": (lambda p: hostile.circle(svs(p), 1), "run in a circle"),
    "with a tile out of the file": (piece(svs, "TileOffsets", 2**31), "truncated at"),
    "with an empty tile": (piece(svs, "TileByteCounts", 0), "a piece of its pixel data is missing"),
    "with a cut tile": (piece(svs, "TileByteCounts", 200), "is cut off"),
    "of noise": (noise(svs), "cut off"),
    "that states another size in a tile": (jpeg_size(svs, 60000, 60000), "cannot be decoded"),
    "with a thumbnail of 2^62 pixels": (tags(svs, 1, ImageWidth=2**31, ImageLength=2**31), "expected at most"),
    "with half a thumbnail": (cut(svs, lambda d: len(d) // 2), "; expected "),
}  # fmt: skip
ENTITIES = '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><OME>&b;</OME>'
IMAGEJ = "ImageJ=1.53t\nimages=1000000000\nslices=1000000000\nhyperstack=true\n"
IMAGES = {
    "with XML entities": (described(ENTITIES), "XML with entities of its own"),
    "with pages in another file": (described(hostile.ome("beside/secret.tif", 2)), "does not fit what is in the file"),
    "of a million planes that are not there": (described(hostile.ome("bad.tif", 10**6)), "; expected "),
    "of a billion planes by ImageJ": (described(IMAGEJ), "; expected "),
    "in a circle": (lambda p: hostile.circle(stack(p)), "run in a circle"),
    "of floats of 64 bits": (lambda p: hostile.write_ome(p, np.ones((2, 40, 50)), "ZYX"), "float64"),
    "of complex numbers": (lambda p: makers.write_tiff(p, np.ones((2, 40, 50), np.complex64)), "; expected "),
    "with a plane of another size": (tags(stack, 3, ImageWidth=40), "; expected "),
    "with a plane out of the file": (tags(stack, 2, TileOffsets=[2**31] * 4), "truncated at"),
}  # fmt: skip


def unpacked(data: Callable[[], bytes], code: int) -> Row:
    """A crop whose data hold more than it claims."""

    def make(folder: Path) -> None:
        (folder / "bad.tif").write_bytes(mosaic_tile(data(), code))

    return Row("crops", make, "", (), also=("bad",), zeros=("bad",))


def rows() -> dict[str, Row]:
    """All of them by name."""
    boundaries = ("frames", "lossless", "crops", "slides", "jpeg", "svs", "ndpi", "images")
    found = {f"{kind} cut at every boundary": cuts(kind) for kind in boundaries}
    found |= {f"DNG {n}": one("frames", end or ".dng", spoil, words) for n, (end, spoil, words) in FRAMES.items()}
    found |= {f"Bayer TIFF {n}": one("crops", ".tif", spoil, words) for n, (spoil, words) in CROPS.items()}
    found |= {f"Bayer TIFF in {name} that expands": unpacked(data, code) for name, (data, code) in UNPACKED.items()}
    found |= {f"TIFF slide: {n}": one("slides", ".tif", raw(data), words) for n, (data, words) in SLIDES.items()}
    found |= {f"SVS {n}": one("svs", ".svs", spoil, words) for n, (spoil, words) in SVS.items()}
    found |= {f"OME-TIFF {n}": one("images", ".tif", spoil, words) for n, (spoil, words) in IMAGES.items()}
    return found
