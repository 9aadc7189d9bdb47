"""The chunks inside a shard file, found without a Zarr library: so that one chunk can be digested and proved alone.

A shard of the codec `sharding_indexed` (https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/)
is its encoded chunks and an index: (offset, length) of each inner chunk as little-endian uint64, in C order of the
chunks, all ones where a chunk is missing; here at the end, followed by its own crc32c. Arrays that are laid out in
any other way than `tasks.store` lays them out are no business of this module: `sharding` returns None.

tasks/shards.py, which writes them, reads back the index as well. The two share nothing on purpose: an auditor that
used the writer's parser would repeat its mistakes. This one distrusts more: any order of chunks, overlaps, no checksum.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

Coords = tuple[int, ...]
MISSING = 2**64 - 1
MOST_CHUNKS = 2**22
"""In one shard: more than that is not ours, and would take memory for an index that nobody checked."""


class ShardDamage(ValueError):
    """A shard file whose index cannot be right; the message says what is wrong."""


@dataclass(frozen=True)
class Sharding:
    """Layout of a sharded array: its shape and those of a shard and of an inner chunk, in elements."""

    shape: Coords
    shard: Coords
    chunk: Coords
    checksum: bool
    """Whether the index ends in its crc32c."""

    @property
    def grid(self) -> Coords:
        """Chunks of a shard along each axis."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        return 16 * math.prod(self.grid) + 4 * self.checksum


@dataclass(frozen=True)
class Span:
    """Where the encoded bytes of a chunk stand in its shard file."""

    offset: int
    bytes: int


def sharding(metadata: bytes) -> Sharding | None:
    """The layout that an array's `zarr.json` states; None for a group, another layout, or what is no metadata."""
    try:
        document = json.loads(metadata)
        (codec,) = document["codecs"]
        inner = codec["configuration"]
        shard = document["chunk_grid"]["configuration"]["chunk_shape"]
        if (document["node_type"], codec["name"], document["chunk_grid"]["name"]) != (
            "array", "sharding_indexed", "regular"
        ):  # fmt: skip
            return None
        if inner.get("index_location", "end") != "end" or not _plain_keys(document["chunk_key_encoding"]):
            return None
        found = Sharding(
            _sizes(document["shape"], 0), _sizes(shard, 1), _sizes(inner["chunk_shape"], 1), _checksum(inner)
        )
        return found if _divides(found) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _plain_keys(encoding: Mapping[str, Any]) -> bool:
    """Files are named c/0/1: the default encoding with its default separator."""
    return bool(encoding["name"] == "default" and encoding.get("configuration", {}).get("separator", "/") == "/")


def _sizes(values: Sequence[Any], least: int) -> Coords:
    if not all(isinstance(v, int) and v >= least for v in values):
        raise ValueError(values)
    return tuple(values)


def _checksum(configuration: Mapping[str, Any]) -> bool:
    """True for an index of bytes and crc32c, False for bytes alone. Raises ValueError for other codecs."""
    first, *rest = configuration["index_codecs"]
    names = [codec["name"] for codec in rest]
    if first["name"] != "bytes" or first["configuration"]["endian"] != "little" or names not in ([], ["crc32c"]):
        raise ValueError(configuration["index_codecs"])
    return bool(names)


def _divides(layout: Sharding) -> bool:
    same = len(layout.shape) == len(layout.shard) == len(layout.chunk) > 0
    whole = same and all(s % c == 0 for s, c in zip(layout.shard, layout.chunk, strict=True))
    return whole and math.prod(layout.grid) <= MOST_CHUNKS


def shards_among(folder: Path, names: Iterable[str]) -> dict[str, Sharding]:
    """`{name: layout of its array}` of those files `names` below `folder` that are shards (`<array>/c/0/1`)."""
    names = list(names)
    states = [n for n in names if n == "zarr.json" or n.endswith("/zarr.json")]
    layouts = {n[: -len("zarr.json")]: sharding((folder / n).read_bytes()) for n in states}
    known = {prefix: layout for prefix, layout in layouts.items() if layout is not None}
    found = ((name, _layout_of(name, known)) for name in names)
    return {name: layout for name, layout in found if layout is not None}


