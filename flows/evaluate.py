"""Stage evaluate: measure a synthetic corpus beside its baselines."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.evaluation import step
from tasks.evaluation.params import EvaluateParams
from tasks.params import load


@stage_flow("evaluate")
def evaluate(corpus: str, dataset: str) -> str:
    """Evaluate `data/synthetic/<corpus>.zarr` against `data/raw/<dataset>.zarr`; returns the recipe's digest."""
    params = load(PARAMS, "evaluate", EvaluateParams)
    return run_stage(
        step,
        lambda: step.prepare(
            synthetic=DATA / "synthetic" / f"{corpus}.zarr",
            slides=DATA / "raw" / f"{dataset}.zarr",
            encoder=DATA / "models" / "encoder",
            segmenter=DATA / "models" / "segmenter",
            out=DATA / "reports" / "evaluation",
            params=params,
        ),
    )


if __name__ == "__main__":
    stage_main(evaluate)
