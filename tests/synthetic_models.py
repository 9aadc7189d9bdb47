"""Models of a few steps, for tests of the commands that sample with them."""

from pathlib import Path

from tasks.synthesis import autoencoder_step, denoiser_step
from tasks.synthesis.params import AutoencoderParams, DenoiserParams
from tests.unit.synthesis.planted_slides import AUTOENCODER, DENOISER, SYNTHESISE, carry_out, plant

MODEL_SECTIONS = {"synthesise": SYNTHESISE}


def train(folder: Path) -> Path:
    """The folder with an autoencoder and a denoiser, trained on planted slides, below `folder`."""
    models = folder / "models"
    raw = plant(folder / "raw" / "slides.zarr")
    params = AutoencoderParams.model_validate(AUTOENCODER)
    carry_out(autoencoder_step, autoencoder_step.prepare(raw, models / "autoencoder", params))
    noise = DenoiserParams.model_validate(DENOISER)
    carry_out(denoiser_step, denoiser_step.prepare(raw, models / "autoencoder", models / "denoiser", noise))
    return models
