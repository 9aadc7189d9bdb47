"""Stage encoder: learn image features from the training tiles of a slides store."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.evaluation import encoder_step as step
from tasks.evaluation.params import EncoderParams
from tasks.params import load


@stage_flow("encoder")
def encoder(dataset: str) -> str:
    """Train the encoder on `data/raw/<dataset>.zarr`; returns the digest of its recipe."""
    params = load(PARAMS, "encoder", EncoderParams)
    slides = DATA / "raw" / f"{dataset}.zarr"
    return run_stage(step, lambda: step.prepare(slides, out=DATA / "models" / "encoder", params=params))


if __name__ == "__main__":
    stage_main(encoder)
