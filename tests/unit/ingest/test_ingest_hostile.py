"""Hostile headers and pixel data: refused in one line, quickly, before memory is taken."""

import json
import lzma
import resource
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.ingest.annotations import geojson, labels
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import picture as pictures
from tasks.ingest.formats import sniff
from tests import makers
from tests.hostile_makers import (
    BOMB_BYTES,
    PLAIN,
    SIDE,
    big_directory,
    deflated,
    jpeg_2000_bomb,
    jpeg_bomb,
    many_tags,
    many_tiles,
    packbits_bomb,
    tile_of,
    two_frames,
    zstd_bomb,
)

MOST_SECONDS, MOST_BYTES = 60.0, 150 * 2**20  # seconds guard against hanging and measure nothing


def cyclic(path: Path) -> None:
    data = bytearray(tile_of(bytes(SIDE * SIDE * 3), 1))
    start = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, len(data) - 4, start)
    path.write_bytes(data)


def sub_cycle(path: Path) -> None:
    """A page that names itself as the page below it."""
    pixels = bytes(SIDE * SIDE * 3)
    path.write_bytes(tile_of(pixels, 1, t330=(4, 8 + len(pixels))))


def xml_entities(path: Path) -> None:
    words = '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><OME>&b;</OME>'
    tifffile.imwrite(path, np.zeros((SIDE, SIDE, 3), np.uint8), description=words, metadata=None)


def foreign_pages(path: Path) -> None:
    """OME-XML whose pixels are said to be in another file, beside or anywhere."""
    words = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="64" SizeZ="2" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" FirstZ="0"><UUID FileName="secret.tif">'
        'urn:uuid:1</UUID></TiffData><TiffData IFD="0" FirstZ="1"><UUID FileName="../secret.tif">urn:uuid:2</UUID>'
        "</TiffData></Pixels></Image></OME>"
    )
    tifffile.imwrite(path.parent / "secret.tif", np.ones((SIDE, SIDE), np.uint8), metadata=None)
    tifffile.imwrite(path, np.zeros((SIDE, SIDE), np.uint8), description=words, metadata=None)


