"""Stage autoencoder: the latent space that synthesis works in, learnt on the slides' training tiles."""

from flows._runtime import DATA, PARAMS, run_stage, stage_flow, stage_main
from tasks.params import load
from tasks.synthesis import autoencoder_step
from tasks.synthesis.params import AutoencoderParams


@stage_flow("autoencoder")
def autoencoder() -> str:
    """Train the autoencoder, with the encoder's features where params say so; returns the recipe's digest."""
    params = load(PARAMS, "train.autoencoder", AutoencoderParams)
    raw, models = DATA / "raw" / "slides.zarr", DATA / "models"
    return run_stage(
        autoencoder_step, lambda: autoencoder_step.prepare(raw, models / "autoencoder", params, models / "encoder")
    )


if __name__ == "__main__":
    stage_main(autoencoder)
