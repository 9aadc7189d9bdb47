"""Params of the audit stage."""

from tasks.params import Params


class AuditParams(Params):
    """`sections` maps the path of an output of the project to the params that make it; see `tasks.lineage.stale`."""

    sections: dict[str, dict[str, str]]
    check_code: bool
    """Whether an output made by other code than the present counts as broken."""
