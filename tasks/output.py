"""How an output comes to be: staged under a key of its plan, item by item, verified, renamed into place.

Life of an output, the same for every stage:

    job = start(out, plan, items, setup)          # staging place; empty arrays and metadata by `setup`
    with alone(job):                              # no other process makes the same output
        for wave in waves(job):                   # `closing` items when all of `items` are done
            for item in todo(job, wave): ... mark_done(job, item, files)
        record = publish(job, metrics=...)        # every receipt checked, tree and recipe written, renamed

Killed at any point and started again with the same plan, `todo` lists only what is not yet done. Another plan
(other params, inputs or code) gets another staging place, and the first that is published removes the others.
Nothing half-made is ever seen under `out`.
"""

import glob
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.errors import BatchError, InputError, LineageError, StoreError, fault
from tasks.lineage.digest import RECIPE, TREE, canonical, pretty, root_of, sha256_bytes, sha256_file, tree_of
from tasks.lineage.places import resolve
from tasks.lineage.recipe import Plan, artefact, check_files, digest_of, plan_of, read, seal
from tasks.lock import only_maker


@dataclass(frozen=True)
class Job:
    """An output in the making: small and plain, so that it can travel between workers."""

    out: Path
    plan: Mapping[str, Any]
    items: tuple[str, ...]
    closing: tuple[str, ...] = ()
    """Items that need all of `items` done, such as what is reduced over a whole picture; no id is in both."""

    @property
    def key(self) -> str:
        return digest_of(self.plan)

    @property
    def staging(self) -> Path:
        return self.out.parent / f".{self.out.name}.staging-{self.key[:16]}"

    @property
    def content(self) -> Path:
        """The folder that will become `out`."""
        return self.staging / "content"


class Step(Protocol):
    """A module that carries out one kind of job; its `prepare` makes the job (see CONTRIBUTING.md)."""

    def process(self, job: Job, item: str) -> None:
        """Do one item, whole, and mark it done."""

    def finish(self, job: Job) -> Record:
        """Write tables and summaries from the receipts, and publish."""


