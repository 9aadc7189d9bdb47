"""The outer proof of a store: its recipe's seal, its tree, and every file and chunk against the tree."""

import os
import stat
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.errors import LineageError, fault
from tasks.ingest.proving.stored import AGAIN
from tasks.ingest.proving.tally import Tally
from tasks.lineage.chunks import Sharding, shards_among
from tasks.lineage.digest import RECIPE, TREE, entry_of
from tasks.lineage.recipe import read, read_tree
from tasks.parallel import parallel

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sealed:
    """`recipe` is empty where it does not hold. `tree` are the files that ought to be there (those that are, where
    the tree itself does not hold), `sound` those of them with just these digests, `failed` all that a line was
    written about: what depends on one of them is not worth another line."""

    recipe: Mapping[str, Any]
    tree: Entries
    sound: Entries
    failed: frozenset[str]

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.failed)

    def hurt(self, prefix: str) -> bool:
        """Whether any file failed whose name begins with `prefix`."""
        at = bisect_left(self._sorted, prefix)
        return at < len(self._sorted) and self._sorted[at].startswith(prefix)


def check_seal(store: Path, tally: Tally) -> Sealed:
    """Check all files of the store at `store` against its tree and recipe; faults go to the tally.

    Raises `LineageError` where there is no store at all: then nothing below it is looked at.
    """
    _check_there(store)
    names, failed, empty = _regular(store, tally)
    recipe: Mapping[str, Any] = {}
    tree: Entries | None = None
    with tally.collecting():
        recipe = read(store) if RECIPE not in failed else {}
        tree = read_tree(store) if recipe and TREE not in failed else None
    found, unread = _entries(store, [name for name in names if name not in (RECIPE, TREE)], tally)
    failed |= unread
    tally.faults += [_hollow(store / name) for name in empty if not _told(name, tree or {})]
    if tree is None:
        return Sealed(recipe, found, found, frozenset(failed))
    lost, more = sorted(set(tree) - set(found) - failed), sorted(set(found) - set(tree))
    tally.faults += [fault(store / name, "missing", f"{tree[name]['bytes']} bytes", AGAIN) for name in lost]
    tally.faults += [fault(store / name, "not in the recipe", "no such file", "remove it") for name in more]
    there = sorted(set(found) & set(tree))
    failed |= {*lost, *more, *(name for name in there if _content(found[name]) != _content(tree[name]))}
    changed = [name for name in there if found[name] != tree[name] and not _follows(name, found, tree, failed)]
    tally.faults += [_changed(store / name, found[name], tree[name]) for name in changed]
    failed |= set(changed)
    return Sealed(recipe, tree, {n: found[n] for n in there if n not in failed}, frozenset(failed))


def _check_there(store: Path) -> None:
    remedy = "name a store that `rawmill ingest` made"
    if not store.is_dir():
        raise LineageError(fault(store, "not a folder" if store.exists() else "not there", "a raw store", remedy))
    if not os.path.lexists(store / RECIPE):
        raise LineageError(fault(store, f"has no {RECIPE}", "a raw store", f"{remedy}, or {AGAIN}"))


def _hollow(folder: Path) -> str:
    return fault(folder, "an empty folder", "no such folder", "remove it")


def _told(empty: str, tree: Entries) -> bool:
    """Whether a line is told anyway of what an empty folder ought to hold, or ought to be."""
    return empty in (RECIPE, TREE) or any(name == empty or name.startswith(f"{empty}/") for name in tree)


def _content(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    return entry.get("bytes"), entry.get("sha256")


def _follows(name: str, found: Entries, tree: Entries, failed: set[str]) -> bool:
    """Whether a shard has its very bytes, but metadata that failed do not tell its chunks."""
    return _content(found[name]) == _content(tree[name]) and f"{name.rpartition('/c/')[0]}/zarr.json" in failed


def _regular(store: Path, tally: Tally) -> tuple[list[str], set[str], list[str]]:
    """Names of all files below the store; of what is neither file nor folder, of which a line is told; empty folders.

    Nothing is opened, or a pipe would be waited for; a link shows what lies elsewhere and may change.
    """
    names: list[str] = []
    failed: set[str] = set()
    empty: list[str] = []
    folders = [store]
    while folders:
        folder = folders.pop()
        with tally.collecting():
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            if not entries:
                empty.append(folder.relative_to(store).as_posix())
            for entry in entries:
                mode, name = entry.stat(follow_symlinks=False).st_mode, Path(entry.path).relative_to(store).as_posix()
                if stat.S_ISDIR(mode):
                    folders.append(folder / entry.name)
                elif stat.S_ISREG(mode):
                    names.append(name)
                else:
                    wrong = "a link" if stat.S_ISLNK(mode) else "a pipe, socket or device"
                    tally.faults.append(fault(entry.path, wrong, "a file", AGAIN))
                    failed.add(name)
    return sorted(names), failed, sorted(empty)


def _entries(store: Path, names: list[str], tally: Tally) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Digests of those files that can be read, and of the chunks of every shard; names of the others."""
    layouts: dict[str, Sharding] = {}
    with tally.collecting():
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
    return entries, set(names) - set(entries)


def _changed(file: Path, found: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    key = next(k for k in ("bytes", "sha256", "chunks") if found.get(k) != told.get(k))
    return fault(file, f"{key} {found.get(key)}", f"{key} {told.get(key)}", AGAIN)
