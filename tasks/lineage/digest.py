"""Digests: of files, of canonical JSON, and Merkle trees over the files of an output.

The tree is that of RFC 6962 section 2.1: leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right),
split at the largest power of two below n. An entry is `path NUL sha256`. A proof of one file is the list of
sibling hashes up to the root, so that one shard or picture can be proved without the others.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def _leaf(path: str, sha256: str) -> bytes:
    return hashlib.sha256(b"\x00" + path.encode() + b"\x00" + sha256.encode()).digest()


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
    """The root over `{path: sha256}`, sorted by path; of no entries, SHA-256 of nothing."""
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


def proves(path: str, sha256: str, proof: Iterable[tuple[str, str]], root: str) -> bool:
    """True when `proof` leads from the entry (`path`, `sha256`) to `root`."""
    node = _leaf(path, sha256)
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


def tree_of(folder: Path) -> dict[str, dict[str, Any]]:
    """`{path: {"sha256", "bytes"}}` of every file below `folder`."""
    return {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in files_below(folder)
    }


def root_of(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """The Merkle root of what `tree_of` returns."""
    return merkle_root({path: entry["sha256"] for path, entry in tree.items()})
