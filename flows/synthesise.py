"""Stage synthesise: mask-image pairs larger than the training tiles, by the random-patch sampler."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.synthesis import step
from tasks.synthesis.params import SynthesiseParams


@stage_flow("synthesise")
def synthesise(corpus: str) -> str:
    """Synthesise `corpus` with the trained models; returns the recipe's digest."""
    params = load(PARAMS, "synthesise", SynthesiseParams)
    out = DATA / "synthetic" / f"{corpus}.zarr"
    return run_stage(
        step, lambda: step.prepare(DATA / "models", out, params, corpus, f"rawmill repro synthesise@{corpus}")
    )


if __name__ == "__main__":
    stage_main(synthesise)
