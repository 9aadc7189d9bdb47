"""JPEG streams as Zarr v3 chunks: the bytes of a slide's tiles are kept instead of encoding their pixels anew.

A TIFF keeps the tables of its tiles once, in tag JPEGTables, and its tiles as abbreviated streams (TIFF Technical
Note 2). `self_contained` makes of both one stream that any decoder opens; the entropy-coded bytes stay as they are.
`JpegCodec` reads such chunks under the name that the package imagecodecs-zarr gives them, `imagecodecs_jpeg`; it is
registered in the entry point group `zarr.codecs`, so that zarr-python finds it wherever rawmill is installed.
Marker segments: ITU-T T.81, annex B.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.registry import register_codec

NAME = "imagecodecs_jpeg"
SOI, EOI, SOS, APP0, APP14, APP15, COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xEF, 0xFE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; 0xC4, 0xC8 and 0xCC are DHT, JPG and DAC."""
DECODING = FRAMES | {0xC4, 0xCC, SOS, 0xDB, 0xDD}
"""What a decoder needs: also DHT, DAC, DQT and DRI."""
SCAN_END = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""A marker that ends entropy-coded data: neither a stuffed byte nor a restart."""
COLOURING_BYTES = 18
ENCODER_ONLY = frozenset({"level", "bitspersample", "subsampling", "optimize", "smoothing", "lossless", "predictor"})
"""Keys of the codec's configuration that say nothing about how to decode."""


def _segments(data: bytes, head_only: bool = False) -> Iterator[tuple[int, int, int]]:
    """(marker, its place, byte after) of the marker segments that follow SOI: up to EOI, or before the first scan.

    SOS includes its entropy-coded data, which is not looked at where `head_only`. A place is that of the last 0xFF
    before the marker: fill bytes are left out. Raises `ValueError`.
    """
    if data[:2] != bytes((0xFF, SOI)):
        raise ValueError("no JPEG: it does not begin with SOI")
    at, marker = 2, 0
    while marker != EOI:
        begin = at
        while data[at : at + 1] == b"\xff":  # any number of fill bytes may precede a marker
            at += 1
        if at == begin or at >= len(data):
            raise ValueError(f"no JPEG marker at byte {begin}")
        marker, place, at = data[at], at - 1, at + 1
        if marker != EOI:
            length = int.from_bytes(data[at : at + 2], "big")
            if marker < 0xC0 or SOI >= marker >= 0xD0 or length < 2 or at + length > len(data):
                raise ValueError(f"bad JPEG marker segment {marker:#x} at byte {place}")
            at += length
        if head_only and marker in (SOS, EOI):
            return
        if marker == SOS:
            after = SCAN_END.search(data, at)
            at = after.start() if after else len(data)
        yield marker, place, at


def frame_size(data: bytes) -> tuple[int, int, int]:
    """(height, width, components) that the frame header of a JPEG stream claims (T.81, B.2.2).

    A second frame before the scan would be the one that a decoder sees: `ValueError` unless there is one only.
    """
    found = [data[begin + 4 : end] for marker, begin, end in _segments(data, head_only=True) if marker in FRAMES]
    if len(found) != 1 or len(found[0]) < 6:
        raise ValueError(f"{len(found)} frame headers before the scan of a JPEG stream, or one that is cut off")
    header = found[0]
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    if not (height and width and header[5]):
        raise ValueError(f"the JPEG frame is {height} x {width} with {header[5]} components")
    return height, width, header[5]


def self_contained(tables: bytes | None, data: bytes, rgb: bool) -> bytes:
    """One whole JPEG stream of a TIFF's JPEGTables (tag 347) and the abbreviated stream of one tile.

    Of both only what decodes pixels: comments and application data may hold anything. An Adobe marker says how
    the components are coloured, as TIFF's PhotometricInterpretation did: as they are (`rgb`) or YCbCr. A JFIF
    marker would overrule it in libjpeg. Raises `ValueError`.
    """
    shared = list(_decoding(tables)) if tables else []
    own = list(_decoding(data))
    if not any(segment[1] == SOS for segment in own):
        raise ValueError("the JPEG stream has no scan")
    adobe = bytes((0xFF, APP14)) + (14).to_bytes(2, "big") + b"Adobe\x00\x64" + bytes(4) + bytes((0 if rgb else 1,))
    return b"".join([bytes((0xFF, SOI)), adobe, *shared, *own, bytes((0xFF, EOI))])


def _decoding(data: bytes) -> Iterator[bytes]:
    """The segments that decode pixels, between SOI and EOI. Raises `ValueError` on one of which nothing is known."""
    for marker, begin, end in _segments(data):
        if marker in DECODING:
            yield data[begin:end]
        elif marker != EOI and _name(marker) is None:
            raise ValueError(f"JPEG marker {marker:#x}")


def dropped(data: bytes) -> set[str]:
    """Names of what `self_contained` leaves out of a stream, but for its colouring. Raises `ValueError`."""
    found = ((marker, data[begin:end]) for marker, begin, end in _segments(data))
    return {name for marker, segment in found if (name := _name(marker)) and not _colouring(marker, segment)}


def _name(marker: int) -> str | None:
    if marker == COM:
        return "JPEG comment"
    return f"JPEG APP{marker - APP0}" if APP0 <= marker <= APP15 else None


def _colouring(marker: int, segment: bytes) -> bool:
    """Adobe's marker and a JFIF marker without a thumbnail, which say how to show the components and no more."""
    bare = marker in (APP0, APP14) and len(segment) <= COLOURING_BYTES
    return bare and segment[4:9] == (b"JFIF\0" if marker == APP0 else b"Adobe")


def decode(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels (y, x, c) uint8 of a whole stream, whose frame must be of `shape`. Raises `ValueError`."""
    if frame_size(data) != shape:
        raise ValueError(f"a JPEG frame of {frame_size(data)}, not {shape}")
    try:
        pixels = np.asarray(imagecodecs.jpeg8_decode(data))
    except imagecodecs.Jpeg8Error as error:
        raise ValueError(f"the JPEG stream cannot be decoded: {error}") from None
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise ValueError(f"decoded to {pixels.shape} {pixels.dtype}, not {shape} uint8")
    return pixels


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """Reads a chunk (y, x, c) uint8 that is one whole JPEG stream. Such chunks are copied, never encoded here."""

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # type: ignore[override]
        told = {key for key, value in (data.get("configuration") or {}).items() if value is not None}
        if told - ENCODER_ONLY:
            raise ValueError(f"codec {NAME}: {sorted(told - ENCODER_ONLY)} are not supported; only whole streams are")
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"name": NAME, "configuration": {}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError  # as Zarr's own codecs without a fixed size: a JPEG stream's follows from its pixels

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels: Any = decode(chunk_bytes.to_bytes(), chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(pixels)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        raise ValueError(f"codec {NAME}: pixels would change; write such chunks with tasks.store.write(encoded=...)")


register_codec(NAME, JpegCodec)
