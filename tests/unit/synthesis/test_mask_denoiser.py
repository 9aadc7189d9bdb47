"""The mask denoiser: what it is told and learns, the planted layout that it finds again, masks of any size."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from planted_slides import MASK_DENOISER, carry_out

from tasks import output
from tasks.errors import InputError, ParamsError
from tasks.learn.determinism import one_thread
from tasks.lineage.recipe import read
from tasks.rng import generator, normal
from tasks.synthesis import denoiser, mask_denoiser, mask_denoiser_step, networks, optimise
from tasks.synthesis.canvas import Canvas
from tasks.synthesis.mask_denoiser import (
    Annotations,
    Asked,
    Model,
    WindowLaw,
    draw_batch,
    draw_window,
    generate,
    held_out_losses,
    likeliest,
    one_hot,
    prompt,
)
from tasks.synthesis.mask_params import MaskDenoiserModel, MaskDenoiserParams
from tasks.synthesis.masks import load_bank
from tasks.synthesis.schedule import forward_process


@pytest.fixture
def params():
    return MaskDenoiserParams.model_validate(MASK_DENOISER)


def planted():
    """Two subtypes: large blocks, a third of class 1, and thin stripes, two thirds of it; and one unknown slide."""
    blocks = np.full((64, 64), 2, np.uint8)
    blocks[:, :20], blocks[:, 40:42] = 1, 1
    stripes = np.where(np.arange(64) % 6 < 4, 1, 2)[None].repeat(64, 0).astype(np.uint8)
    return Annotations({"a": blocks, "b": stripes, "c": np.zeros((64, 64), np.uint8)}, {"a": "blocks", "b": "stripes"})


def test_one_hot_has_one_positive_channel_and_comes_back_by_the_likeliest():
    mask = generator(1, "m", "test").integers(0, 4, (9, 70)).astype(np.uint8)
    z = one_hot(mask, 3, 0.5)
    assert z.shape == (4, 9, 70) and set(np.unique(z)) == {-0.5, 0.5} and ((z > 0).sum(0) == 1).all()
    canvas = Canvas(z.shape)
    canvas.write(slice(0, 9), slice(0, 70), z)
    assert np.array_equal(likeliest(canvas), mask)


def test_prompts_are_planes_and_an_unknown_subtype_is_one_line():
    assert prompt(("x", "y"), "y").ravel().tolist() == [0, 1, 0]
    assert prompt(("x", "y"), "").ravel().tolist() == [0, 0, 1]
    assert prompt((), "").ravel().tolist() == [1]
    for known, words in ((("x", "y"), "one of x, y"), ((), "no subtypes")):
        with pytest.raises(InputError, match=words) as caught:
            prompt(known, "z")
        assert "\n" not in str(caught.value)


def test_windows_are_of_the_slides_and_covered():
    law = WindowLaw(16, 0.9, 20)
    draw = generator(2, "w", "test")
    found = [draw_window(planted(), law, draw) for _ in range(60)]
    assert {subtype for _, subtype in found} == {"blocks", "stripes"}
    assert all(window.shape == (16, 16) and (window > 0).all() for window, _ in found)
    turned = [window for window, subtype in found if subtype == "stripes"]
    assert any((w == w[:, :1]).all() for w in turned) and any((w == w[:1]).all() for w in turned)


def test_a_slide_smaller_than_the_window_is_filled_up_with_unknown():
    small = Annotations({"a": np.ones((5, 40), np.uint8)}, {})
    window, subtype = draw_window(small, WindowLaw(16, 0.9, 3), generator(1, "w", "test"))
    assert subtype == "" and window.shape == (16, 16) and (window == 1).sum() == 5 * 16


def test_a_batch_is_a_function_of_the_step_and_unknown_subtypes_get_the_null_prompt(params):
    one, again, other = (draw_batch(planted(), 2, params, step) for step in (3, 3, 4))
    assert torch.equal(one.z0, again.z0) and torch.equal(one.condition, again.condition)
    assert not torch.equal(one.z0, other.z0) and not torch.equal(one.noise, other.noise)
    assert one.condition.shape == (4, 3, 16, 16) and (one.condition.sum(1) == 1).all()
    unknown = Annotations(planted().slides, {})
    assert (draw_batch(unknown, 2, params, 3).condition == 1).all()
    nothing = params.model_copy(update={"p_unconditional": 1.0})
    assert (draw_batch(planted(), 2, nothing, 3).condition[:, -1] == 1).all()


class Oracle(torch.nn.Module):
    """The best answer for one subtype: its masks are all of class 1 (prompt 0) or of class 2 (prompt 1)."""

    def forward(self, z, condition, t):
        truth = torch.full_like(z, -0.5)
        first = condition[:, :1, :1, :1] > 0
        truth[:, 1:2] = torch.where(first, 0.5, -0.5)
        truth[:, 2:3] = torch.where(first, -0.5, 0.5)
        sigma = ((t + 1) / 100).view(-1, 1, 1, 1)
        return (z - (1 - sigma) * truth) / sigma - truth


def test_held_out_losses_tell_own_from_other_prompt(params):
    slides = {"a": np.full((32, 32), 1, np.uint8), "b": np.full((32, 32), 2, np.uint8)}
    held_out = Annotations(slides, {"a": "x", "b": "y"})
    forward = forward_process(params.diffusion)
    found = held_out_losses(Oracle(), held_out, ("x", "y"), 2, params, forward)
    assert set(found) == {"held_out_loss_own_prompt", "held_out_loss_other_prompt", "held_out_loss_null"}
    assert found["held_out_loss_own_prompt"] == pytest.approx(0, abs=1e-6)
    assert found["held_out_loss_other_prompt"] > 0.1
    strangers = Annotations(slides, {"a": "z"})
    assert set(held_out_losses(Oracle(), strangers, ("x", "y"), 2, params, forward)) == {"held_out_loss_null"}
    assert held_out_losses(Oracle(), Annotations({}, {}), ("x", "y"), 2, params, forward) == {}
    blank = Annotations({"a": np.zeros((32, 32), np.uint8)}, {"a": "x"})
    assert held_out_losses(Oracle(), blank, ("x", "y"), 2, params, forward) == {}


def test_held_out_windows_go_through_in_parts_whose_mean_is_that_of_all(params):
    """Hundreds of windows of the paper's size would not fit at once."""
    seen = []

    class Counting(torch.nn.Module):
        def forward(self, z, condition, t):
            seen.append(len(z))
            return torch.full_like(z, 0.25)

    many, held_out = params.model_copy(update={"held_out_windows": 37}), Annotations({"a": np.ones((32, 32), int)}, {})
    found = held_out_losses(Counting(), held_out, (), 2, many, forward_process(params.diffusion))
    assert max(seen) <= 16 and sum(seen) == 37
    noise = normal((37, 3, 16, 16), params.seed, "held-out", "noise")
    missed = 0.25 - (noise - one_hot(np.ones((16, 16), np.uint8), 2, params.signal))
    assert found == {"held_out_loss_null": pytest.approx(float(np.mean(missed**2)), rel=1e-5)}