def start(
    out: Path, plan: Plan, items: Iterable[str], setup: Callable[[Path], None], closing: Iterable[str] = ()
) -> Job:
    """Open or reopen the staging place of `plan`. `setup(content)` lays out what the items fill.

    Raises `StoreError` where another process is making `out` and this plan is not laid out yet.
    """
    job = Job(out, plan.document(), tuple(items), tuple(closing))
    if twice := set(job.items) & set(job.closing):
        raise ValueError(f"items that are also closing items: {sorted(twice)}")
    refuse_foreign(out)
    if not _laid_out(job):
        with storage_faults(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        with only_maker(out), storage_faults(out):
            _lay_out(job, setup)
    return job


def _laid_out(job: Job) -> bool:
    return (job.staging / "ready").exists() and job.content.is_dir()


def _lay_out(job: Job, setup: Callable[[Path], None]) -> None:
    abandon(job)
    job.content.mkdir(parents=True)
    (job.staging / "done").mkdir()
    setup(job.content)
    (job.staging / "ready").touch()


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Be the only process that makes `job.out`, for as long as the body runs. Never waits.

    Raises `StoreError` where another process is making it, or has finished it since `start`.
    """
    with only_maker(job.out):
        if not _laid_out(job):
            wrong = "another process finished it meanwhile"
            raise StoreError(fault(job.out, wrong, "work to do", "run again: what is there is used"))
        yield


def waves(job: Job) -> list[tuple[str, ...]]:
    """The items in the order of their need: each tuple (none empty) is to be done before the next begins."""
    return [wave for wave in (job.items, job.closing) if wave]


def refuse_foreign(out: Path) -> None:
    """`InputError` where `out` exists and rawmill did not make it: nothing of the user's is overwritten."""
    if out.is_symlink() or (out.exists() and not (out / RECIPE).is_file()):
        empty = out.is_dir() and not out.is_symlink() and not any(out.iterdir())
        if not empty:
            raise InputError(fault(out, "exists and is not an output of rawmill", "a new path", "choose another --out"))


def inputs(job: Job) -> dict[str, Path]:
    """The outputs that `job` is made from, by role. Raises `LineageError` where one is gone or made anew since."""
    return {str(entry["role"]): _unchanged(job, entry) for entry in job.plan["inputs"] if entry["kind"] == "artefact"}


def _unchanged(job: Job, entry: Mapping[str, Any]) -> Path:
    path = resolve(job.out, entry)
    found = artefact(entry["role"], path, job.out)
    if found != dict(entry):
        raise LineageError(fault(path, f"recipe {found['recipe']}", entry["recipe"], "run the stage again"))
    return path


def finished(job: Job) -> Record | None:
    """The record of `job.out` when it is there, every byte of it, and made by this very plan; else None."""
    try:
        recipe = read(job.out)
        check_files(job.out)
    except LineageError:
        return None
    made = recipe["output"]
    if digest_of(plan_of(recipe)) != job.key or root_of(tree_of(job.out)) != made["root"]:
        return None
    rejected, accepted = tuple(made.get("rejected", ())), made.get("accepted", 0)
    return Record(job.out, made["root"], digest_of(recipe), rejected=rejected, accepted=accepted)


def complain(record: Record) -> Record:
    """`record`, or `BatchError` where some of its inputs were bad: for when all else about it is done."""
    if record.rejected:
        raise BatchError(record.rejected, record.accepted)
    return record


def _receipt(job: Job, item: str) -> Path:
    return job.staging / "done" / f"{sha256_bytes(item.encode())[:24]}.json"


def mark_done(job: Job, item: str, files: Sequence[Path], facts: Mapping[str, Any] | None = None) -> None:
    """Write the receipt of `item`: digests of its `files` (below `job.content`) and small `facts`."""
    digests = {f.relative_to(job.content).as_posix(): sha256_file(f) for f in sorted(files)}
    document = {"item": item, "files": digests, "facts": dict(facts or {})}
    receipt = _receipt(job, item)
    with storage_faults(job.out):
        part = receipt.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")  # a cluster may do an item twice
        part.write_bytes(canonical(document))
        part.replace(receipt)


def forget(job: Job, items: Sequence[str]) -> None:
    """Remove the receipts of `items`, which are to be done again."""
    for item in items:
        _receipt(job, item).unlink(missing_ok=True)


def claim(job: Job, item: str) -> dict[str, Any] | None:
    """The receipt of `item` as it was written, None when there is none. Its files are not read: for `finish`, whose
    `publish` hashes each file once and compares it with what the receipts claim."""
    try:
        document: dict[str, Any] = json.loads(_receipt(job, item).read_bytes())
        return document if document["item"] == item and isinstance(document["files"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def facts(job: Job, items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `process` put down about `items`. Raises `StoreError` where one is not done."""
    found = {}
    for item in items:
        told = claim(job, item)
        if told is None:
            raise StoreError(fault(job.out, f"{item} is not done", "all items", "run it again"))
        found[item] = told["facts"]
    return found


def receipt(job: Job, item: str) -> dict[str, Any] | None:
    """The receipt of `item`, or None when it is not done or its files are no longer what was written."""
    document = claim(job, item)
    for name, digest in (document["files"] if document else {}).items():
        file = job.content / name
        if not file.is_file() or sha256_file(file) != digest:
            return None
    return document


def todo(job: Job, items: Sequence[str] | None = None) -> list[str]:
    """Of `items` (by default all, closing ones too) those without a valid receipt, in order."""
    wanted = (*job.items, *job.closing) if items is None else items
    return [item for item in wanted if receipt(job, item) is None]


def _unproved(job: Job, tree: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Items without a receipt, or with one that claims other files than those of `tree`."""
    digests = {name: entry["sha256"] for name, entry in tree.items()}
    claims = {item: claim(job, item) for item in (*job.items, *job.closing)}
    return [i for i, c in claims.items() if c is None or not c["files"].items() <= digests.items()]


def drop_parts(job: Job) -> None:
    """Remove part files, ours and zarr-python's, of workers that were killed before they could rename them.

    `publish` does; whoever lists the content before, to digest it, must do so first. No worker may be at work.
    """
    for part in sorted([*job.content.rglob(".*.part"), *job.content.rglob("zarr.*.partial")]):
        if not part.is_dir():
            part.unlink()


def publish(
    job: Job,
    metrics: Mapping[str, float] | None = None,
    curves: Mapping[str, tuple[tuple[int, float], ...]] | None = None,
    figures: Sequence[str] = (),
    models: Sequence[str] = (),
    rejected: Sequence[str] = (),
    accepted: int = 0,
) -> Record:
    """Check every receipt, seal the content with its tree and recipe, and rename it to `job.out`.

    `figures` and `models` are paths below the output; `rejected` has a line for each bad input beside the
    `accepted` good ones. Raises `StoreError` when an item is not done.
    """
    with storage_faults(job.out):
        drop_parts(job)
        tree = tree_of(job.content)
        missing = _unproved(job, tree)
        if missing:
            wrong = f"{len(missing)} items not done, first {missing[0]}"
            raise StoreError(fault(job.out, wrong, "all", "run it again"))
        size = sum(entry["bytes"] for entry in tree.values())
        output: dict[str, Any] = {"root": root_of(tree), "files": len(tree), "bytes": size}
        if rejected:
            output |= {"rejected": list(rejected), "accepted": accepted}
        recipe = seal({**job.plan, "output": output})
        (job.content / TREE).write_bytes(pretty(tree))
        (job.content / RECIPE).write_bytes(pretty(recipe))
        _into_place(job)
    return Record(
        path=job.out,
        root=output["root"],
        recipe=digest_of(recipe),
        metrics=dict(metrics or {}),
        curves=dict(curves or {}),
        figures=tuple(job.out / f for f in figures),
        models=tuple(job.out / m for m in models),
        rejected=tuple(rejected),
        accepted=accepted,
    )


def _into_place(job: Job) -> None:
    """Swap the content in; an older output is moved aside first and put back if the swap fails."""
    refuse_foreign(job.out)
    old = job.staging / "old"
    if job.out.exists():
        job.out.rename(old)
    try:
        job.content.rename(job.out)
    except OSError:
        if old.exists():
            old.rename(job.out)
        raise
    abandon(job)


def abandon(job: Job) -> None:
    """Remove the staging place, and those of other plans of the same output: what they hold may be what a changed
    policy forbids. The mark goes first: killed in between, what is left is made afresh."""
    for place in (job.staging, *job.out.parent.glob(f".{glob.escape(job.out.name)}.staging-*")):
        (place / "ready").unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
