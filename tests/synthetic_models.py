"""Models of a few steps, for tests of the commands that sample with them."""

from pathlib import Path
from typing import Any

from flows import _local
from tasks.lineage.recipe import read
from tasks.synthesis import autoencoder_step, denoiser_step, step
from tasks.synthesis.params import AutoencoderParams, DenoiserParams, SynthesiseParams
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


def synthesise(
    models: Path, out: Path, count: int, size: tuple[int, int], sampler: dict[str, Any], mask: Path | None = None
) -> None:
    """What `rawmill synthesize` does, with small params: for a process of its own."""
    values = {**SYNTHESISE, "count": count, "sizes_px": [size], "sampler": {**SYNTHESISE["sampler"], **sampler}}
    params = SynthesiseParams.model_validate(values)
    _local.carry_out(step, lambda: step.prepare(models, out, params, "corpus", "again", mask))


def root_of(store: Path) -> str:
    """The Merkle root of an output, as its recipe has it."""
    return str(read(store)["output"]["root"])