def model_of(params, network):
    about = MaskDenoiserModel(
        kind="mask_denoiser",
        architecture=params.architecture,
        diffusion=params.diffusion,
        classes=("r", "b"),
        subtypes=("blocks", "stripes"),
        window_px=params.window_px,
        reduction=params.reduction,
        signal=params.signal,
    )
    forward = forward_process(params.diffusion)
    return Model((denoiser.predictor(network, forward),), forward, about)


@pytest.mark.parametrize("size", [(64, 64), (30, 50), (90, 200), (200, 61)])
def test_masks_have_any_size_and_follow_the_prompt(params, size, tmp_path):
    model = model_of(params, Oracle())
    for subtype, index in (("blocks", 1), ("stripes", 2)):
        asked = Asked(subtype, size, 3, "s", 8, 32)
        found = generate(model, asked, params.comparison.sampler, tmp_path / subtype)
        seen = found.read((slice(0, size[0]), slice(0, size[1])))
        assert seen.shape == size and (seen == index).all()
        assert (found.subtype, found.origin, found.source) == (subtype, "generated", ())


def test_a_killed_generation_goes_on_to_the_same_mask(params, tmp_path):
    network = networks.denoiser(params.architecture, 3, 3)
    networks.initialise(network, 5)
    asked = Asked("blocks", (90, 120), 3, "s", 0, 0)
    whole = generate(model_of(params, network), asked, params.comparison.sampler, None)
    assert len(np.unique(whole.small)) > 1
    calls = []

    class Killed(torch.nn.Module):
        def forward(self, z, condition, t):
            calls.append(int(t[0]))
            if len(set(calls)) > 1:
                raise KeyboardInterrupt
            return network(z, condition, t)

    with pytest.raises(KeyboardInterrupt):
        generate(model_of(params, Killed()), asked, params.comparison.sampler, tmp_path / "scratch")
    again = generate(model_of(params, network), asked, params.comparison.sampler, tmp_path / "scratch")
    assert np.array_equal(again.small, whole.small)


