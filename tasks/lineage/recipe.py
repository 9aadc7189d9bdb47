"""Recipes: what determines an output, written inside the output, with no clock, host, run id or commit.

A recipe names the digests of the inputs, the params, the seed, the closure of source code, the versions of
the libraries it uses, and the Merkle root of the output. An input that rawmill made is named by the digest of
its own recipe, so that recipes form a Merkle graph down to the source files.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tasks.errors import LineageError, fault
from tasks.lineage.code import code_digests, libraries
from tasks.lineage.digest import RECIPE, TREE, canonical, files_below, pretty, root_of, sha256_bytes, sha256_file

VERSION = 2


@dataclass(frozen=True)
class Plan:
    """All that determines an output before it is made. `stage` and `name` name it; `repair` remakes it."""

    stage: str
    name: str
    inputs: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any]
    code: str
    """Dotted name of the step's module; its closure is hashed."""
    repair: str
    seed: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Further facts that a reader wants: rejected sources, tolerances."""

    def document(self) -> dict[str, Any]:
        """The recipe without its `output` part."""
        return {
            "rawmill": VERSION,
            "stage": self.stage,
            "name": self.name,
            "inputs": list(self.inputs),
            "params": dict(self.params),
            "seed": self.seed,
            "code": code_digests(self.code),
            "libraries": libraries(self.code),
            "repair": self.repair,
            "notes": dict(self.notes),
        }


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe document or a plan, as canonical JSON."""
    return sha256_bytes(canonical(document))


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with `seal`, the digest of the rest: a slip of one bit in a recipe nobody refers to shows too.

    A seal guards against accidents; whoever can rewrite the file can rewrite the seal.
    """
    bare = {key: value for key, value in document.items() if key != "seal"}
    return {**bare, "seal": digest_of(bare)}


def plan_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What was known before the output was made: the recipe without its output and seal."""
    return {key: value for key, value in recipe.items() if key not in ("output", "seal")}


def read(path: Path) -> dict[str, Any]:
    """The recipe of the output at `path`. Raises `LineageError` where it is missing, changed or not a recipe."""
    file = path / RECIPE
    try:
        data = file.read_bytes()
        document = json.loads(data)
        if document["rawmill"] != VERSION:
            raise LineageError(
                fault(file, f"recipe version {document['rawmill']}", VERSION, "make it again with this rawmill")
            )
        _check_seal(file, data, dict(document))
        return dict(document)
    except OSError:
        wrong = "not there" if not path.exists() else "has no recipe.json"
        raise LineageError(fault(path, wrong, "an output of rawmill", "make it with `rawmill repro`")) from None
    except (ValueError, KeyError, TypeError):
        raise LineageError(fault(file, "not a recipe", "JSON of rawmill", "make the output again")) from None


def _check_seal(file: Path, data: bytes, document: Mapping[str, Any]) -> None:
    """`LineageError` unless the recipe's bytes are those that were written."""
    sealed = seal(document)
    if document.get("seal") != sealed["seal"]:
        raise LineageError(fault(file, f"content {sealed['seal']}", f"seal {document.get('seal')}", mend(document)))
    if data != pretty(document):
        expected = sha256_bytes(pretty(document))
        raise LineageError(fault(file, f"sha256 {sha256_bytes(data)}", f"sha256 {expected}", mend(document)))


def read_tree(path: Path) -> dict[str, dict[str, Any]]:
    """The tree of the output at `path`; `LineageError` unless it hashes to the root in the recipe."""
    recipe = read(path)
    try:
        data = (path / TREE).read_bytes()
        tree = json.loads(data)
        sizes = sum(entry["bytes"] for entry in tree.values())
        written = data == pretty(tree) and sizes == recipe["output"]["bytes"]
        found = root_of(tree) if written else "of other bytes than were written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = "nothing readable"
    if found != recipe["output"]["root"]:
        raise LineageError(fault(path / TREE, f"root {found}", recipe["output"]["root"], mend(recipe)))
    return dict(tree)


def mend(recipe: Mapping[str, Any]) -> str:
    return f"mend it with `{recipe.get('repair', 'rawmill repro')}`"


def check_files(path: Path) -> None:
    """Each file of the tree is there with its size, and no other. Reads no contents: the audit does."""
    recipe, tree = read(path), read_tree(path)
    here = files_below(path)
    for name in sorted(set(tree) - set(here)):
        raise LineageError(fault(path / name, "missing", f"{tree[name]['bytes']} bytes", mend(recipe)))
    for name in sorted(set(here) - set(tree)):
        raise LineageError(fault(path / name, "not in the recipe", "no such file", mend(recipe)))
    for name in here:
        size = (path / name).stat().st_size
        if size != tree[name]["bytes"]:
            raise LineageError(fault(path / name, f"{size} bytes", f"{tree[name]['bytes']} bytes", mend(recipe)))


def check_plain(path: Path) -> None:
    """The files without checksums of their own (tables, weights, metadata) are those of the tree, byte for byte.

    Shards of Zarr arrays hold crc32c, which fails when a chunk is read.
    """
    recipe = read(path)
    for name, entry in read_tree(path).items():
        if "chunks" in entry:
            continue
        found = sha256_file(path / name)
        if found != entry["sha256"]:
            raise LineageError(fault(path / name, f"sha256 {found}", f"sha256 {entry['sha256']}", mend(recipe)))


def artefact(role: str, path: Path, out: Path) -> dict[str, Any]:
    """Input entry for an output of rawmill at `path`, checked before it is read; raises `LineageError`.

    The path is stored relative to the folder that holds `out`, so that both can move together.
    """
    check_files(path)
    check_plain(path)
    recipe = read(path)
    return {
        "role": role,
        "kind": "artefact",
        "path": _relative(path, out),
        "recipe": digest_of(recipe),
        "root": recipe["output"]["root"],
    }


def source_file(role: str, path: Path, out: Path, uri: str | None = None) -> dict[str, Any]:
    """Input entry for a file that rawmill did not make. `uri` says where it was fetched from: it is kept, without
    a user's name and password, and stands in for the file where that is gone."""
    entry = {
        "role": role,
        "kind": "file",
        "path": _relative(path, out),
        "sha256": sha256_file(path),
        "bytes": path.stat().st_size,
    }
    return {**entry, "uri": public(uri)} if uri else entry


def public(uri: str) -> str:
    """`uri` without a user's name and password, which do not belong into a recipe."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def package_file(role: str, package: str, path: Path, name: str) -> dict[str, Any]:
    """Input entry for a file that ships in an installed package (e.g. a picture of scikit-image)."""
    return {"role": role, "kind": "package", "package": package, "path": name, "sha256": sha256_file(path)}


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
