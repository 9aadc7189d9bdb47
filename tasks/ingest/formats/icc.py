"""Colour profiles without their texts (ICC.1:2022, chapters 7 and 10): what computes colours stays.

The date and the makers in the header, and tags such as desc, cprt, dmnd or meta, may name a place or a person.
"""

import struct

HEADER, ENTRY, MOST_TAGS = 128, 12, 100
CURVES, TABLES = (b"curv", b"para"), (b"mft1", b"mft2", b"mAB ", b"mBA ")
COLOUR: dict[bytes, tuple[bytes, ...]] = {
    **dict.fromkeys((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"bkpt", b"lumi"), (b"XYZ ",)),
    **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), CURVES),
    **dict.fromkeys((b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"gamt"), TABLES),
    b"chad": (b"sf32",),
    b"chrm": (b"chrm",),
    b"cicp": (b"cicp",),
}
"""Tags that may stay, and the types that they may have."""
TEXTS = frozenset({b"desc", b"cprt", b"dmnd", b"dmdd", b"meta", b"calt", b"targ", b"vued", b"view", b"tech", b"meas"})
"""Tags that may be named when they go; any other name may itself tell something."""


def without_texts(profile: bytes) -> tuple[bytes | None, set[str]]:
    """`profile` with its colours alone, and the names of what went; None where it is no ICC profile."""
    tags = _tags(profile)
    if tags is None:
        return None, {"ICC profile"}
    kept = [(name, value) for name, value in tags if value[:4] in COLOUR.get(name, ())]
    lost = {name for name, _ in tags} - {name for name, _ in kept}
    return _packed(profile, kept), {f"ICC {name.decode() if name in TEXTS else 'other'}" for name in lost}


def _tags(profile: bytes) -> list[tuple[bytes, bytes]] | None:
    """(signature, value) of each tag; None where the profile is not sound."""
    if len(profile) < HEADER + 4 or profile[36:40] != b"acsp":
        return None
    size, count = struct.unpack_from(">I", profile)[0], struct.unpack_from(">I", profile, HEADER)[0]
    if size != len(profile) or count > MOST_TAGS or HEADER + 4 + ENTRY * count > size:
        return None
    entries = [struct.unpack_from(">4sII", profile, HEADER + 4 + ENTRY * i) for i in range(count)]
    if any(at + length > size for _, at, length in entries):
        return None
    return [(name, _cut(profile[at : at + length])) for name, at, length in entries]


def _cut(value: bytes) -> bytes:
    """A value without what stands behind its numbers."""
    if value[:4] == b"XYZ ":
        return value[:20]
    return value[: 12 + 2 * int.from_bytes(value[8:12], "big")] if value[:4] == b"curv" else value


def _packed(profile: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """A profile of `tags`; its header without date, makers and identifier."""
    head = bytearray(profile[:HEADER])
    for first, last in ((4, 8), (24, 36), (40, 44), (48, 56), (80, 128)):
        head[first:last] = bytes(last - first)
    at, table, body = HEADER + 4 + ENTRY * len(tags), b"", b""
    for name, value in tags:
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head[:4] = struct.pack(">I", at + len(body))
    return bytes(head) + struct.pack(">I", len(tags)) + table + body
