"""The drift report as a step: an item a part of the page; `finish` joins them into one self-contained file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift.page.page import PAGE, STYLE, render
from tasks.drift.page.params import DriftReportParams
from tasks.drift.page.parts import DOCUMENTS, Part, figures_of, read_document
from tasks.drift.page.verdict import findings
from tasks.errors import InputError, fault
from tasks.lineage.digest import pretty, sha256_file
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.params import parse

INDEX, SUMMARY, PICTURES = "index.html", "summary.json", "pictures"


def prepare(parts: Mapping[str, Path], out: Path, params: DriftReportParams, repair: str) -> Job:
    """Plan the page over the outputs of the drift controls: `parts` by role, any of synthesis, given, forensics,
    optimisation.

    Raises `LineageError` where one is missing or not whole, `InputError` for no parts or unknown ones.
    """
    strange = sorted(set(parts) - set(DOCUMENTS))
    if strange or not parts:
        wrong = f"part {strange[0]}" if strange else "no part"
        raise InputError(fault(out, wrong, f"some of {', '.join(DOCUMENTS)}", "name outputs of the drift controls"))
    inputs = [artefact(role, parts[role], out) for role in DOCUMENTS if role in parts]
    notes = {"template": sha256_file(PAGE), "style": sha256_file(STYLE)}
    plan = Plan("drift_report", out.name, inputs, params.model_dump(mode="json"), __name__, repair, notes=notes)
    roles = [str(entry["role"]) for entry in inputs]
    return output.start(out, plan, roles, lambda content: (content / PICTURES).mkdir())


def process(job: Job, item: str) -> None:
    """Copy the figures of one part and check that its document can be read."""
    folder = output.inputs(job)[item]
    read_document(folder, item)
    copies = {figure.stem: job.content / PICTURES / f"{item}-{figure.name}" for figure in figures_of(folder)}
    with storage_faults(job.out):
        for figure in figures_of(folder):
            copies[figure.stem].write_bytes(figure.read_bytes())
    output.mark_done(job, item, list(copies.values()), {"figures": {stem: c.name for stem, c in copies.items()}})


def finish(job: Job) -> Record:
    """Write the page and the findings as JSON, and publish."""
    facts, places = output.facts(job, job.items), output.inputs(job)
    parts = {role: Part(role, read_document(places[role], role), facts[role]["figures"]) for role in job.items}
    params = parse(DriftReportParams, job.plan["params"], job.out)
    verdict = findings({role: part.document for role, part in parts.items()})
    page = render(parts, verdict, params, job.content / PICTURES)
    with storage_faults(job.out):
        (job.content / INDEX).write_text(page, encoding="utf-8")
        (job.content / SUMMARY).write_bytes(pretty(_summary(parts, verdict)))
        return output.publish(job, metrics={"page_bytes": float(len(page.encode()))}, figures=[INDEX])


def _summary(parts: Mapping[str, Part], verdict: list[dict[str, str]]) -> dict[str, Any]:
    first = next(iter(parts.values())).document
    return {"task": first["task"], "main": first["main"], "parts": list(parts), "findings": verdict}
