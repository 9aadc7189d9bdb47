"""Files made to do harm: headers that lie, data that expand, directories that run in circles."""

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from tests import makers

SIDE = 64
BOMB_BYTES = 300 * 2**20
PLAIN = bytes(SIDE * SIDE * 3)
WORDS = {3: "H", 4: "I", 5: "II", 16: "Q"}
"""struct codes of TIFF types."""


def tile_of(data: bytes, compression: int, **tags: tuple[int, int]) -> bytes:
    """A TIFF of one RGB tile of 64 x 64 px that is `data`; `t256=(type, value)` changes or adds a tag."""
    entries = {256: (3, SIDE), 257: (3, SIDE), 258: (3, 8), 259: (3, compression), 262: (3, 2), 277: (3, 3)}
    entries |= {322: (3, SIDE), 323: (3, SIDE), 324: (4, 8), 325: (4, len(data))}
    entries |= {int(code[1:]): value for code, value in tags.items()}
    packed = b"".join(struct.pack("<HHII", c, t, 1, v) for c, (t, v) in sorted(entries.items()))
    head = b"II*\x00" + struct.pack("<I", 8 + len(data)) + data
    return head + struct.pack("<H", len(entries)) + packed + bytes(4)


def mosaic_tile(data: bytes, compression: int, **tags: tuple[int, int]) -> bytes:
    """The same of one channel of 16 bits."""
    grey = {"t258": (3, 16), "t262": (3, 1), "t277": (3, 1)}
    return tile_of(data, compression, **{**grey, **tags})


def jpeg_bomb() -> bytes:
    """A tile that claims 20000 x 20000 in its own frame header."""
    data = bytearray(imagecodecs.jpeg8_encode(makers.picture_of(SIDE, SIDE)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 20000, 20000)
    return bytes(data)


def two_frames() -> bytes:
    """A tile with a small frame header before its large one."""
    data = jpeg_bomb()
    at = data.index(b"\xff\xc0")
    small = bytearray(data[at : at + 19])
    small[5:9] = struct.pack(">HH", SIDE, SIDE)
    return data[:at] + bytes(small) + data[at:]


def jpeg_2000_bomb() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(makers.picture_of(SIDE, SIDE), codecformat="j2k"))
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 8 : at + 16] = struct.pack(">II", 30000, 30000)
    data[at + 24 : at + 32] = struct.pack(">II", 30000, 30000)
    return bytes(data)


