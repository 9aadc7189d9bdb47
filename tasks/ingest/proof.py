"""The receipts of a store in the making: from what its items have put down about each source."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks import output
from tasks.ingest import statistics
from tasks.ingest.manifest import Entry
from tasks.ingest.receipts import Receipt, SourceFile, Stored, image_digest, rejected, source_file, stored
from tasks.ingest.refused import Refused
from tasks.ingest.sources import Sources
from tasks.output import Job

Facts = Mapping[str, Any]


def receipts_of(job: Job, sources: Sources, entries: Sequence[Entry], refused: Sequence[Refused]) -> list[Receipt]:
    """One receipt an entry that is in the store, and one each of what was refused."""
    told, known = _told(job, sources), _digests(job)
    good = [_stored(job, sources, number, entry, told[entry.id], known) for number, entry in enumerate(entries)]
    return [*good, *(_rejected(job, sources, one) for one in refused)]


def _told(job: Job, sources: Sources) -> Mapping[str, Facts]:
    """By id: format, decoder, metadata, dropped, axes, shape, dtype, statistics, and a crop's digest."""
    facts = output.facts(job, job.items)
    if sources.kind == "crops":
        return {name: fact for shard in facts.values() for name, fact in shard["crops"].items()}
    if sources.kind == "frames":
        return facts
    pieces: dict[str, list[Facts]] = {name: [] for name in sources.seen}
    for item, fact in facts.items():
        if "statistics" in fact:
            pieces[item.rpartition("/")[0]].append(fact["statistics"])
    return {
        name: {**seen.told, "axes": seen.axes, "shape": seen.shape, "dtype": seen.dtype, "pieces": pieces[name]}
        for name, seen in sources.seen.items()
    }


def _digests(job: Job) -> dict[str, str]:
    """SHA-256 of the files that the items wrote, as their receipts claim and `publish` will check."""
    claims = (output.claim(job, item) for item in (*job.items, *job.closing))
    return {name: digest for claim in claims if claim for name, digest in claim["files"].items()}


def _stored(job: Job, sources: Sources, number: int, entry: Entry, told: Facts, known: Mapping[str, str]) -> Receipt:
    pieces = [statistics.from_plain(piece) for piece in told.get("pieces", [told.get("statistics", {})])]
    crops = sources.kind == "crops"
    path = "mosaic" if crops else f"{sources.kind}/{entry.id}"
    image = Stored(
        path=path,
        index=number if crops else None,
        axes=told["axes"],
        shape=tuple(told["shape"]),
        dtype=told["dtype"],
        digest=told["digest"] if crops else image_digest(job.content, path, known),
    )
    return stored(
        entry.id,
        _file(sources, entry.file),
        _file(sources, entry.mask) if entry.mask else None,
        image,
        told["format"],
        told["decoder"],
        statistics.document(statistics.gathered(pieces)),
        told["dropped"],
        told["metadata"],
    )


def _file(sources: Sources, name: str) -> SourceFile:
    return SourceFile(path=name, sha256=sources.digests[name], bytes=sources.sizes[name], uri=sources.uris.get(name))


def _rejected(job: Job, sources: Sources, one: Refused) -> Receipt:
    """Of a refused source and its annotation, whichever of them was the reason."""
    annotation = _refused_file(job, sources, one.mask) if one.mask else None
    return rejected(one.id, _refused_file(job, sources, one.file), one.line, annotation)


def _refused_file(job: Job, sources: Sources, name: str) -> SourceFile:
    return source_file(sources.place(job), name, sources.digests, sources.uris.get(name))
