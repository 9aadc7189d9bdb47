"""The step `ingest`: a folder with a manifest, a published layout or a user's own files into a raw store.

A batch goes on past bad inputs. What is wrong with them is known either in `prepare` (the manifest, crops, and the
headers and annotations of slides and images, whose arrays must be laid out) or when an item is decoded; both end
as one line each in the store's `rejected` attribute, in its receipts, in its recipe and in the record that
`finish` returns, of which whoever runs the step complains (`output.complain`) once the good ones are in place.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import output
from tasks.contracts import Calibration, Record
from tasks.disk import storage_faults
from tasks.errors import BatchError, InputError, LineageError, fault
from tasks.ingest import columns, crate, layout, published, receipts, rows, splits, survey, tiles
from tasks.ingest.annotations.classes import names_found
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import mosaic
from tasks.ingest.formats.calibration import read_calibration
from tasks.ingest.manifest import Entry, entries_from_files, read_manifest
from tasks.ingest.params import IngestParams
from tasks.ingest.proof import receipts_of
from tasks.ingest.refused import refused, refused_of
from tasks.ingest.sources import Seen, Sources, inputs_of, relative_place, shown
from tasks.lineage.recipe import Plan
from tasks.output import Job
from tasks.params import parse

Found = tuple[list[Entry], list[BadFile], Calibration | None, list[Path]]
"""Entries, what is wrong with others, the calibration beside them, and the files that said all this."""


def prepare(folder: Path, out: Path, params: IngestParams, dataset: str, repair: str) -> Job:
    """Open the raw store `out` for the dataset in `folder` (docs/data-model.md, Sources; docs/published-datasets.md).

    `repair` is the command that makes it again. Raises `InputError` where nothing can be ingested, `ParamsError`
    where the params contradict a published layout, `LineageError` where rawmill made the folder and it is no longer
    what its recipe says.
    """
    return _prepare(folder, out, params, _find(folder, params), (dataset, repair), {})


def _find(folder: Path, params: IngestParams) -> Found:
    """What is in the folder."""
    kind = params.kind
    if kind == "raw-microscopy" or kind == "raw-drone":
        published.check(kind, params)
        entries, bad, calibration = published.find(folder, kind)
        return entries, bad, calibration, [folder / published.LABELS] if kind == "raw-microscopy" else []
    entries, bad = read_manifest(folder)
    beside = folder / "calibration.json"
    known = read_calibration(beside) if beside.is_file() else None
    return entries, bad, known, [folder / "manifest.csv", *([beside] if known else [])]


def prepare_files(
    files: Sequence[Path],
    out: Path,
    params: IngestParams,
    calibration: Path | None,
    uris: Mapping[Path, str],
    repair: str | None = None,
) -> Job:
    """Open the raw store `out` for a user's own `files`; each is its own group.

    A GeoJSON or PNG file is the annotation of the picture with the same stem. `calibration` is a JSON file for
    pictures that cannot carry one. `uris` says where those of the files that were fetched came from; `repair` is the
    command that makes the store again where that is not `rawmill ingest`. Raises `InputError`.
    """
    folder, entries, bad = entries_from_files(files)
    known = read_calibration(calibration) if calibration else None
    found = (entries, bad, known, [calibration] if calibration else [])
    named = {path.resolve(): uri for path, uri in uris.items()}
    names = {name for e in entries for name in (e.file, e.mask) if name}
    origins = {name: named[path] for name in names if (path := Path(os.path.realpath(folder / name))) in named}
    return _prepare(folder, out, params, found, (out.stem, repair or f"rawmill ingest FILES --out {out.name}"), origins)


def _prepare(
    folder: Path,
    out: Path,
    params: IngestParams,
    found: Found,
    name_and_repair: tuple[str, str],
    uris: Mapping[str, str],
) -> Job:
    output.refuse_foreign(out)
    sources, inputs = _survey(folder, out, params, found, uris)
    if not sources.entries:
        raise BatchError([shown(folder, line) for line in sources.rejected], 0)
    name, repair = name_and_repair
    splits.check_groups(name, {entry.group for entry in sources.entries}, params)
    notes = {"kind": sources.kind, "classes": list(sources.classes), "rejected": list(sources.rejected)}
    plan = Plan("ingest", name, inputs, params.model_dump(mode="json"), __name__, repair, notes=notes)
    return output.start(
        out, plan, _items(sources, params), lambda content: _set_up(content, sources, params), _closing(sources)
    )


def _survey(
    folder: Path, out: Path, params: IngestParams, found: Found, uris: Mapping[str, str]
) -> tuple[Sources, list[Mapping[str, Any]]]:
    """Sort out what can be known to be bad before any work."""
    entries, bad, calibration, named = found[0], list(found[1]), found[2], found[3]
    entries = survey.readable(folder, entries, bad)
    inputs = inputs_of(folder, out, entries, named, uris)
    kind, entries = survey.kind_of(folder, entries, params, bad)
    classes = names_found(survey.names_of(folder, entries, params), params)
    entries = survey.labelled(folder, entries, classes, params, bad)
    shape, seen = (0, 0), dict[str, Seen]()
    if kind == "crops":
        entries, shape = survey.crops_of(folder, entries, calibration, params, bad)
    elif kind != "frames":
        entries, seen = survey.pictures_of(folder, entries, kind, classes, params, bad)
    sources = Sources(
        folder=relative_place(folder, out),
        kind=kind,
        classes=classes,
        entries=tuple(entries),
        crop_shape=shape,
        calibration=calibration,
        digests=inputs.digests,
        sizes=inputs.sizes,
        refused=refused_of(folder, found[0], {entry.id for entry in entries}, bad),
        seen=seen,
        uris=uris,
    )
    return sources, inputs.entries


def _items(sources: Sources, params: IngestParams) -> list[str]:
    if sources.kind == "frames":
        return [entry.id for entry in sources.entries]
    if sources.kind == "crops":
        return [f"crops-{first:06d}" for first in range(0, len(sources.entries), layout.CROPS_A_SHARD)]
    return [name for entry in sources.entries for name in columns.names(entry, sources.seen[entry.id], params)]


def _closing(sources: Sources) -> list[str]:
    return [entry.id for entry in sources.entries] if sources.kind in ("slides", "images") else []


def _set_up(content: Path, sources: Sources, params: IngestParams) -> None:
    sources.save(content.parent)
    if sources.kind == "crops" and sources.calibration:
        layout.create_mosaic_stack(content, len(sources.entries), sources.crop_shape, sources.calibration)
    for entry in sources.entries if sources.seen else ():
        columns.lay_out(content, sources.kind, entry, sources.seen[entry.id], params)


def process(job: Job, item: str) -> None:
    """Do one shard of crops, one frame, one column of a slide or image, or close one of these.

    A bad source becomes a receipt with its line. Raises `LineageError` where a source is no longer what it was.
    """
    sources = Sources.load(job.staging)
    params = parse(IngestParams, job.plan["params"], job.out)
    if sources.kind == "crops":
        _crops(job, item, sources, params)
    elif sources.kind == "frames":
        _frame(job, item, sources, params)
    elif item in job.closing:
        _close(job, item, sources, params)
    else:
        _column(job, item, sources, params)


def _crops(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    folder, first = sources.place(job), int(item.removeprefix("crops-"))
    told, crops = {}, []
    for entry in sources.entries[first : first + layout.CROPS_A_SHARD]:
        sources.verify(folder, entry)
        with sources.steady(folder, entry):
            crop = mosaic.decode(folder / entry.file, sources.calibration, params)
            told[entry.id] = layout.crop_facts(crop)
        crops.append(crop)
    output.mark_done(job, item, layout.write_crops(job.content, first, crops), {"crops": told})


def _frame(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    folder, entry = sources.place(job), sources.entry(item)
    sources.verify(folder, entry)
    try:
        with sources.steady(folder, entry):
            files, facts = layout.write_frame(folder, job.content, entry, sources.calibration, sources.classes, params)
    except BadFile as error:
        shutil.rmtree(job.content / "frames" / item, ignore_errors=True)
        files, facts = [], {"rejected": error.line(folder)}
    output.mark_done(job, item, files, facts)


def _column(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    name, _, number = item.rpartition("/")
    folder, here, entry = sources.place(job), job.content / sources.kind / name, sources.entry(name)
    try:
        with sources.steady(folder, entry) as states:
            files, facts = columns.write_column(folder, here, entry, int(number), sources, params)
    except BadFile as error:
        files, facts = [], {"rejected": error.line(folder)}
    output.mark_done(job, item, files, {**facts, "states": states})


def _close(job: Job, item: str, sources: Sources, params: IngestParams) -> None:
    """Finish a picture, or remove it where one of its columns was bad: the first of them gives the line.

    The source is hashed only here, not for every column: columns that were read while it was in another state are
    forgotten, and done anew when the job is run again. Raises `LineageError` then.
    """
    folder, here, entry = sources.place(job), job.content / sources.kind / item, sources.entry(item)
    mine = [name for name in job.items if name.rpartition("/")[0] == item]
    told = output.facts(job, mine)
    _same_source(job, folder, entry, sources, told)
    line = next((fact["rejected"] for fact in told.values() if "rejected" in fact), None)
    if line is None:
        try:
            with sources.steady(folder, entry):
                files, facts = columns.close(folder, here, entry, sources, params)
        except BadFile as error:
            line = error.line(folder)
    if line is not None:
        for name in mine:  # before their files go, or a killed run would find them undone and nowhere to write
            output.mark_done(job, name, [], {"rejected": line, "states": told[name]["states"]})
        shutil.rmtree(here, ignore_errors=True)
        files, facts = [], {"rejected": line}
    output.mark_done(job, item, files, facts)


def _same_source(job: Job, folder: Path, entry: Entry, sources: Sources, told: Mapping[str, Mapping[str, Any]]) -> None:
    """Every column was read from the source that the plan names; `LineageError` where one was not."""
    states = [list(state) for state in sources.verify(folder, entry)]
    others = [name for name, fact in told.items() if fact["states"] != states]
    if others:
        output.forget(job, others)
        wrong, remedy = f"changed while {len(others)} of its columns were read", "run again: they are read anew"
        raise LineageError(fault(folder / entry.file, wrong, "the same file throughout", remedy))


def finish(job: Job) -> Record:
    """Split the tiles, write the table, the receipts and the root, publish; bad inputs are the record's `rejected`.

    Raises `BatchError` or `InputError`, and leaves nothing, where too little is good to make a store.
    """
    sources = Sources.load(job.staging)
    params = parse(IngestParams, job.plan["params"], job.out)
    facts = output.facts(job, job.closing or job.items)
    entries = [entry for entry in sources.entries if "rejected" not in facts.get(entry.id, {})]
    late = [refused(sources.entry(name), fact["rejected"]) for name, fact in facts.items() if "rejected" in fact]
    all_refused = [*sources.refused, *late]
    rejected = sorted(one.line for one in all_refused)
    lines = [shown(sources.place(job), line) for line in rejected]
    _check_enough(job, entries, lines, params)
    table = rows.table_of(sources, entries, facts, params)
    with storage_faults(job.out):
        output.drop_parts(job)
        tiles.write_table(job.content / "tiles.parquet", table)
        told = receipts_of(job, sources, entries, all_refused)
        receipts.write(job.content, told)
        crate.write(job.content, job.plan["name"], told, params.crate)
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
