"""The outer proof of a store: its recipe's seal, its tree, and every file and chunk against the tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import fault
from tasks.ingest.stored import AGAIN
from tasks.ingest.tally import Tally, parallel
from tasks.lineage.chunks import Sharding, shards_among
from tasks.lineage.digest import entry_of, files_below
from tasks.lineage.recipe import read, read_tree

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sealed:
    """`recipe` is empty where it does not hold. `found` are the files that are there, `sound` those that the tree
    names with just these digests (all that are there, where the tree itself does not hold)."""

    recipe: Mapping[str, Any]
    found: Entries
    sound: Entries


def check_seal(store: Path, tally: Tally) -> Sealed:
    """Check all files of the store at `store` against its tree and recipe; faults go to the tally."""
    recipe: Mapping[str, Any] = {}
    tree: Entries | None = None
    with tally.collecting():
        recipe = read(store)
        tree = read_tree(store)
    found = _entries(store, tally)
    if tree is None:
        return Sealed(recipe, found, found)
    tally.faults += [
        fault(store / name, "missing", f"{tree[name]['bytes']} bytes", AGAIN) for name in sorted(set(tree) - set(found))
    ]
    tally.faults += [
        fault(store / name, "not in the recipe", "no such file", "remove it") for name in sorted(set(found) - set(tree))
    ]
    sound = {name: entry for name, entry in found.items() if tree.get(name) == entry}
    for name in sorted((set(found) & set(tree)) - set(sound)):
        tally.faults.append(_changed(store / name, found[name], tree[name]))
    return Sealed(recipe, found, sound)


def _entries(store: Path, tally: Tally) -> dict[str, dict[str, Any]]:
    """Digests of every file that is there and can be read, and of the chunks of every shard."""
    names: list[str] = []
    layouts: dict[str, Sharding] = {}
    with tally.collecting():
        names = files_below(store)
        layouts = shards_among(store, names)

    def entry(name: str) -> dict[str, Any] | OSError:
        try:
            return entry_of(store / name, layouts.get(name))
        except OSError as error:
            return error

    entries: dict[str, dict[str, Any]] = {}
    for name, one in zip(names, parallel(entry, names), strict=True):
        with tally.collecting():
            if isinstance(one, OSError):
                raise one
            entries[name] = one
    return entries


def _changed(file: Path, found: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    key = next(k for k in ("bytes", "sha256", "chunks") if found.get(k) != told.get(k))
    return fault(file, f"{key} {found.get(key)}", f"{key} {told.get(key)}", AGAIN)
