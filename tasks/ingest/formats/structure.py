"""The skeleton of a TIFF walked before any library sees it: directories, their tags and where values lie.

Everything is bounded before memory is taken: directories, tags of one, numbers and bytes of all values. A
directory that is met twice is a cycle; one that lies outside the file is a cut. (TIFF 6.0, section 2; BigTIFF,
2007; NDPI is TIFF with the high halves of 64-bit offsets after each directory.)
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.bad import AGAIN, BadFile

MOST_TAGS = 4096
MOST_DIRECTORIES = 100_000
MOST_NUMBERS = 6_000_000
"""Of all tags that are not bytes: places and sizes of tiles are two a tile."""
MOST_BYTES = 64 * 2**20
"""Of all tags that are bytes or text."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BYTES = (1, 2, 6, 7)
SUB_DIRECTORIES, TAGS_ONLY = 330, (34665, 34853, 40965)
"""EXIF, GPS and interoperability tags stand in directories of their own that hold no picture."""
DEFINING = frozenset({254, 256, 257, 258, 259, 262, 266, 277, 278, 284, 317, 322, 323, 338, 339, 347, 530, 32997})
"""Tags that say how pixels are stored: pages of one stack must agree in them."""
SIZE_OF = np.zeros(2**16, np.int64)
SIZE_OF[list(SIZES)] = list(SIZES.values())


@dataclass(frozen=True)
class Structure:
    """`layouts`: by place of a directory, the values of its defining tags. `ndpi`: 64-bit offsets in 32-bit tags."""

    ndpi: bool
    layouts: dict[int, tuple[tuple[int, bytes], ...]]


@dataclass
class _Walk:
    """A file under way."""

    path: Path
    file: int
    size: int
    order: str
    big: bool
    ndpi: bool
    layouts: dict[int, tuple[tuple[int, bytes], ...]] = field(default_factory=dict)
    tags_only: set[int] = field(default_factory=set)
    numbers: int = 0
    bytes_: int = 0

    def read(self, at: int, count: int) -> bytes:
        data = os.pread(self.file, count, at) if 0 <= at <= self.size and count <= self.size else b""
        if len(data) < count:
            wrong = f"truncated at {self.size} bytes or damaged, not a readable TIFF"
            raise BadFile(self.path, wrong, "all its pages", AGAIN)
        return data

    def refuse(self, wrong: str, most: int) -> BadFile:
        return BadFile(self.path, wrong, f"at most {most}", "leave it out or export it again")


def check(path: Path) -> Structure:
    """Walk the directories of the TIFF at `path`. Raises `BadFile`."""
    known = path.stat()
    return _checked(path, known.st_size, known.st_mtime_ns, known.st_ino)


@lru_cache(maxsize=16)
def _checked(path: Path, size: int, _mtime_ns: int, _inode: int) -> Structure:
    file = os.open(path, os.O_RDONLY)
    try:
        head = os.pread(file, 16, 0)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise BadFile(path, "truncated or damaged, not a readable TIFF", "a whole TIFF file", AGAIN)
        big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        if big and head[4:8] != struct.pack(f"{order}HH", 8, 0):
            raise BadFile(path, "not a readable TIFF, offsets of another size", "a whole TIFF file", AGAIN)
        ndpi = path.suffix.lower() == ".ndpi" and order == "<" and not big
        walk = _Walk(path, file, size, order, big, ndpi)
        _chain(walk)
        return Structure(ndpi, walk.layouts)
    finally:
        os.close(file)


def _chain(walk: _Walk) -> None:
    """The main chain, and below each of its directories the others that it names."""
    word, at = ("Q", 8) if walk.big else ("Q", 4) if walk.ndpi else ("I", 4)
    length = struct.calcsize(f"{walk.order}{word}")
    while True:
        start: int = struct.unpack(walk.order + word, walk.read(at, length))[0]
        if start == 0:
            return
        at, pending = _directory(walk, start, picture=True)
        while pending:
            place, picture = pending.pop()
            pending += _directory(walk, place, picture)[1]


