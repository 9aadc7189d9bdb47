"""Digests: of files, of canonical JSON, and Merkle trees over the files of an output.

The tree is that of RFC 6962 section 2.1: leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right),
split at the largest power of two below n. An entry is `path NUL value`. A proof of one file is the list of
sibling hashes up to the root, so that one shard or picture can be proved without the others. The value of a file is
its SHA-256; that of a shard of a Zarr array is its SHA-256, a space, and the root over the chunks inside it, so that
one chunk can be proved too (`tasks.lineage.chunk_proof`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.lineage.chunks import ShardDamage, Sharding, digest_shard, shards_among
from tasks.parallel import parallel

RECIPE = "recipe.json"
TREE = "tree.json"


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, no NaN; the same value always gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def pretty(value: Any) -> bytes:
    """JSON for a file that people read: sorted keys, two spaces, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _leaf(path: str, value: str) -> bytes:
    return hashlib.sha256(b"\x00" + path.encode() + b"\x00" + value.encode()).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return _node(_root(leaves[:k]), _root(leaves[k:]))


def merkle_root(entries: Mapping[str, str]) -> str:
    """The root over `{path: value}`, sorted by path; of no entries, SHA-256 of nothing."""
    leaves = [_leaf(path, entries[path]) for path in sorted(entries)]
    return _root(leaves).hex() if leaves else sha256_bytes(b"")


def merkle_proof(entries: Mapping[str, str], path: str) -> list[tuple[str, str]]:
    """Siblings from the leaf of `path` up to the root, as ("left" | "right", hex). Raises KeyError."""
    names = sorted(entries)
    if path not in entries:
        raise KeyError(path)
    leaves = [_leaf(name, entries[name]) for name in names]
    index, proof = names.index(path), []
    while len(leaves) > 1:
        k = _split(len(leaves))
        if index < k:
            proof.append(("right", _root(leaves[k:]).hex()))
            leaves = leaves[:k]
        else:
            proof.append(("left", _root(leaves[:k]).hex()))
            leaves, index = leaves[k:], index - k
    return proof[::-1]


def proves(path: str, value: str, proof: Iterable[tuple[str, str]], root: str) -> bool:
    """True when `proof` leads from the entry (`path`, `value`) to `root`. Raises ValueError where it is not hex."""
    node = _leaf(path, value)
    for side, sibling in proof:
        other = bytes.fromhex(sibling)
        node = _node(other, node) if side == "left" else _node(node, other)
    return node.hex() == root


def files_below(folder: Path) -> list[str]:
    """Relative POSIX paths of all files below `folder` but the top-level recipe and tree, sorted.

    A symbolic link counts as a file, also one to a folder: an output has none, so that it shows as one too many.
    """
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(p for p in found if p not in (RECIPE, TREE))


HASHERS = 8
"""Most files that are hashed side by side: hashing lets other threads run, a disk does not serve many more."""


def tree_of(folder: Path) -> dict[str, dict[str, Any]]:
    """`{path: {"sha256", "bytes"}}` of every file below `folder`, each read once; of a shard also `chunks`, the root
    over the SHA-256 of the encoded chunks inside it."""
    names = files_below(folder)
    layouts = shards_among(folder, names)
    entries = parallel(lambda name: entry_of(folder / name, layouts.get(name)), names, most=HASHERS)
    return dict(zip(names, entries, strict=True))


def entry_of(file: Path, layout: Sharding | None) -> dict[str, Any]:
    """The entry of `file` in a tree; `layout` is that of its array where it is a shard.

    A shard whose index is damaged has no `chunks`: its leaf is then not the one that was written.
    """
    if layout is not None:
        try:
            sha256, size, chunks = digest_shard(file, layout)
            return {"sha256": sha256, "bytes": size, "chunks": merkle_root(chunks)}
        except ShardDamage:
            pass
    return {"sha256": sha256_file(file), "bytes": file.stat().st_size}


def leaf_value(entry: Mapping[str, Any]) -> str:
    """What the leaf of a file with this entry in the tree commits to."""
    return f"{entry['sha256']} {entry['chunks']}" if "chunks" in entry else str(entry["sha256"])


def leaves_of(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`{path: value}` of what `tree_of` returns: what `merkle_root` and `merkle_proof` take."""
    return {path: leaf_value(entry) for path, entry in tree.items()}


def root_of(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """The Merkle root of what `tree_of` returns."""
    return merkle_root(leaves_of(tree))
