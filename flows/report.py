"""Stage report: one self-contained page over all outputs."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.report import step
from tasks.report.params import ReportParams


@stage_flow("report")
def report() -> str:
    """Make `data/reports/html` and its copy `data/reports/index.html`; returns the digest of the recipe."""
    params = load(PARAMS, "report", ReportParams)
    out = DATA / "reports" / "html"
    return run_stage(step, lambda: step.prepare(DATA, out, params, repair="rawmill repro report"))


if __name__ == "__main__":
    stage_main(report)