def _layout_of(name: str, known: Mapping[str, Sharding]) -> Sharding | None:
    """The layout of the array of which `name` is a shard; a folder on the way may itself be called c."""
    parts = name.split("/")
    for at, part in enumerate(parts):
        layout = known.get("".join(f"{p}/" for p in parts[:at])) if part == "c" else None
        rest = parts[at + 1 :]
        if layout and len(rest) == len(layout.shape) and all(p.isdecimal() for p in rest):
            return layout
    return None


def read_index(file: BinaryIO, layout: Sharding) -> dict[Coords, Span]:
    """Where each chunk that is there stands in the open shard `file`, by its coordinates in the shard, in C order.

    Raises `ShardDamage` where the index is cut off, fails its checksum, or names bytes outside or twice.
    """
    size = os.fstat(file.fileno()).st_size
    end = size - layout.index_bytes
    if end < 0:
        raise ShardDamage(f"{size} bytes, fewer than the {layout.index_bytes} of its index")
    file.seek(end)
    data = file.read(layout.index_bytes)
    _check_index(data, layout)
    pairs = struct.iter_unpack("<QQ", data[: 16 * math.prod(layout.grid)])
    named = zip(product(*map(range, layout.grid)), pairs, strict=True)
    spans = {coords: Span(*pair) for coords, pair in named if pair != (MISSING, MISSING)}
    _check_spans(spans, end)
    return spans


def _check_index(data: bytes, layout: Sharding) -> None:
    if layout.checksum:
        stored, found = struct.unpack("<I", data[-4:])[0], google_crc32c.value(data[:-4])
        if stored != found:
            raise ShardDamage(f"index with crc32c {found:08x}, its own says {stored:08x}")


def _check_spans(spans: Mapping[Coords, Span], end: int) -> None:
    """Chunks lie before the index and do not overlap: otherwise a byte could belong to two chunks or to none."""
    at = 0
    for coords, span in sorted(spans.items(), key=lambda item: (item[1].offset, item[1].bytes)):
        if span.offset < at or span.offset + span.bytes > end:
            raise ShardDamage(f"chunk {name_of(coords)} at {span.offset}, {span.bytes} bytes, not a place of its own")
        at = span.offset + span.bytes


def name_of(coords: Sequence[int]) -> str:
    """Coordinates of a chunk in its shard as the leaf of a Merkle tree names them: `0/1/2`."""
    return "/".join(map(str, coords))


def digest_shard(path: Path, layout: Sharding) -> tuple[str, int, dict[str, str]]:
    """(SHA-256 of the file, its size in bytes, `{name of a chunk: SHA-256 of its encoded bytes}`), read once.

    Memory is one encoded chunk. Raises `ShardDamage`.
    """
    whole, chunks = hashlib.sha256(), {}
    with path.open("rb") as file:
        spans = read_index(file, layout)
        file.seek(0)
        for coords, span in sorted(spans.items(), key=lambda item: (item[1].offset, item[1].bytes)):
            whole.update(file.read(span.offset - file.tell()))
            chunk = file.read(span.bytes)
            whole.update(chunk)
            chunks[name_of(coords)] = hashlib.sha256(chunk).hexdigest()
        while block := file.read(1 << 20):
            whole.update(block)
        return whole.hexdigest(), file.tell(), chunks


def places(layout: Sharding, window: Sequence[tuple[int, int]]) -> dict[Coords, list[Coords]]:
    """`{shard: [chunks of it]}` of all chunks that meet `window`, a (start, stop) an axis in elements."""
    sides = zip(window, layout.chunk, layout.shape, strict=True)
    ranges = [range(max(start, 0) // c, -(-min(stop, n) // c)) for (start, stop), c, n in sides]
    found: dict[Coords, list[Coords]] = {}
    for chunk in product(*ranges):
        pairs = [divmod(i, g) for i, g in zip(chunk, layout.grid, strict=True)]
        found.setdefault(tuple(s for s, _ in pairs), []).append(tuple(c for _, c in pairs))
    return found
