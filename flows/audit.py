"""Stage audit: every output of the project, back to the source files."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.lineage import step
from tasks.lineage.params import AuditParams
from tasks.params import load


@stage_flow("audit")
def audit() -> str:
    """Check all outputs and write the lineage graph; returns the digest of the recipe."""
    params = load(PARAMS, "audit", AuditParams)
    out = DATA / "lineage" / "audit"
    return run_stage(step, lambda: step.prepare(DATA, out, params, PARAMS, repair="rawmill repro audit"))


if __name__ == "__main__":
    stage_main(audit)
