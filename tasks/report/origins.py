"""Section: where it all comes from. The audit's graph, one image's story, and the digests of every output."""

import pandas as pd

from tasks.lineage import diagram
from tasks.lineage.audit import Node
from tasks.lineage.recipe import digest_of
from tasks.lineage.step import read_audit
from tasks.lineage.trace import Story, lines, trace
from tasks.report import runs
from tasks.report.inputs import Inputs, Section


def build(inputs: Inputs) -> Section:
    """Counts and graph of the audit, picture and text of the first synthetic image's story, a row an output.

    Raises `LineageError` where the story does not hold.
    """
    audit = read_audit(inputs.path("audit"))
    corpus = inputs.path("synthetic")
    base = inputs.path("audit").parents[2]
    first = min(pd.read_parquet(corpus / "samples.parquet")["sample_id"])
    story = trace(corpus, str(first), base)
    outputs = [n for n in audit.nodes if n.kind == "output"]
    rows = [
        {"path": n.path, "stage": n.stage, "recipe": n.digest, "root": n.root, "files": n.files, "bytes": n.bytes}
        for n in outputs
    ]
    values = {
        "outputs": rows,
        "runs": runs.of_stages([*outputs, audit_node(inputs)]),
        "files": audit.files,
        "bytes": audit.bytes,
        "edges": len(audit.edges),
        "leaves": len(audit.nodes) - len(outputs),
        "graph": diagram.audit_svg(audit),
        "sample": story.parts[0],
        "corpus": story.path,
        "story": diagram.story_svg(story),
        "text": lines(story),
        "proofs": proofs(story),
    }
    return Section(values)


def audit_node(inputs: Inputs) -> Node:
    """The audit itself, which stands in no audit of its own."""
    place, recipe = inputs.path("audit"), inputs.recipe("audit")
    size = recipe["output"]
    path = place.relative_to(place.parents[2]).as_posix()
    return Node(path, "output", digest_of(recipe), size["files"], size["bytes"], recipe["stage"], size["root"])


def proofs(story: Story) -> int:
    """Number of files in a story that were proved against the root of their output, each counted once."""

    def each(one: Story) -> set[tuple[str, str]]:
        return {(one.path, f.path) for f in one.files}.union(*(each(below) for below in one.inputs))

    return len(each(story))
