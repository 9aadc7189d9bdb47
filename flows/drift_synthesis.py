"""Stage drift_synthesis: a task model on each data model, tested on all of them and on common corruptions."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.drift.params import SynthesisParams
from tasks.drift.synthesis import step
from tasks.params import load


@stage_flow("drift_synthesis")
def drift_synthesis(task: str) -> str:
    """Train and score the models of `task` (microscopy or drone); returns the recipe's digest."""
    params = load(PARAMS, f"drift_synthesis.{task}", SynthesisParams)
    views = {name: DATA / "variants" / task / f"{name}.zarr" for name in params.scoring.data_models}
    raw, out = DATA / "raw" / f"{task}.zarr", DATA / "drift" / task / "synthesis"
    return run_stage(step, lambda: step.prepare(raw, views, out, params, f"rawmill repro drift_synthesis@{task}"))


if __name__ == "__main__":
    stage_main(drift_synthesis)
