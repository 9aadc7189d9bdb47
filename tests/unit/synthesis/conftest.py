"""Fixtures of the synthesis tests: a planted slide store, small params, and models of a few steps."""

from pathlib import Path

import pytest
from planted_slides import AUTOENCODER, DENOISER, INPAINT, MASK_DENOISER, SYNTHESISE, carry_out, plant

from tasks.synthesis.mask_params import MaskDenoiserParams
from tasks.synthesis.params import (
    AutoencoderParams,
    DenoiserParams,
    InpaintParams,
    SynthesiseParams,
)


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    return plant(tmp_path_factory.mktemp("data") / "raw" / "slides.zarr")


@pytest.fixture
def autoencoder_params() -> AutoencoderParams:
    return AutoencoderParams.model_validate(AUTOENCODER)


@pytest.fixture
def denoiser_params() -> DenoiserParams:
    return DenoiserParams.model_validate(DENOISER)


@pytest.fixture
def synthesise_params() -> SynthesiseParams:
    return SynthesiseParams.model_validate(SYNTHESISE)


@pytest.fixture
def inpaint_params() -> InpaintParams:
    return InpaintParams.model_validate(INPAINT)


@pytest.fixture(scope="session")
def models(raw) -> Path:
    """An autoencoder and a denoiser of a few steps."""
    from tasks.synthesis import autoencoder_step, denoiser_step

    folder = raw.parents[1] / "models"
    params = AutoencoderParams.model_validate(AUTOENCODER)
    carry_out(autoencoder_step, autoencoder_step.prepare(raw, folder / "autoencoder", params))
    params = DenoiserParams.model_validate(DENOISER)
    carry_out(denoiser_step, denoiser_step.prepare(raw, folder / "autoencoder", folder / "denoiser", params))
    return folder


@pytest.fixture(scope="session")
def mask_model(raw) -> Path:
    """A mask denoiser of a few steps."""
    from tasks.synthesis import mask_denoiser_step

    out = raw.parents[1] / "mask-models" / "mask_denoiser"
    params = MaskDenoiserParams.model_validate(MASK_DENOISER)
    carry_out(mask_denoiser_step, mask_denoiser_step.prepare(raw, out, params))
    return out
