"""How work of many steps says how far it is: in its log records, for whoever shows them."""

from collections.abc import Mapping


def at(what: str, step: int, steps: int) -> Mapping[str, object]:
    """`extra` of a log record of `what`, of which `step` of `steps` steps are done."""
    return {"progress": (what, step, steps)}
