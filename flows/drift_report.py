"""Stage drift_report: one self-contained page over the drift controls of a task."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.drift.page import step
from tasks.drift.page.params import DriftReportParams
from tasks.params import load

PARTS = ("synthesis", "forensics", "optimisation")


@stage_flow("drift_report")
def drift_report(task: str) -> str:
    """Make `data/drift/<task>/report/index.html`; returns the digest of the recipe."""
    params = load(PARAMS, f"drift_report.{task}", DriftReportParams)
    parts = {name: DATA / "drift" / task / name for name in PARTS}
    out = DATA / "drift" / task / "report"
    return run_stage(step, lambda: step.prepare(parts, out, params, f"rawmill repro drift_report@{task}"))


if __name__ == "__main__":
    stage_main(drift_report)
