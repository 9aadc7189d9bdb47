"""Stage denoiser: the mask-conditioned diffusion model, learnt on labelled and unlabelled training tiles."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.synthesis import denoiser_step
from tasks.synthesis.params import DenoiserParams


@stage_flow("denoiser")
def denoiser() -> str:
    """Train the denoiser; returns the recipe's digest."""
    params = load(PARAMS, "train.denoiser", DenoiserParams)
    raw, models = DATA / "raw" / "slides.zarr", DATA / "models"
    return run_stage(
        denoiser_step, lambda: denoiser_step.prepare(raw, models / "autoencoder", models / "denoiser", params)
    )


if __name__ == "__main__":
    stage_main(denoiser)
