"""Where the runs are: for each stage and output, what to look for in the ledger and in MLflow.

A run's time and host may not stand on the page, but the digest of its recipe may: the ledger's file names end with
its first twelve digits, and MLflow keeps it whole as the tag `recipe`. A run made again has the same digest.
"""

from collections.abc import Sequence
from typing import Any

from tasks.lineage.audit import Node

LEDGER = "data/lineage/runs"
DIGITS = 12
"""Of the recipe's digest in the name of a ledger file; see `tasks.lineage.ledger`."""


def of_stages(outputs: Sequence[Node]) -> list[dict[str, Any]]:
    """A row a stage, by name, each with its outputs' rows."""
    stages = sorted({node.stage for node in outputs})
    return [
        {
            "stage": stage,
            "files": f"{LEDGER}/*-{stage}-*.json",
            "search": f"tags.stage = '{stage}'",
            "outputs": [of_output(node) for node in outputs if node.stage == stage],
        }
        for stage in stages
    ]


def of_output(node: Node) -> dict[str, str]:
    """What finds every run that made the output of `node` by its present recipe."""
    return {
        "path": node.path,
        "recipe": node.digest[:DIGITS],
        "files": f"{LEDGER}/*-{node.digest[:DIGITS]}.json",
        "search": f"tags.recipe = '{node.digest}'",
    }
