"""Stage acquire: the embedded sample, drawn with known truth and written as the instruments write it."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.acquire import step
from tasks.params import load


@stage_flow("acquire")
def acquire(dataset: str) -> str:
    """Make the sources of `dataset` (microscopy, drone or slides); returns the digest of their recipe."""
    params = load(PARAMS, f"acquire.{dataset}", step.params_model(dataset))
    return run_stage(step, lambda: step.prepare(DATA / "sources" / dataset, params, dataset))


if __name__ == "__main__":
    stage_main(acquire)
