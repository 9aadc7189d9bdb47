"""Shards of Zarr v3 arrays, made here: encoded, packed, written whole under another name, read back, compared.

zarr-python would write a shard in place and chunk by chunk; here a shard is seen under its name only when it is
whole and has been proved to decode to its pixels, and threads encode side by side without the interpreter's lock.
tasks/lineage/chunks.py reads the index of a shard too, and shares nothing with this module on purpose: the auditor of
a store must not repeat the mistakes of its writer.
Layout: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/ with the index at the end, its
codecs `bytes` little endian and `crc32c`. Chunks: `bytes`, `zstd`, `crc32c`; or `transpose` to (y, x, c), one JPEG
stream (tasks/jpeg.py), `crc32c`. zstd level 1 was measured against levels 2 and 3 and bit-shuffled Blosc-zstd 1 on
8-bit tissue and 16-bit mosaics: never more than 7 % larger, and the fastest or nearly so to encode and to decode.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tasks import jpeg
from tasks.errors import StoreError, fault

Array = NDArray[Any]
EMPTY = 2**64 - 1
ENTRY, CRC = 16, 4
"""Bytes of an entry of the index, and of a CRC32C."""
DAMAGE = (ValueError, RuntimeError)
"""What decoding raises where bytes are not those written."""


def crc32c(data: bytes) -> bytes:
    """The CRC32C (RFC 3720) of `data`, little endian."""
    return int(google_crc32c.value(data)).to_bytes(CRC, "little")


def pack(chunks: Sequence[bytes | None]) -> list[bytes]:
    """The pieces of one shard of encoded chunks, given in C order of the shard's grid (None: no chunk): the chunks,
    their index."""
    sizes = np.array([0 if chunk is None else len(chunk) for chunk in chunks], "<u8")
    entries = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    entries[[chunk is None for chunk in chunks]] = EMPTY
    return [*filter(None, chunks), entries.tobytes(), crc32c(entries.tobytes())]


def ranges(tail: bytes, count: int, size: int) -> list[tuple[int, int]]:
    """(offset, bytes) of each of the `count` chunks of a shard of `size` bytes, from its `tail`, the index; (2^64 - 1,
    2^64 - 1) where there is none.

    Raises `ValueError` where the index is cut off, fails its CRC32C, or names bytes outside the shard.
    """
    body = size - count * ENTRY - CRC
    if body < 0:
        raise ValueError(f"a shard of {size} bytes has no room for the index of {count} chunks")
    index = tail[:-CRC]
    if crc32c(index) != tail[-CRC:]:
        raise ValueError("the index of the shard fails its CRC32C")
    entries = [(int(offset), int(length)) for offset, length in np.frombuffer(index, "<u8").reshape(count, 2)]
    for offset, length in entries:
        if (offset, length) != (EMPTY, EMPTY) and offset + length > body:
            raise ValueError(f"the index names bytes {offset} to {offset + length} of {body}")
    return entries


@dataclass(frozen=True)
class Layout:
    """What `zarr.json` of a sharded array says of its chunks."""

    shape: tuple[int, ...]
    dtype: np.dtype
    """Little endian."""
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    zstd_level: int | None
    """None: each chunk is one JPEG stream."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks in a shard along each axis."""
        return tuple(s // c for s, c in zip(self.shards, self.chunks, strict=True))

    @property
    def bits(self) -> np.dtype:
        """Unsigned integers of the dtype's size: in these, NaN equals itself and -0 does not equal 0."""
        return np.dtype(f"<u{self.dtype.itemsize}")


def layout(path: Path) -> Layout:
    """The layout of the array at `path`. Raises `OSError`, or `StoreError` where rawmill does not write its like."""
    try:
        return _layout(_metadata(path))
    except (KeyError, TypeError, ValueError, IndexError):
        expected = "shards of chunks in zstd or JPEG with crc32c last"
        raise StoreError(fault(path, "an array of other codecs", expected, "report this as a bug")) from None


def document(path: Path) -> Mapping[str, Any]:
    """What `zarr.json` below `path` holds. Raises `OSError`, and `ValueError` where it is no JSON."""
    return _parsed(_metadata(path))


def _metadata(path: Path) -> bytes:
    return (path / "zarr.json").read_bytes()


@lru_cache(maxsize=256)
def _parsed(metadata: bytes) -> Mapping[str, Any]:
    return dict(json.loads(metadata))


@lru_cache(maxsize=256)
def _layout(text: bytes) -> Layout:
    metadata = _parsed(text)
    (sharding,) = metadata["codecs"]
    inner = sharding["configuration"]
    codecs = [codec["name"] for codec in inner["codecs"]]
    index = [codec["name"] for codec in inner["index_codecs"]]
    if sharding["name"] != "sharding_indexed" or index != ["bytes", "crc32c"] or inner["index_location"] != "end":
        raise ValueError
    lossless = {("bytes", "zstd", "crc32c"): True, ("transpose", jpeg.NAME, "crc32c"): False}[tuple(codecs)]
    level = int(inner["codecs"][1]["configuration"]["level"]) if lossless else None
    shard = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    return Layout(tuple(metadata["shape"]), dtype, tuple(inner["chunk_shape"]), shard, level)


def sealed(payload: bytes) -> bytes:
    """An encoded chunk with its CRC32C behind it."""
    return payload + crc32c(payload)


def encode(block: Array, how: Layout) -> bytes:
    """One chunk, as it stands in a shard. `block` has the shape of a chunk and is C-contiguous."""
    if how.zstd_level is None:
        raise ValueError("JPEG chunks are copied from their source, never encoded")
    if _constant(block):
        return _encoded_constant(block.flat[0].tobytes(), how)
    return sealed(_zstd(block, how.zstd_level))


def decode(stored: bytes, how: Layout) -> Array:
    """The pixels of one chunk, in the unsigned integers of `how.bits`. Raises one of `DAMAGE`."""
    payload = stored[:-CRC]
    if crc32c(payload) != stored[-CRC:]:
        raise ValueError("the chunk fails its CRC32C")
    if how.zstd_level is None:
        planes, height, width = how.chunks
        return jpeg.decode(payload, (height, width, planes)).transpose(2, 0, 1)
    pixels = np.empty(how.chunks, how.bits)
    found = imagecodecs.zstd_decode(payload, out=pixels.data.cast("B"))
    if len(found) != pixels.nbytes:
        raise ValueError(f"the chunk holds {len(found)} bytes of {pixels.nbytes}")
    return pixels


def _zstd(block: Array, level: int) -> bytes:
    return bytes(imagecodecs.zstd_encode(block.data, level=level))  # type: ignore[arg-type]


def _constant(block: Array) -> bool:
    first = block.flat[0]
    return bool(block.flat[-1] == first and block.flat[block.size // 2] == first and (block == first).all())


@lru_cache(maxsize=64)
def _encoded_constant(value: bytes, how: Layout) -> bytes:
    """A chunk of one value, encoded and proved to decode: label images hold little else."""
    block = np.full(how.chunks, np.frombuffer(value, how.bits)[0], how.bits)
    stored = sealed(_zstd(block, how.zstd_level or 0))
    if not _equal(decode(stored, how), block):
        raise StoreError(fault("zstd", "does not decode what it encoded", "the same bytes", "check the memory"))
    return stored


def blocks(data: Array, how: Layout) -> Iterator[Array]:
    """The chunks of a shard's `data` in C order, in the shape of `data`: cut off at the image's edge, maybe empty."""
    for corner in product(*(range(n) for n in how.grid)):
        yield data[tuple(slice(i * c, (i + 1) * c) for i, c in zip(corner, how.chunks, strict=True))]


def _whole(block: Array, how: Layout) -> Array:
    """`block` C-contiguous in the shape of a chunk, zero beyond the image's edge."""
    if block.shape == how.chunks:
        return np.ascontiguousarray(block)
    whole = np.zeros(how.chunks, how.bits)
    whole[tuple(slice(0, n) for n in block.shape)] = block
    return whole


def write_shard(file: Path, how: Layout, data: Array, encoded: Sequence[bytes] | None) -> None:
    """Write a shard's `data` to `file`, which appears whole and proved, or not at all.

    A `file` that already holds `data` is left untouched. `encoded` gives the JPEG streams of those chunks that lie
    in the image, in C order; they are stored as they are. Raises `OSError`, `StoreError` where what is read back
    does not decode to `data`, and `ValueError` or `TypeError` where the caller's arguments contradict each other.
    """
    data = np.asarray(data).astype(how.dtype, casting="safe", copy=False).view(how.bits)
    streams = None if encoded is None else _placed(encoded, data, how)
    if file.exists() and _fault(file, how, data, streams) is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        put(part, _encoded(data, how) if streams is None else [s and sealed(s) for s in streams])
        wrong = _fault(part, how, data, streams)
        if wrong:
            raise StoreError(fault(file, wrong, "the pixels written", "check the disk and run again"))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def put(file: Path, chunks: Sequence[bytes | None]) -> None:
    """The bytes of a shard to the medium."""
    with file.open("wb") as medium:
        medium.writelines(pack(chunks))


def _encoded(data: Array, how: Layout) -> list[bytes | None]:
    return [encode(_whole(block, how), how) for block in blocks(data, how)]


def _placed(streams: Sequence[bytes], data: Array, how: Layout) -> list[bytes | None]:
    """`streams` in their places in the shard's grid; None beyond the image's edge."""
    there = [block.size > 0 for block in blocks(data, how)]
    if sum(there) != len(streams):
        raise ValueError(f"{len(streams)} encoded chunks, {sum(there)} in the image")
    rest = iter(streams)
    return [next(rest) if here else None for here in there]


def _fault(file: Path, how: Layout, data: Array, streams: Sequence[bytes | None] | None) -> str | None:
    """What is wrong with `file` as the shard of `data`, None if nothing is. Each chunk is decoded and compared."""
    try:
        with file.open("rb") as medium:
            spans = _spans(medium, prod(how.grid))
            for number, ((_, size), block) in enumerate(zip(spans, blocks(data, how), strict=True)):
                stored = None if size == EMPTY else medium.read(size)
                same = _holds(stored, block, how) if streams is None else _keeps(stored, block, how, streams[number])
                if not same:
                    return f"chunk {number} read back other values"
    except DAMAGE as error:
        return f"read back: {error}"
    return None


def _spans(medium: BinaryIO, count: int) -> list[tuple[int, int]]:
    """The ranges of a shard that this module packed, which lie one behind the other from its first byte."""
    tail = count * ENTRY + CRC
    size = medium.seek(0, os.SEEK_END)
    medium.seek(max(0, size - tail))
    spans = ranges(medium.read(), count, size)
    medium.seek(0)
    at = 0
    for offset, length in spans:
        if offset != EMPTY and offset != at:
            raise ValueError(f"a chunk begins at byte {offset}, not at {at}")
        at += 0 if offset == EMPTY else length
    if at != size - tail:
        raise ValueError(f"chunks end at byte {at} of {size - tail}")
    return spans


def _holds(stored: bytes | None, block: Array, how: Layout) -> bool:
    """Whether an encoded chunk decodes to `block`, and to zero beyond the image's edge."""
    whole = block if block.shape == how.chunks else _whole(block, how)
    if _constant(whole):
        return stored == _encoded_constant(whole.flat[0].tobytes(), how)
    return stored is not None and _equal(decode(stored, how), whole)


def _keeps(stored: bytes | None, block: Array, how: Layout, stream: bytes | None) -> bool:
    """Whether a chunk is its source's `stream` and decodes to `block`; beyond the image's edge it shows anything."""
    if stored is None or stream is None:
        return stored is stream
    shown = decode(stored, how)[tuple(slice(0, n) for n in block.shape)]
    return stored[:-CRC] == stream and _equal(shown, block)


def _equal(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape and dtype hold the same bytes; faster than element by element."""
    return one.tobytes() == other.tobytes()
