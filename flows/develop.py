"""Stage develop: the mosaics of a dataset become the views of one variant."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.isp import step
from tasks.isp.params import Common, load_variant
from tasks.params import load


@stage_flow("develop")
def develop(dataset: str, variant: str) -> str:
    """Develop `data/raw/<dataset>.zarr` to `data/variants/<dataset>/<variant>.zarr`; returns the recipe's digest."""
    common = load(PARAMS, "develop.common", Common)
    chain = load_variant(PARAMS, variant)
    return run_stage(
        step,
        lambda: step.prepare(
            DATA / "raw" / f"{dataset}.zarr",
            DATA / "variants" / dataset / f"{variant}.zarr",
            variant,
            chain,
            common,
            repair=f"rawmill repro develop@{dataset}-{variant}",
        ),
    )


if __name__ == "__main__":
    stage_main(develop)
