"""Stage learn: a task model on one variant's views, cross-validated by group."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.learn import step
from tasks.learn.params import LearnParams
from tasks.params import load


@stage_flow("learn")
def learn(task: str) -> str:
    """Train and cross-validate the model of `task` (microscopy or drone); returns the recipe's digest."""
    params = load(PARAMS, f"learn.{task}", LearnParams)
    views = DATA / "variants" / task / f"{params.variant}.zarr"
    masks = DATA / "raw" / f"{task}.zarr" if params.task == "segmentation" else None
    out = DATA / "models" / task
    return run_stage(step, lambda: step.prepare(views, masks, out, params, f"rawmill repro learn@{task}"))


if __name__ == "__main__":
    stage_main(learn)
