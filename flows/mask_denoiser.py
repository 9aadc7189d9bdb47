"""Stage mask_denoiser: the diffusion model of class masks, learnt on the training slides' annotations."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.synthesis import mask_denoiser_step
from tasks.synthesis.mask_params import MaskDenoiserParams


@stage_flow("mask_denoiser")
def mask_denoiser() -> str:
    """Train the mask denoiser; returns the recipe's digest."""
    params = load(PARAMS, "train.mask_denoiser", MaskDenoiserParams)
    raw, out = DATA / "raw" / "slides.zarr", DATA / "models" / "mask_denoiser"
    return run_stage(mask_denoiser_step, lambda: mask_denoiser_step.prepare(raw, out, params))


if __name__ == "__main__":
    stage_main(mask_denoiser)
