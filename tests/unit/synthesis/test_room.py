"""What a batch needs of memory: smaller steps first change no byte, and a smaller batch is said."""

import dataclasses
import os

import pytest
import torch
from planted_slides import DENOISER, SYNTHESISE, carry_out

from tasks.rng import generator
from tasks.store import open_array
from tasks.synthesis import evaluate, room, step
from tasks.synthesis.params import DenoiserModel, SamplerParams, SynthesiseParams
from tasks.synthesis.sampler import Sampling
from tasks.synthesis.windows import grid_windows

ABOUT = DenoiserModel.model_validate(
    {
        "kind": "denoiser",
        "architecture": DENOISER["architecture"],
        "diffusion": DENOISER["diffusion"],
        "classes": ["a"],
        "latent_channels": 3,
        "window_latent_px": 8,
        "autoencoder": "",
    }
)
PARAMS = SamplerParams.model_validate(SYNTHESISE["sampler"])
HOW = Sampling((), "random", (8, 8), 2, 8, 1, "s")


def test_a_window_needs_what_its_levels_hold():
    """8 channels of 8 x 8 and 16 of 4 x 4, one block a level: 3 outputs kept of each, 10 of 24 channels at work."""
    one = 4 * (3 * 8 * 64 + 3 * 16 * 16 + 10 * 24 * 64)
    assert room.window_bytes(ABOUT, 0.0) == one
    assert room.window_bytes(ABOUT, 1.5) == 2 * one


@pytest.mark.parametrize(
    ("windows", "beside", "batch", "most"),
    [
        (1000, 1, 8, 4),
        (1000, 100, 8, 1),
        (24, 1, 8, 3),
        (23, 1, 8, 2),
        (8, 1, 8, 1),
        (7, 1, 7, 1),
        (7, 2, 3, 1),
        (0, 1, 1, 1),
    ],
)
def test_fewer_batches_at_a_time_then_smaller_ones(windows, beside, batch, most, monkeypatch, caplog):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(room, "available_bytes", lambda: windows * room.window_bytes(ABOUT, PARAMS.guidance))
    found, threads = room.fitted(HOW, PARAMS, ABOUT, beside)
    assert (found.batch_windows, threads) == (batch, most)
    assert ("going on with" in caplog.text) is (batch < 8)
    assert found.steps == HOW.steps and found.seed == HOW.seed


def test_a_grids_largest_window_counts_for_what_it_is(monkeypatch):
    """With one window a batch, one of once and a half the sides takes 2.25 times what four threads would be counted."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(room, "available_bytes", lambda: 5 * room.window_bytes(ABOUT, PARAMS.guidance))
    single = dataclasses.replace(HOW, batch_windows=1)
    assert room.fitted(single, PARAMS, ABOUT, 1) == (single, 4)
    grid = dataclasses.replace(single, law="grid")
    assert room.fitted(grid, PARAMS, ABOUT, 1) == (grid, 2)
    drawn = [w for k in range(50) for w in grid_windows((40, 24), (8, 8), 2, generator(k, "s", "w"))]
    assert max(w.height * w.width for w in drawn) == room.LARGEST * 8 * 8


def test_a_gpu_has_one_sample_at_a_time_and_what_torch_keeps_is_free(monkeypatch):
    one = room.window_bytes(ABOUT, PARAMS.guidance)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda k: ((6, 9)[k] * one, 80 * one))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda k: (5, 0)[k] * one)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda k: (3, 0)[k] * one)
    assert room.free_bytes("cuda") == 8 * one
    assert room.fitted(HOW, PARAMS.model_copy(update={"device": "cuda"}), ABOUT, 16) == (HOW, 1)


def test_a_sample_is_made_with_the_batch_that_fits_and_says_so(models, tmp_path, monkeypatch, caplog):
    seen = []
    real = evaluate.Snapshot.cut
    monkeypatch.setattr(
        evaluate.Snapshot, "cut", lambda self, corners: seen.append(len(corners)) or real(self, corners)
    )
    about = step.networks.read_model(models / "denoiser", DenoiserModel)
    monkeypatch.setattr(room, "available_bytes", lambda: 3 * room.window_bytes(about, 1.0))
    params = SynthesiseParams.model_validate({**SYNTHESISE, "count": 1})
    record = carry_out(step, step.prepare(models, tmp_path / "o.zarr", params, "o", "again"))
    assert max(seen) == 3
    assert "s00000: a batch of 8 windows needs about" in caplog.text and "going on with 3 windows" in caplog.text
    assert open_array(record.path / "samples" / "s00000" / "0").shape == (3, 64, 64)
