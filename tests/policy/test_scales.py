"""What the drift controls ask for is what the embedded sample of the same scale has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCALES = ["params.yaml", "params/paper.yaml"]


def document(scale: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / scale).read_text())
    return found


@pytest.mark.parametrize("scale", SCALES)
def test_every_intensity_that_is_learnt_from_is_acquired(scale: str) -> None:
    params = document(scale)
    for task, section in params["drift_optimisation"].items():
        assert set(section["intensities"].values()) <= set(params["acquire"][task]["intensities"]), task
        assert set(section["raw_intensities"]) <= set(section["intensities"]), task
    for stage in ("drift_synthesis", "drift_forensics"):
        for task, section in params[stage].items():
            assert section["intensity"] in params["acquire"][task]["intensities"], (stage, task)
            assert section["intensity"] in params["develop"]["common"]["intensities"], (stage, task)


@pytest.mark.parametrize("scale", SCALES)
def test_drift_is_measured_on_all_data_models_and_from_the_one_that_theta_stat_is(scale: str) -> None:
    params = document(scale)
    for task, section in params["drift_synthesis"].items():
        assert section["scoring"]["data_models"] == list(params["develop"]["variants"])
        forensics = params["drift_forensics"][task]
        assert forensics["data_model"] == "bi,s,ga"
        tiles = forensics["search_tiles"]
        assert tiles is None or forensics["loss_stated"] > 1 / tiles, "one searched tile would be more than the loss"
        assert task in params["report"]["drift"]
