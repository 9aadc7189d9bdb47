"""Stage drift_optimisation: the data model learned together with the task model, frozen, or left out."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.drift.optimisation import step
from tasks.drift.params import OptimisationParams
from tasks.params import load


@stage_flow("drift_optimisation")
def drift_optimisation(task: str) -> str:
    """Train the models of `task` from raw mosaics in each setting; returns the recipe's digest."""
    params = load(PARAMS, f"drift_optimisation.{task}", OptimisationParams)
    raw, out = DATA / "raw" / f"{task}.zarr", DATA / "drift" / task / "optimisation"
    return run_stage(step, lambda: step.prepare(raw, out, params, f"rawmill repro drift_optimisation@{task}"))


if __name__ == "__main__":
    stage_main(drift_optimisation)
