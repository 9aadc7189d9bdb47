"""The audit as a stage: every output of the project checked, one an item, and joined into one lineage graph."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.contracts import Record
from tasks.errors import LineageError, fault
from tasks.lineage.audit import Audit, Checked, Edge, Node, check_output, join
from tasks.lineage.diagram import audit_svg
from tasks.lineage.digest import pretty
from tasks.lineage.params import AuditParams
from tasks.lineage.places import outputs_below, relative, resolve
from tasks.lineage.prov import prov
from tasks.lineage.recipe import Plan, artefact
from tasks.lineage.stale import Project, belongs
from tasks.output import Job, mark_done, publish, receipt, start

REPORT = "audit.json"


def prepare(data: Path, out: Path, params: AuditParams, params_file: Path, repair: str) -> Job:
    """Plan the audit of every output below `data` that a pattern of `params.sections` names.

    Raises `LineageError` where there is none, or where one has not even the files that its tree names.
    """
    project = Project(params_file, params.sections, params.check_code)
    targets = [path for path in outputs_below(data) if belongs(path, project)]
    if not targets:
        raise LineageError(fault(data, "no outputs of the project", "outputs", "make them with `rawmill repro`"))
    base = params_file.resolve().parent
    plan = Plan(
        stage="audit",
        name=out.name,
        inputs=[artefact(relative(path, base), path, out) for path in targets],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        notes={"params_file": relative(params_file, out.parent)},
    )
    return start(out, plan, [entry["role"] for entry in plan.inputs], lambda content: None)


def _project(job: Job) -> Project:
    params = AuditParams.model_validate(job.plan["params"])
    params_file = (job.out.parent / job.plan["notes"]["params_file"]).resolve()
    return Project(params_file, params.sections, params.check_code)


def process(job: Job, item: str) -> None:
    """Check one output, its files and its edges. Raises `LineageError` at the first that does not hold."""
    entry = next(entry for entry in job.plan["inputs"] if entry["role"] == item)
    project = _project(job)
    checked = check_output(resolve(job.out, entry), project, project.params_file.parent)
    mark_done(job, item, [], _facts(checked))


def _facts(checked: Checked) -> dict[str, Any]:
    return {
        "node": asdict(checked.node),
        "leaves": [asdict(leaf) for leaf in checked.leaves],
        "edges": [asdict(edge) for edge in checked.edges],
    }


def _checked(facts: Mapping[str, Any]) -> Checked:
    leaves = tuple(Node(**leaf) for leaf in facts["leaves"])
    return Checked(Node(**facts["node"]), leaves, tuple(Edge(**edge) for edge in facts["edges"]), ())


def finish(job: Job) -> Record:
    """Join what the items found; writes `audit.json`, `graph.svg` and `prov.json` (W3C PROV).

    Raises `LineageError` where an output was made from one that is not the project's, and so was not checked.
    """
    receipts = [receipt(job, item) for item in job.items]
    whole = join([_checked(r["facts"]) for r in receipts if r is not None], job.items)
    (job.content / REPORT).write_bytes(pretty(whole.document()))
    (job.content / "graph.svg").write_text(audit_svg(whole), encoding="utf-8")
    (job.content / "prov.json").write_bytes(pretty(prov(whole)))
    outputs = sum(node.kind == "output" for node in whole.nodes)
    counts = {"outputs": outputs, "files": whole.files, "bytes": whole.bytes, "edges": len(whole.edges)}
    return publish(job, metrics={f"audit.{k}": float(v) for k, v in counts.items()})


def read_audit(path: Path) -> Audit:
    """The audit that the stage left at `path`."""
    document = json.loads((path / REPORT).read_bytes())
    nodes = tuple(Node(**node) for node in document["nodes"])
    return Audit(nodes, tuple(Edge(**edge) for edge in document["edges"]), tuple(document["targets"]))
