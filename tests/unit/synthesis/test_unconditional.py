"""A denoiser that no step told a class: it knows none, and is sampled under the null condition it was trained under."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from planted_slides import DENOISER, SYNTHESISE, carry_out

from tasks.store import open_array
from tasks.synthesis import denoiser, denoiser_step, step
from tasks.synthesis.params import DenoiserParams, SynthesiseParams


@pytest.fixture(scope="module")
def models(raw: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The autoencoder of the planted slides, and a denoiser that never sees their annotation."""
    folder = raw.parents[1] / "free"
    folder.mkdir()
    (folder / "autoencoder").symlink_to(models / "autoencoder")
    params = DenoiserParams.model_validate({**DENOISER, "p_unconditional": 1.0})
    carry_out(denoiser_step, denoiser_step.prepare(raw, models / "autoencoder", folder / "denoiser", params))
    return folder


def test_it_knows_no_classes_and_used_no_annotation(models: Path) -> None:
    about = denoiser.load(models / "denoiser").about
    assert about.classes == ()
    roles = pd.read_parquet(models / "denoiser" / "tiles.parquet")["role"]
    assert set(roles) == {"unlabelled"}
    metrics = json.loads((models / "denoiser" / "metrics.json").read_bytes())
    assert {key for key in metrics if key.startswith("held_out")} == {"held_out_loss_null"}


def test_it_is_told_the_null_condition_everywhere(models: Path, tmp_path: Path) -> None:
    about = denoiser.load(models / "denoiser").about
    mask = open_array_of(np.zeros((40, 70), np.uint8), tmp_path / "mask")
    told = step.tell(mask, about, 4, tmp_path)
    found = told.read(slice(0, told.shape[1]), slice(0, told.shape[2]))
    assert found.shape == (2, 10, 18)
    assert (found[0] == 0).all() and (found[1] == 1).all()


def open_array_of(values: np.ndarray, path: Path):  # type: ignore[no-untyped-def]
    from tasks import store

    store.create_array(path, values.shape, "uint8", (64, 128), (64, 128), ("y", "x"))
    array = open_array(path)
    for window in store.windows(array):
        store.write(path, window, values[window])
    return array


def test_guidance_costs_no_second_forward_and_changes_nothing(models: Path) -> None:
    model = denoiser.load(models / "denoiser")
    z = torch.from_numpy(np.random.Generator(np.random.Philox(1)).normal(size=(2, 3, 8, 8)).astype(np.float32))
    null = torch.tensor([0.0, 1.0])[None, :, None, None].expand(2, 2, 8, 8)
    plain, steered = (model.guided(w)[0](z, null, 50) for w in (0.0, 7.0))
    assert torch.equal(plain, steered)


def test_its_corpus_has_masks_without_classes(models: Path) -> None:
    out = models.parent / "synthetic" / "free.zarr"
    params = SynthesiseParams.model_validate({**SYNTHESISE, "count": 2, "sizes_px": [[40, 70]]})
    record = carry_out(step, step.prepare(models, out, params, "free", "again"))
    assert record.metrics["mask_fraction_unknown"] == 1
    mask = np.asarray(open_array(out / "samples/s00000/labels/mask/0")[:])
    assert mask.shape == (40, 70) and not mask.any()
    assert np.asarray(open_array(out / "samples/s00000/0")[:]).std() > 0
