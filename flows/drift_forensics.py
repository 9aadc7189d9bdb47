"""Stage drift_forensics: which parameters of the data model a task model does not bear, and how far each may go."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.drift.forensics import step
from tasks.drift.params import ForensicsParams
from tasks.params import load


@stage_flow("drift_forensics")
def drift_forensics(task: str) -> str:
    """Search the models of `task` that drift synthesis trained; returns the recipe's digest."""
    params = load(PARAMS, f"drift_forensics.{task}", ForensicsParams)
    models, raw = DATA / "drift" / task / "synthesis", DATA / "raw" / f"{task}.zarr"
    out, repair = DATA / "drift" / task / "forensics", f"rawmill repro drift_forensics@{task}"
    return run_stage(step, lambda: step.prepare(models, params.data_model, raw, out, params, repair))


if __name__ == "__main__":
    stage_main(drift_forensics)