def raw(data: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data())


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a JPEG that claims more than its tile": raw(lambda: tile_of(jpeg_bomb(), 7, t262=(3, 6))),
    "a JPEG of two frames": raw(lambda: tile_of(two_frames(), 7, t262=(3, 6))),
    "a JPEG of one component": raw(
        lambda: tile_of(imagecodecs.jpeg8_encode(np.zeros((SIDE, SIDE), np.uint8)), 7, t262=(3, 6))
    ),
    "a JPEG 2000 that claims more than its tile": raw(lambda: tile_of(jpeg_2000_bomb(), 34712)),
    "LZMA that is too large for its tile": raw(lambda: tile_of(lzma.compress(bytes(2**22)) + bytes(2**21), 34925)),
    "tiles that expand to nothing": raw(lambda: tile_of(zlib.compress(b""), 8)),
    "data of another compression": raw(lambda: tile_of(PLAIN, 8)),
    "a compression that nobody knows": raw(lambda: tile_of(PLAIN, 12345)),
    "old JPEG": raw(lambda: tile_of(PLAIN, 6)),
    "tiles of no width": raw(lambda: tile_of(PLAIN, 1, t322=(3, 0))),
    "no width": raw(lambda: tile_of(PLAIN, 1, t256=(3, 0))),
    "an absurd width": raw(lambda: tile_of(PLAIN, 1, t256=(4, 2**31), t257=(4, 2**31))),
    "absurd tiles": raw(lambda: tile_of(PLAIN, 1, t322=(4, 2**30), t323=(4, 2**30))),
    "tiles out of the file": raw(lambda: tile_of(PLAIN, 1, t324=(4, 2**31))),
    "tiles that end out of the file": raw(lambda: tile_of(PLAIN, 1, t325=(4, 2**31))),
    "tiles at 0": raw(lambda: tile_of(PLAIN, 1, t324=(4, 0))),
    "empty tiles": raw(lambda: tile_of(PLAIN, 1, t325=(4, 0))),
    "too little data": raw(lambda: tile_of(PLAIN[:100], 1)),
    "samples of 7 bits": raw(lambda: tile_of(PLAIN, 1, t258=(3, 7))),
    "complex samples": raw(lambda: tile_of(PLAIN, 1, t339=(3, 6))),
    "60000 samples a pixel": raw(lambda: tile_of(PLAIN, 1, t277=(3, 60000))),
    "planes of which one is there": raw(lambda: tile_of(PLAIN, 1, t284=(3, 2))),
    "a planar configuration of 9": raw(lambda: tile_of(PLAIN, 1, t284=(3, 9))),
    "a predictor of 77": raw(lambda: tile_of(zlib.compress(PLAIN), 8, t317=(3, 77))),
    "YCbCr that is not JPEG": raw(lambda: tile_of(zlib.compress(PLAIN), 8, t262=(3, 6))),
    "a deep picture": raw(lambda: tile_of(PLAIN, 1, t32997=(4, 2**20))),
    "pages in a circle": cyclic,
    "a page below itself": sub_cycle,
    "XML with entities": xml_entities,
    "pages in another file": foreign_pages,
    "5000 tags": raw(many_tags),
    "2^60 tags": raw(big_directory),
    "2^31 tiles": raw(many_tiles),
    "BigTIFF with offsets of 4 bytes": raw(lambda: b"II+\x00" + struct.pack("<HHQ", 4, 0, 16) + bytes(64)),
    "no pages": raw(lambda: b"II*\x00" + bytes(12)),
    "a directory out of the file": raw(lambda: b"II*\x00" + struct.pack("<I", 2**31) + bytes(64)),
}
BOMBS: dict[str, Callable[[Path], object]] = {
    "deflate": raw(lambda: tile_of(deflated(BOMB_BYTES), 8)),
    "zstd": raw(lambda: tile_of(zstd_bomb(), 50000)),
    "PackBits": raw(lambda: tile_of(packbits_bomb(), 32773)),
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refused(path: Path, read: Callable[[], object], might_read: bool = False) -> None:
    """One line, soon, with little memory; `might_read`: pixels are as good, where memory stays small."""
    before, start = peak(), time.perf_counter()
    try:
        read()
        assert might_read, "nothing was wrong with it"
    except BadFile as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert time.perf_counter() - start < MOST_SECONDS
    assert peak() - before < MOST_BYTES


def read_all(path: Path, kind: Any = "slides") -> None:
    with pictures.opened(path, kind, makers.params(kind, pixel_size_um=1.0)) as one:
        one.read(tuple(slice(0, n) for n in one.shape))


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_tiffs_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tif"
    HOSTILE[name](path)
    for kind in ("slides", "images"):
        refused(path, partial(read_all, path, kind))


def test_the_plain_tile_that_they_are_made_from_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tile_of(PLAIN, 1))
    read_all(tmp_path / "a.tif")


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_do_not_expand(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tif"
    BOMBS[name](path)
    refused(path, lambda: read_all(path), might_read=True)


def test_looking_at_hostile_tiffs_raises_nothing_else(tmp_path: Path) -> None:
    for name, spoil in HOSTILE.items():
        spoil(tmp_path / "a.tif")
        try:
            assert sniff.look(tmp_path / "a.tif").kind, name
        except BadFile:
            continue


FEATURE = '{"type": "Feature", "properties": {"label": "a"}, "geometry": {"type": "Polygon", "coordinates": %s}}'
GEOJSON: dict[str, str] = {
    "nested deep": "[" * 200_000,
    "nested deep in a feature": '{"features": [' + "[" * 200_000 + "]" * 200_000 + "]}",
    "4 million lists": "[" + "[]," * 4_000_000 + "[]]",
    "9 million numbers": "[" + "0," * 9_000_000 + "0]",
    "not a number": "[" + FEATURE % "[[[NaN, 0], [1, 1], [2, 0]]]" + "]",
    "1e300": "[" + FEATURE % "[[[1e300, 0], [1, 1], [2, 0]]]" + "]",
    "1e999": "[" + FEATURE % "[[[0, 0], [1, -1e999], [2, 0]]]" + "]",
    "a number of 10000 digits": "[" + FEATURE % f"[[[{'9' * 10000}, 0], [1, 1], [2, 0]]]" + "]",
    "an integer above every float": "[" + FEATURE % f"[[[{'9' * 400}, 0], [1, 1], [2, 0]]]" + "]",
    "text after its end": "[" + FEATURE % "[[[0, 0], [1, 1], [2, 0]]]" + "] more",
    "cut in its list": '{"features": [' + FEATURE % "[[[0, 0], [1, 1], [2, 0]]]",
    "cut behind its list": '{"features": [' + FEATURE % "[[[0, 0], [1, 1], [2, 0]]]" + "]",
    "corners of one number": "[" + FEATURE % "[[[0], [1], [2]]]" + "]",
    "no rings": "[" + FEATURE % "[]" + "]",
    "collections in collections": '[{"properties": {"label": "a"}, "geometry": '
    + '{"type": "GeometryCollection", "geometries": [' * 50 + "]}" * 50 + "}]",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(GEOJSON))
def test_hostile_geojson_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(GEOJSON[name])
    refused(path, lambda: geojson.read_polygons(path, 10**9))


def test_an_annotation_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = makers.write_geojson(tmp_path / "a.geojson", [makers.feature("a", "Polygon", [makers.box(0, 0, 5, 5)])])
    size = path.stat().st_size
    geojson.read_polygons(path, size)
    with pytest.raises(BadFile, match=f"{size} bytes; expected at most {size - 1}"):
        geojson.read_polygons(path, size - 1)


def test_many_tiny_polygons_are_read_and_drawn_by_windows_soon(tmp_path: Path) -> None:
    path, count = tmp_path / "a.geojson", 60_000
    corners = (json.dumps([makers.box(x, y, x + 1, y + 1)]) for y in range(60) for x in range(1000))
    path.write_text("[" + ",".join(FEATURE % one for one in corners) + "]")
    start = time.perf_counter()
    assert len(geojson.read_polygons(path, 10**8)) == count
    with labels.opened(path, (60, 1000), ("a",), makers.params(most_annotation_bytes=10**8)) as read:
        assert (read(slice(0, 16), slice(0, 16)) == 1).all()
    assert time.perf_counter() - start < MOST_SECONDS


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)

    def read() -> None:
        with labels.opened(path, (60000, 60000), ("a",), makers.params(source_classes=["a"])):
            pass

    refused(path, read)


def test_the_bombs_are_bombs() -> None:
    """Last: it takes the memory that the others must not take."""
    assert len(imagecodecs.zstd_decode(zstd_bomb())) == BOMB_BYTES
    assert len(deflated(BOMB_BYTES)) < 2**20
