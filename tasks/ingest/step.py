"""The step `ingest`: a folder with a manifest, or a user's own files, into a raw store and `tiles.parquet`.

A batch goes on past bad inputs. What is wrong with them is known either here in `prepare` (the manifest, and
crops, whose place in the stack must be known before) or when an item is decoded; both end as one line each in
the store's `rejected` attribute, in its recipe and in the record that `finish` returns, of which whoever runs
the step complains (`output.complain`) once the good ones are in place and the run is recorded.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import output
from tasks.contracts import Calibration, Record
from tasks.errors import BatchError, InputError, StoreError, fault
from tasks.ingest import layout, mosaic, rows, splits, survey, tiles
from tasks.ingest.bad import BadFile
from tasks.ingest.calibration import read_calibration
from tasks.ingest.classes import names_found
from tasks.ingest.manifest import Entry, entries_from_files, read_manifest
from tasks.ingest.params import IngestParams
from tasks.ingest.sources import Sources, inputs_of, relative_place, shown
from tasks.lineage.recipe import Plan
from tasks.output import Job
from tasks.params import parse


def prepare(folder: Path, out: Path, params: IngestParams, dataset: str) -> Job:
    """Open the raw store `out` for the dataset in `folder` (docs/data-model.md, Sources).

    Raises `InputError` where nothing can be ingested, `LineageError` where rawmill made the folder and it is
    no longer what its recipe says.
    """
    found = read_manifest(folder)
    beside = folder / "calibration.json"
    calibration = read_calibration(beside) if beside.is_file() else None
    named = [folder / "manifest.csv", *([beside] if calibration else [])]
    return _prepare(folder, out, params, found, (dataset, f"rawmill repro ingest@{dataset}"), calibration, named)


def prepare_files(files: Sequence[Path], out: Path, params: IngestParams, calibration: Path | None) -> Job:
    """Open the raw store `out` for a user's own `files`; each is its own group.

    A GeoJSON or PNG file is the annotation of the picture with the same stem. `calibration` is a JSON file for
    pictures that cannot carry one. Raises `InputError`.
    """
    folder, entries, bad = entries_from_files(files)
    known = read_calibration(calibration) if calibration else None
    named = [calibration] if calibration else []
    return _prepare(
        folder, out, params, (entries, bad), (out.stem, f"rawmill ingest FILES --out {out.name}"), known, named
    )


def _prepare(
    folder: Path,
    out: Path,
    params: IngestParams,
    found: tuple[list[Entry], list[BadFile]],
    name_and_repair: tuple[str, str],
    calibration: Calibration | None,
    named: Sequence[Path],
) -> Job:
    output.refuse_foreign(out)
    inputs, digests = inputs_of(folder, out, found[0], named)
    sources = _survey(folder, relative_place(folder, out), params, found, calibration, digests)
    if not sources.entries:
        raise BatchError([shown(folder, line) for line in sources.rejected], 0)
    name, repair = name_and_repair
    splits.check_groups(name, {entry.group for entry in sources.entries}, params)
    notes = {"kind": sources.kind, "classes": list(sources.classes), "rejected": list(sources.rejected)}
    plan = Plan("ingest", name, inputs, params.model_dump(mode="json"), __name__, repair, notes=notes)
    return output.start(out, plan, _items(sources), lambda content: _set_up(content, sources))


def _survey(
    folder: Path,
    place: str,
    params: IngestParams,
    found: tuple[list[Entry], list[BadFile]],
    calibration: Calibration | None,
    digests: dict[str, str],
) -> Sources:
    """Sort out what can be known to be bad before any work."""
    entries, bad = found[0], list(found[1])
    kind, entries = survey.kind_of(folder, entries, params, bad)
    classes = names_found(survey.names_of(folder, entries), params)
    entries = survey.labelled(folder, entries, classes, params, bad)
    shape = (0, 0)
    if kind == "crops":
        entries, shape = survey.crops_of(folder, entries, calibration, params, bad)
    lines = tuple(sorted(error.line(folder) for error in bad))
    return Sources(place, kind, classes, tuple(entries), shape, calibration, digests, lines)


def _items(sources: Sources) -> list[str]:
    if sources.kind != "crops":
        return [entry.id for entry in sources.entries]
    return [f"crops-{first:06d}" for first in range(0, len(sources.entries), layout.CROPS_A_SHARD)]


def _set_up(content: Path, sources: Sources) -> None:
    sources.save(content.parent)
    if sources.kind == "crops" and sources.calibration:
        layout.create_mosaic_stack(content, len(sources.entries), sources.crop_shape, sources.calibration)


def process(job: Job, item: str) -> None:
    """Decode and write one frame, one slide or one shard of crops. A bad source becomes a receipt with its line."""
    sources = Sources.load(job.staging)
    params = parse(IngestParams, job.plan["params"], job.out)
    if sources.kind == "crops":
        _process_crops(job, item, sources, params)
    else:
        _process_image(job, item, sources, params)


def _process_image(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    folder, here = sources.place(job), job.content / sources.kind / item
    entry = next(e for e in sources.entries if e.id == item)
    shutil.rmtree(here, ignore_errors=True)
    sources.verify(folder, entry)
    try:
        if sources.kind == "frames":
            facts = layout.write_frame(folder, job.content, entry, sources.calibration, sources.classes, params)
        else:
            facts = layout.write_slide(folder, job.content, entry, sources.classes, params)
    except BadFile as error:
        shutil.rmtree(here, ignore_errors=True)
        output.mark_done(job, item, [], {"rejected": error.line(folder)})
        return
    output.mark_done(job, item, [path for path in here.rglob("*") if path.is_file()], facts)


def _process_crops(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    folder, first = sources.place(job), int(item.removeprefix("crops-"))
    crops = []
    for entry in sources.entries[first : first + layout.CROPS_A_SHARD]:
        sources.verify(folder, entry)
        crops.append(mosaic.decode(folder / entry.file, sources.calibration, params.most_frame_pixels))
    output.mark_done(job, item, layout.write_crops(job.content, first, crops))


def finish(job: Job) -> Record:
    """Split the tiles, write the table and the root, publish; bad inputs are the record's `rejected`.

    Raises `BatchError` or `InputError`, and leaves nothing, where too little is good to make a store.
    """
    sources = Sources.load(job.staging)
    params = parse(IngestParams, job.plan["params"], job.out)
    facts = _facts(job)
    entries = [entry for entry in sources.entries if "rejected" not in facts.get(entry.id, {})]
    rejected = sorted([*sources.rejected, *(fact["rejected"] for fact in facts.values() if "rejected" in fact)])
    lines = [shown(sources.place(job), line) for line in rejected]
    _check_enough(job, entries, lines, params)
    table = rows.rows_of(sources, entries, facts, params)
    tiles.write_table(job.content / "tiles.parquet", table, sources.classes)
    layout.write_root(job.content, sources.kind, sources.classes, [entry.id for entry in entries], rejected)
    metrics = rows.metrics_of(table, entries, rejected)
    record = output.publish(job, metrics=metrics, rejected=rejected, accepted=len(entries))
    return replace(record, rejected=tuple(lines))


def _check_enough(job: Job, entries: Sequence[Entry], lines: Sequence[str], params: IngestParams) -> None:
    try:
        if not entries:
            raise BatchError(lines, 0)
        splits.check_groups(job.out.name, {entry.group for entry in entries}, params)
    except InputError as error:
        output.abandon(job)
        if lines and not isinstance(error, BatchError):
            raise BatchError([*lines, str(error)], 0) from None
        raise


def _facts(job: Job) -> dict[str, dict[str, Any]]:
    """What `process` found, by item. Raises `StoreError` where an item is not done."""
    facts = {}
    for item in job.items:
        receipt = output.receipt(job, item)
        if receipt is None:
            raise StoreError(fault(job.out, f"{item} is not done", "all items", "run it again"))
        facts[item] = receipt["facts"]
    return facts
