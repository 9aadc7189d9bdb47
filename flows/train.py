"""Stage train: the autoencoder and the denoiser that synthesise tissue, on the slides' training tiles."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.synthesis import autoencoder_step, denoiser_step
from tasks.synthesis.params import AutoencoderParams, DenoiserParams

RAW = DATA / "raw" / "slides.zarr"
MODELS = DATA / "models"


@stage_flow("train")
def train(model: str) -> str:
    """Train `model` (autoencoder or denoiser); returns the recipe's digest."""
    return {"autoencoder": train_autoencoder, "denoiser": train_denoiser}[model]()


def train_autoencoder() -> str:
    params = load(PARAMS, "train.autoencoder", AutoencoderParams)
    return run_stage(autoencoder_step, lambda: autoencoder_step.prepare(RAW, MODELS / "autoencoder", params))


def train_denoiser() -> str:
    params = load(PARAMS, "train.denoiser", DenoiserParams)
    codec, out = MODELS / "autoencoder", MODELS / "denoiser"
    return run_stage(denoiser_step, lambda: denoiser_step.prepare(RAW, codec, out, params))


if __name__ == "__main__":
    stage_main(train)
