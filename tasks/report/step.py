"""The report as a stage: one item a section of the page; `finish` joins them into one self-contained file."""

import os
from collections.abc import Callable
from pathlib import Path

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.errors import InputError, StoreError, fault
from tasks.lineage.digest import sha256_file
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.report import corpus, drift, frames, learnt, origins, went_in
from tasks.report.inputs import Inputs, Section, inputs_of, kind
from tasks.report.page import PAGE, STYLE, TEMPLATES, render
from tasks.report.params import ReportParams

BUILDERS: dict[str, Callable[[Inputs], Section]] = {
    "went_in": went_in.build,
    "frames": frames.build,
    "variants": frames.build_variants,
    "learnt": learnt.build,
    "drift": drift.build,
    "corpus": corpus.build,
    "fidelity": corpus.build_fidelity,
    "origins": origins.build,
}
MODELS = ("microscopy", "drone", "autoencoder", "mask_denoiser", "denoiser", "encoder", "segmenter")
INDEX = "index.html"
GENERATOR = b'<meta name="generator" content="rawmill">'
"""Stands in each page, so that an older one is known when it is replaced."""


def roles(data: Path, params: ReportParams) -> dict[str, Path]:
    """`{role: path}` of all that the page needs; each must be there."""
    found = {f"{part}/{name}": place for name in params.datasets for part, place in _dataset(data, name).items()}
    for name in params.datasets:
        if kind(data / "raw" / f"{name}.zarr") != "slides":
            found |= {f"variants/{name}/{v}": data / "variants" / name / f"{v}.zarr" for v in params.variants}
    found |= {f"models/{name}": data / "models" / name for name in MODELS}
    found |= {f"drift/{name}": data / "drift" / name / "report" for name in params.drift}
    found |= {"synthetic": data / "synthetic" / f"{params.corpus}.zarr"}
    return found | {"evaluation": data / "reports" / "evaluation", "audit": data / "lineage" / "audit"}


def _dataset(data: Path, name: str) -> dict[str, Path]:
    return {"sources": data / "sources" / name, "raw": data / "raw" / f"{name}.zarr"}


def prepare(data: Path, out: Path, params: ReportParams, repair: str) -> Job:
    """Plan the page over the outputs below `data`. Raises `LineageError` where one is missing or not whole."""
    refuse_foreign_page(out.parent / INDEX)
    places = roles(data, params)
    plan = Plan(
        stage="report",
        name=out.name,
        inputs=[artefact(role, place, out) for role, place in places.items()],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        notes={"template": sha256_file(TEMPLATES / PAGE), "style": sha256_file(TEMPLATES / STYLE)},
    )
    return output.start(out, plan, list(BUILDERS), lambda content: (content / "pictures").mkdir())


def process(job: Job, item: str) -> None:
    """Make one section: its pictures below `pictures/`, its values in the receipt."""
    section = BUILDERS[item](inputs_of(job))
    files = [job.content / "pictures" / name for name in sorted(section.pictures)]
    with storage_faults(job.out):
        for file in files:
            file.write_bytes(section.pictures[file.name])
    output.mark_done(job, item, files, section.values)


def finish(job: Job) -> Record:
    """Write the page, publish, and put a copy of the page beside the output, where people look for it."""
    receipts = {item: output.receipt(job, item) for item in job.items}
    missing = [item for item, document in receipts.items() if document is None]
    if missing:
        raise StoreError(fault(job.out, f"section {missing[0]} not made", "all sections", "run it again"))
    sections = {item: document["facts"] for item, document in receipts.items() if document}
    page = render(sections, job.content / "pictures")
    with storage_faults(job.out):
        (job.content / INDEX).write_text(page, encoding="utf-8")
        record = output.publish(job, metrics={"page_bytes": float(len(page.encode()))}, figures=[INDEX])
        copy(record.path / INDEX, job.out.parent / INDEX)
    return record


def refuse_foreign_page(place: Path) -> None:
    """`InputError` where a page stands at `place` that is not rawmill's: nothing of the user's is overwritten."""
    if place.exists() and not (place.is_file() and GENERATOR in place.read_bytes()):
        raise InputError(fault(place, "exists and is not a page of rawmill", "a free place", "choose another --out"))


def copy(page: Path, place: Path) -> None:
    """A byte-identical copy of `page` at `place`, whole or not at all."""
    part = place.parent / f".{place.name}.{os.getpid()}.part"
    part.write_bytes(page.read_bytes())
    part.replace(place)