def deflated(size: int) -> bytes:
    """`size` zeros (whole MiB), made without ever holding them."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(size >> 20)), packer.flush()])


def zstd_bomb(size: int = BOMB_BYTES) -> bytes:
    """A frame of run-length blocks of 128 KiB, four bytes each (RFC 8878, 3.1.1)."""
    blocks = size >> 17
    headers = (struct.pack("<I", (i == blocks - 1) | 1 << 1 | 2**17 << 3)[:3] + b"\x00" for i in range(blocks))
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(headers)


def lzw_bomb() -> bytes:
    return bytes(imagecodecs.lzw_encode(bytes(2**26)))


def packbits_bomb() -> bytes:
    return b"\x81\x00" * (2**18)


def lzma_bomb() -> bytes:
    return lzma.compress(bytes(2**26))


def many_tags() -> bytes:
    entries = struct.pack("<HHII", 65000, 3, 1, 1) * 5000
    return b"II*\x00" + struct.pack("<IH", 8, 5000) + entries + bytes(4)


def big_directory() -> bytes:
    """BigTIFF that claims 2^60 tags."""
    return b"II+\x00" + struct.pack("<HHQQ", 8, 0, 16, 2**60) + bytes(64)


def many_tiles() -> bytes:
    """Tile offsets that claim 2^31 numbers."""
    data = bytearray(tile_of(PLAIN, 1))
    struct.pack_into("<I", data, data.index(struct.pack("<HH", 324, 4)) + 4, 2**31)
    return bytes(data)


def ome(second: str, planes: int) -> str:
    """OME-XML of `planes` planes, of which the second is in the file `second`."""
    said = "".join(
        f'<TiffData IFD="0" FirstZ="{z}"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(("bad.tif", second))
    )
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="64" SizeC="1" SizeT="1" '
        f'SizeZ="{planes}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{said}</Pixels></Image></OME>'
    )


def png(width: int, height: int, chunks: Sequence[tuple[bytes, bytes]], grey_bits: int = 8) -> bytes:
    """A PNG whose header claims a grey picture, followed by `chunks` (name, data)."""
    header = struct.pack(">IIBBBBB", width, height, grey_bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def overwrite(path: Path, page: int = 0, **values: Any) -> Path:
    """Change tags of a page of the TIFF at `path`, by their names, in place."""
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name, value in values.items():
            tag = tif.pages[page].aspage().tags[name]
            tag.overwrite(value, dtype=16 if isinstance(value, int) and value >= 2**32 else 4)
    return path


def patch(path: Path, at: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return path


def next_directory(path: Path, page: int) -> int:
    """Where the place of the directory after `page` stands, in a classic TIFF."""
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[page].aspage().offset
    with path.open("rb") as file:
        file.seek(start)
        (count,) = struct.unpack("<H", file.read(2))
    return start + 2 + 12 * count


def circle(path: Path, back_to: int = 0) -> Path:
    """Make the last directory of the classic TIFF at `path` go on with an earlier one."""
    with tifffile.TiffFile(path) as tif:
        last, target = len(tif.pages) - 1, tif.pages[back_to].aspage().offset
    return patch(path, next_directory(path, last), struct.pack("<I", target))


def boundaries(path: Path) -> list[int]:
    """Where a TIFF's parts begin and end: header, each directory, its tags' values, its pieces of pixels."""
    places = {0, 1, 2, 4, 8}
    with tifffile.TiffFile(path) as tif:
        for page in _pages(tif):
            places |= {page.offset, page.offset + 2, page.offset + 2 + tif.tiff.tagsize * len(page.tags)}
            for tag in page.tags:
                places |= {tag.offset, tag.valueoffset, tag.valueoffset + tag.valuebytecount}
            places |= {*page.dataoffsets, *(a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True))}
    size = path.stat().st_size
    return sorted(p for p in places if 0 <= p < size)


def _pages(tif: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    for page in tif.pages:
        yield page.aspage()
        yield from (below.aspage() for below in page.aspage().pages or ())


def cut_everywhere(good: Path) -> None:
    """Copies of `good` beside it, `bad-000123<suffix>` cut at byte 123, one for each boundary of its structure."""
    data = good.read_bytes()
    for place in boundaries(good):
        (good.parent / f"bad-{place:06d}{good.suffix}").write_bytes(data[:place])


def cut(make: Callable[[Path], object], where: Callable[[bytes], int]) -> Callable[[Path], None]:
    """A file that `make` writes, cut at the byte `where(data)`."""

    def spoil(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: where(data)])

    return spoil


def write_ome(path: Path, pixels: np.ndarray, axes: str = "TCZYX") -> Path:
    """An OME-TIFF in deflate tiles."""
    options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
                     **options)  # fmt: skip
    return path


def write_huge(path: Path, side: int, tile: int = 512) -> Path:
    """A BigTIFF slide of `side` x `side` px whose JPEG tiles are the same four over and over: a small file."""
    tiles = [_flat_tile(tile, key) for key in range(4)]
    count = (-(-side // tile)) ** 2
    starts = np.cumsum([16, *(len(t) for t in tiles)])
    pick = (np.arange(count) * 7 + np.arange(count) // (-(-side // tile)) * 3) % 4
    offsets = starts[pick].astype("<u8").tobytes()
    sizes = np.array([len(t) for t in tiles], "<u4")[pick].tobytes()
    at = int(starts[-1])
    tags = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, (8, 8, 8)), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3),
        (282, 5, 1, (20000, 1)), (283, 5, 1, (20000, 1)), (284, 3, 1, 1), (296, 3, 1, 3), (322, 4, 1, tile),
        (323, 4, 1, tile), (324, 16, count, at), (325, 4, count, at + len(offsets)), (530, 3, 2, (2, 2)),
    ]  # fmt: skip
    entries = b"".join(_big_entry(*tag) for tag in tags)
    directory = struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", 0)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at + len(offsets) + len(sizes))
    path.write_bytes(b"".join([head, *tiles, offsets, sizes, directory]))
    return path


def _big_entry(code: int, kind: int, count: int, value: int | tuple[int, ...]) -> bytes:
    """A tag of a BigTIFF; a value that does not fit is given by its place."""
    values = value if isinstance(value, tuple) else (value,)
    word = WORDS[kind] if isinstance(value, tuple) or count == 1 else "Q"
    packed = struct.pack(f"<{len(values)}{word}" if len(word) == 1 else f"<{word}", *values)
    return struct.pack("<HHQ", code, kind, count) + packed.ljust(8, b"\x00")


def _flat_tile(side: int, key: int) -> bytes:
    """Glass with a large dark disc, of few colours, so that a store of many is small."""
    y, x = np.mgrid[:side, :side]
    inside = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / (2.5 + key)) ** 2
    picture = np.where(inside[..., None], (150 + 8 * key, 80, 140), 240).astype(np.uint8)
    return bytes(imagecodecs.jpeg8_encode(picture, level=90, colorspace="RGB", outcolorspace="YCBCR"))