def _directory(walk: _Walk, start: int, picture: bool) -> tuple[int, list[tuple[int, bool]]]:
    """Check one directory; returns where the next one's place stands, and the directories that it names."""
    if not picture and start in walk.tags_only:
        return 0, []
    if start in walk.layouts or len(walk.layouts) + len(walk.tags_only) >= MOST_DIRECTORIES:
        if start in walk.layouts:
            raise BadFile(walk.path, f"its pages run in a circle at byte {start}", "pages that end", AGAIN)
        raise walk.refuse(f"more than {MOST_DIRECTORIES} pages", MOST_DIRECTORIES)
    if not walk.size > start > 0:
        raise BadFile(walk.path, f"truncated at {walk.size} bytes or damaged", "all its pages", AGAIN)
    word = "Q" if walk.big else "H"
    width = struct.calcsize(f"{walk.order}{word}")
    count: int = struct.unpack(walk.order + word, walk.read(start, width))[0]
    if count > MOST_TAGS:
        raise walk.refuse(f"{count} tags in one page", MOST_TAGS)
    tags, end = _tags(walk, start + width, count)
    _bound(walk, tags)
    if picture:
        walk.layouts[start] = tuple(_defining(walk, tags))
    else:
        walk.tags_only.add(start)
    return end, list(_named(walk, tags))


def _tags(walk: _Walk, at: int, count: int) -> tuple[NDArray[np.void], int]:
    """(code, type, count, place of the value, inline bytes) of each tag, and where the next offset stands."""
    word, inline = ("u8", 8) if walk.big else ("u4", 4)
    kind = np.dtype([(n, walk.order + t) for n, t in (("code", "u2"), ("type", "u2"), ("count", word), ("at", word))])
    raw = np.frombuffer(walk.read(at, kind.itemsize * count), kind)
    end = at + kind.itemsize * count
    fields = [("code", np.int64), ("type", np.int64), ("bytes", np.float64), ("count", np.float64), ("at", np.float64)]
    tags = np.zeros(count, fields)
    tags["code"], tags["type"], tags["count"] = raw["code"], raw["type"], raw["count"]
    tags["bytes"] = tags["count"] * SIZE_OF[raw["type"]]
    far = raw["at"].astype(np.float64)
    if walk.ndpi and count:
        high = np.frombuffer(walk.read(end + 8, 4 * count), "<u4")
        far += high.astype(np.float64) * 2.0**32
    here = at + np.arange(count) * kind.itemsize + kind.itemsize - inline
    tags["at"] = np.where(tags["bytes"] > inline, far, here)
    return tags, end


def _bound(walk: _Walk, tags: NDArray[np.void]) -> None:
    """All values lie in the file, and together they are not too many."""
    if len(tags) and (tags["at"] + tags["bytes"]).max() > walk.size:
        raise BadFile(walk.path, f"truncated at {walk.size} bytes or damaged", "all values of its tags", AGAIN)
    text = np.isin(tags["type"], BYTES)
    walk.bytes_ += int(tags["bytes"][text].sum())
    walk.numbers += int(tags["count"][~text & (tags["bytes"] > 0)].sum())
    if walk.bytes_ > MOST_BYTES:
        raise walk.refuse(f"{walk.bytes_} bytes of tags", MOST_BYTES)
    if walk.numbers > MOST_NUMBERS:
        raise walk.refuse(f"{walk.numbers} numbers in tags", MOST_NUMBERS)


def _defining(walk: _Walk, tags: NDArray[np.void]) -> Iterator[tuple[int, bytes]]:
    for tag in tags:
        if int(tag["code"]) in DEFINING:
            yield int(tag["code"]), walk.read(int(tag["at"]), int(tag["bytes"]))


def _named(walk: _Walk, tags: NDArray[np.void]) -> Iterator[tuple[int, bool]]:
    """Directories below this one: (place, whether it holds a picture)."""
    for tag in tags:
        code, size = int(tag["code"]), SIZES.get(int(tag["type"]), 0)
        if (code == SUB_DIRECTORIES or code in TAGS_ONLY) and size in (4, 8) and tag["type"] in (4, 13, 16, 18):
            if tag["count"] > MOST_TAGS:
                raise walk.refuse(f"{int(tag['count'])} pages below one", MOST_TAGS)
            data = walk.read(int(tag["at"]), int(tag["bytes"]))
            places = np.frombuffer(data, f"{walk.order}u{size}").tolist()
            yield from ((place, code == SUB_DIRECTORIES) for place in places)
