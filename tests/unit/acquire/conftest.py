"""Params of the sample, and small versions of them."""

from pathlib import Path

import pytest

from tasks.acquire.params import DroneParams, MicroscopyParams, SlidesParams
from tasks.params import load

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(scope="session")
def microscopy() -> MicroscopyParams:
    """Two smears of one crop a class, 96 pixels wide."""
    full = load(PARAMS, "acquire.microscopy", MicroscopyParams)
    return full.model_copy(update={"crop_px": 96, "smears": 2, "crops_per_class_and_smear": 1, "pixel_um": 0.4})


@pytest.fixture(scope="session")
def drone() -> DroneParams:
    """Two frames of 256 x 384 pixels."""
    full = load(PARAMS, "acquire.drone", DroneParams)
    return full.model_copy(update={"frames": 2, "height_px": 256, "width_px": 384, "ground_m": 0.15, "cars": 8})


@pytest.fixture(scope="session")
def slides() -> SlidesParams:
    """One slide of 512 pixels in two levels."""
    full = load(PARAMS, "acquire.slides", SlidesParams)
    small = {"slides": 1, "held_out": (), "side_px": 512, "levels": 2, "region_um": 60.0, "candidates": 4}
    small["subtypes"] = {"solid": full.subtypes["solid"].model_copy(update={"slides": ("slide1",)})}
    return full.model_copy(update=small)
