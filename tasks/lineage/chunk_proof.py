"""The proof of one chunk: its bytes, a short list of hashes and the root of the output, without the rest of the store.

Two Merkle trees (`tasks.lineage.digest`) stand one in the other. The leaf of a shard in the output's tree is the
SHA-256 of the file and the root over its chunks; a leaf of the inner tree is a chunk's coordinates in the shard and
the SHA-256 of its encoded bytes. Who trusts the root (it stands in the recipe, and in all that was made from the
output) needs nothing else to be certain of a chunk.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import LineageError, fault
from tasks.lineage.chunks import Coords, ShardDamage, Sharding, Span, digest_shard, name_of, read_index, shards_among
from tasks.lineage.digest import leaf_value, leaves_of, merkle_proof, merkle_root, proves

Siblings = tuple[tuple[str, str], ...]
REMEDY = "take the store from where it is whole, or make it again"


@dataclass(frozen=True)
class ChunkProof:
    """A chunk and its way to the root. Siblings are (side, hex), leaf to root."""

    path: str
    """The shard file, relative to the output."""
    coords: Coords
    """Of the chunk in its shard."""
    offset: int
    """Where its bytes stand in the file: to find them, not part of what is proved."""
    bytes: int
    sha256: str
    within: Siblings
    """From the chunk to `chunks`."""
    chunks: str
    """Root over the chunks of the shard."""
    shard: str
    """SHA-256 of the whole shard file."""
    outer: Siblings
    """From the shard to the root of the output."""
    root: str


def proves_chunk(proof: ChunkProof, data: bytes, root: str) -> bool:
    """True when `data` are the encoded bytes of the very chunk that `proof` names, in the output of the trusted `root`.

    Pure: reads no file. `proof` may come from anyone.
    """
    found = hashlib.sha256(data).hexdigest()
    leaf = leaf_value({"sha256": proof.shard, "chunks": proof.chunks})
    if (len(data), found, root) != (proof.bytes, proof.sha256, proof.root):
        return False
    try:
        inside = proves(name_of(proof.coords), found, proof.within, proof.chunks)
        return inside and proves(proof.path, leaf, proof.outer, root)
    except ValueError:  # a sibling that is not hex
        return False


def prove_chunk(folder: Path, name: str, coords: Sequence[int], tree: Mapping[str, Mapping[str, Any]]) -> ChunkProof:
    """The proof of the chunk at `coords` in the shard `name` of the output at `folder`, whose tree is `tree`.

    Reads the shard, not its neighbours. Raises `LineageError` where the shard is not what the tree says, or has no
    such chunk.
    """
    return prove_chunks(folder, name, [tuple(coords)], tree)[0]


def prove_chunks(
    folder: Path, name: str, wanted: Iterable[Coords], tree: Mapping[str, Mapping[str, Any]]
) -> list[ChunkProof]:
    """`prove_chunk` for several chunks of one shard, which is read once."""
    layout = _layout(folder, name, tree)
    spans, digests = _read(folder / name, layout, tree[name])
    entries = leaves_of(tree)
    outer, root = tuple(merkle_proof(entries, name)), merkle_root(entries)
    proofs = []
    for coords in wanted:
        if coords not in spans:
            wrong = f"no chunk {name_of(coords)}"
            raise LineageError(fault(folder / name, wrong, f"a chunk of {name_of(layout.grid)}", REMEDY))
        leaf, span = name_of(coords), spans[coords]
        within = tuple(merkle_proof(digests, leaf))
        proofs.append(
            ChunkProof(name, coords, span.offset, span.bytes, digests[leaf], within, str(tree[name]["chunks"]),
                       str(tree[name]["sha256"]), outer, root)
        )  # fmt: skip
    return proofs


def _layout(folder: Path, name: str, tree: Mapping[str, Mapping[str, Any]]) -> Sharding:
    parts = name.split("/")
    states = ("/".join([*parts[:at], "zarr.json"]) for at, part in enumerate(parts) if part == "c")
    found = shards_among(folder, [name, *(s for s in states if s in tree and (folder / s).is_file())])
    if name not in found or "chunks" not in tree.get(name, {}):
        raise LineageError(fault(folder / name, "not a shard of the output", "the file of a shard", REMEDY))
    return found[name]


def _read(file: Path, layout: Sharding, entry: Mapping[str, Any]) -> tuple[dict[Coords, Span], dict[str, str]]:
    """Index and digests of a shard; `LineageError` unless file and chunks are those of its `entry` in the tree."""
    expected = f"sha256 {entry['sha256']}"
    try:
        found, _, digests = digest_shard(file, layout)
        if (found, merkle_root(digests)) != (entry["sha256"], entry["chunks"]):
            raise LineageError(fault(file, f"sha256 {found}", expected, REMEDY))
        with file.open("rb") as opened:
            return read_index(opened, layout), digests
    except FileNotFoundError:
        raise LineageError(fault(file, "missing", expected, REMEDY)) from None
    except ShardDamage as damage:
        raise LineageError(fault(file, damage, expected, REMEDY)) from None


def read_chunk(folder: Path, proof: ChunkProof) -> bytes:
    """The encoded bytes of the chunk, by range. Raises `LineageError` unless they are those that `proof` proves."""
    file = folder / proof.path
    try:
        with file.open("rb") as opened:
            opened.seek(proof.offset)
            data = opened.read(proof.bytes)
    except FileNotFoundError:
        raise LineageError(fault(file, "missing", f"sha256 {proof.shard}", REMEDY)) from None
    if not proves_chunk(proof, data, proof.root):
        found = hashlib.sha256(data).hexdigest()
        wrong = f"chunk {name_of(proof.coords)} has sha256 {found}"
        raise LineageError(fault(file, wrong, f"sha256 {proof.sha256}", REMEDY))
    return data