@one_thread()
def test_a_planted_layout_is_found_again_by_its_prompt(params, tmp_path):
    """After some hundred steps the share of class 1 follows the prompt: 0.34 in blocks, 0.67 in stripes."""
    fit = params.fit.model_copy(update={"batch": 8, "steps": 150, "max_learning_rate": 6e-3, "ema_decay": 0.95})
    own = params.model_copy(update={"fit": fit, "minimum_coverage": 0.9, "candidates": 20})
    bank = planted()
    network = networks.denoiser(own.architecture, 3, 3)
    networks.initialise(network, 5)
    forward = forward_process(own.diffusion)
    objective = optimise.Objective(
        lambda step, rows: draw_batch(bank, 2, own, step, rows),
        lambda batch, step: denoiser.loss(network, denoiser.Batch(*batch), forward),
    )
    run = optimise.fit_network(network, objective, fit, tmp_path / "c", "m")
    network.load_state_dict(run.average)
    network.eval()
    how = own.comparison.sampler.model_copy(update={"steps": 10, "guidance": 0.0, "law": "grid"})
    shares = {}
    for subtype in ("blocks", "stripes"):
        asked = Asked(subtype, (256, 256), 3, subtype, 0, 0)
        shares[subtype] = float((generate(model_of(own, network), asked, how, None).small == 1).mean())
    assert shares["blocks"] < 0.45 < shares["stripes"] - 0.05


def test_the_folder_holds_model_bank_frequencies_and_figures(mask_model):
    about = json.loads((mask_model / "model.json").read_bytes())
    assert about["classes"] == ["red", "blue"] and about["subtypes"] == ["one", "two"] and about["reduction"] == 4
    bank = load_bank(mask_model)
    assert bank.subtypes == {"a": "one", "b": "two"} and bank.slides["a"].shape == (32, 32)
    metrics = json.loads((mask_model / "metrics.json").read_bytes())
    losses = {f"held_out_loss_{n}" for n in ("own_prompt", "other_prompt", "null")}
    assert losses | {"final_loss", "label_distance_one_64", "label_distance_two_96_chance"} <= set(metrics)
    rows = pd.read_parquet(mask_model / "frequencies.parquet")
    sums = rows.groupby("masks")[["real", "generated"]].sum()
    assert sums.to_numpy() == pytest.approx(np.ones((4, 2)))
    tiles = pd.read_parquet(mask_model / "tiles.parquet")
    assert set(tiles["role"]) == {"mask"} and {t[0] for t in tiles["tile_id"]} == {"a", "b"}
    for name in mask_denoiser_step.FIGURES:
        assert (mask_model / name).read_bytes().startswith(b"\x89PNG")
    assert mask_denoiser.load(mask_model).about.window_px == 16


def test_a_killed_training_resumes_to_the_same_folder(mask_model, raw, params, tmp_path, monkeypatch):
    real = optimise._one_step

    def killed(run, *rest):
        if run.step == 3:
            raise KeyboardInterrupt
        return real(run, *rest)

    job = mask_denoiser_step.prepare(raw, mask_model.parent / "again", params)
    monkeypatch.setattr(optimise, "_one_step", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(mask_denoiser_step, job)
    monkeypatch.setattr(optimise, "_one_step", real)
    assert output.todo(job)
    assert carry_out(mask_denoiser_step, job).root == read(mask_model)["output"]["root"]


def test_a_window_that_the_network_cannot_halve_is_refused(raw, params, tmp_path):
    with pytest.raises(ParamsError, match="a multiple of 2"):
        mask_denoiser_step.prepare(raw, tmp_path / "m", params.model_copy(update={"window_px": 15}))
