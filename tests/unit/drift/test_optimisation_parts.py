"""The parts of drift optimisation against analytic truth and the modules that they mirror."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.drift.optimisation import raw_views, sources, statistics
from tasks.drift.optimisation.cases import Case, cases_of, seen_params, tables_of
from tasks.drift.optimisation.joint import BOUNDS, Joint, adam
from tasks.drift.optimisation.summarise import groups_of
from tasks.drift.optimisation.training import statistics_of
from tasks.drift.statistics import sign
from tasks.errors import ParamsError
from tasks.isp.parametrised import Parametrised, free_only
from tasks.learn import augment
from tasks.learn.data import Examples, Picked
from tasks.learn.networks import build
from tests.unit.drift.optimisation_data import GROUPS, crops, params


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_half_size_takes_each_colour_where_it_was_sampled(pattern: str) -> None:
    """Of a mosaic of a scene of three constants, and of one in which the two greens differ."""
    values = {"R": 0.7, "G": 0.4, "B": 0.1}
    quad = torch.tensor([values[letter] for letter in pattern]).reshape(2, 2)
    mosaic = quad.repeat(3, 4)[None]
    assert torch.equal(
        raw_views.half_size(mosaic, pattern), torch.tensor([0.7, 0.4, 0.1])[:, None, None].expand(1, 3, 3, 4)
    )  # type: ignore[arg-type]
    first = pattern.index("G")
    mosaic[:, first // 2 :: 2, first % 2 :: 2] = 0.6
    np.testing.assert_allclose(raw_views.half_size(mosaic, pattern)[0, 1], 0.5, atol=1e-7)  # type: ignore[arg-type]


def test_tensors_are_augmented_as_arrays_are() -> None:
    how = params(augment={"flips": True, "quarter_turns": True, "brightness_fraction": 0.4, "contrast_fraction": 0.4})
    view = np.random.default_rng(1).random((3, 6, 6)).astype(np.float32)
    drawn = [augment.draw(how.augment, 1, f"t{k}", 0) for k in range(20)]
    assert len({(d.flip_y, d.flip_x, d.quarter_turns) for d in drawn}) > 8
    for one in drawn:
        turned = sources.turn(torch.from_numpy(view), one)
        assert np.array_equal(turned.numpy(), augment.turn(view, one))
        lit = sources.light(turned, one).numpy()
        np.testing.assert_allclose(lit, augment.light(turned.numpy(), one), rtol=0, atol=1e-6)


def test_light_and_turns_pass_gradients() -> None:
    how = augment.Augmentation(True, False, 3, 1.2, 0.8)
    view = torch.rand(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    view.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: sources.light(sources.turn(v, how), how), view)


def joint(groups: tuple[str, ...] = GROUPS) -> Joint:
    data_model = Parametrised("RGGB", "luma")
    free_only(data_model, groups)
    p = params()
    return Joint(build(p.architecture, 2, 1), data_model)


def test_the_stored_task_model_is_the_joint_one_without_its_batch_norm() -> None:
    model, p = joint(), params()
    views = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for scale in (0.3, 0.6, 0.9):
        model(views * scale)
    alone = build(p.architecture, 2, 9)
    alone.load_state_dict(model.task_state())
    with torch.no_grad():
        np.testing.assert_allclose(alone.eval()(views), model.eval()(views), rtol=1e-4, atol=1e-5)


def test_the_batch_norm_goes_by_what_it_is_told_and_sees_small_values() -> None:
    model = joint()
    model.settle([1e-3] * 3, [1e-5] * 3)
    seen = model.eval().normalised(torch.full((1, 3, 2, 2), 1.01e-3))
    np.testing.assert_allclose(seen, 1.0, rtol=0.01)


def test_the_statistics_are_those_of_the_augmented_views() -> None:
    """Against NumPy over the views of the same epoch, each as `tasks.learn.augment` has it."""
    views = np.random.default_rng(1).random((19, 3, 6, 6)).astype(np.float32)
    how, ids = params().augment, tuple(f"t{k}" for k in range(19))
    tiles = Examples(ids, Picked(views, np.arange(19)), np.zeros(19, np.int64), None)
    found = statistics_of(sources.Augmented(sources.Fixed(tiles), ids, tiles.truth, how, 1), 3)
    seen = np.stack([augment.light(v, augment.draw(how, 1, t, 3)) for v, t in zip(views, ids, strict=True)])
    np.testing.assert_allclose(found[0], seen.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found[1], seen.std((0, 2, 3)), rtol=1e-5)


def test_theta_is_kept_within_its_bounds_and_frozen_groups_are_not_touched() -> None:
    model, p = joint(("gamma",)), params()
    assert model.data_model is not None
    before = model.data_model.white_balance.detach().clone()
    optimiser = adam(model, p.train, 100.0)
    model.data_model.gamma.grad = torch.tensor(1.0)
    optimiser.step()
    assert model.data_model.gamma.item() == BOUNDS["gamma"][0]
    assert torch.equal(model.data_model.white_balance, before)


def test_weight_decay_spares_theta() -> None:
    model, p = joint(), params(train={**params().train.model_dump(), "weight_decay": 0.5})
    decays = [(len(g["params"]), g["weight_decay"], g["lr"]) for g in adam(model, p.train, 0.02).param_groups]
    assert decays[1] == (7, 0.0, 0.02) and decays[0][1:] == (0.5, 0.01)


def test_items_and_cases_are_told_apart() -> None:
    p = params(intensities={"low-er": 0.05, "high": 1.0}, raw_intensities=("high",))
    rows = [case.row for case in cases_of(p)]
    assert rows == ["learned-low-er", "frozen-low-er", "learned-high", "frozen-high", "direct-high"]
    for case in cases_of(p):
        assert Case.of(case.item(12)) == (case, 12)


def test_the_side_that_direct_raw_sees() -> None:
    direct, learned = Case("direct", "high"), Case("learned", "high")
    p = params(window_px=24, input_px=32)
    assert seen_params(p, learned, 64) == p
    assert seen_params(p, direct, 64).input_px == 12
    assert seen_params(p, direct, 64).window_px == 24
    assert seen_params(params(input_px=20), direct, 64).input_px == 20
    masks = params(task="segmentation", architecture={"name": "unet_plus_plus", "features": [4] * 6}, input_px=64)
    assert seen_params(masks, direct, 100).input_px == 48
    with pytest.raises(ParamsError, match="tiles of 63 px on raw values; expected 64 px or more"):
        seen_params(masks, direct, 63)


def test_intensities_that_are_not_there_are_refused(tmp_path: Path) -> None:
    raw = crops(tmp_path / "raw.zarr")
    with pytest.raises(ParamsError, match=r"intensity low, 0\.05; expected one of 1\.0"):
        tables_of(raw, params(intensities={"low": 0.05, "high": 1.0}))
    with pytest.raises(ParamsError, match="raw_intensities: lo; expected some of high"):
        cases_of(params(raw_intensities=("lo",)))


def test_only_tiles_of_the_intensity_are_in_its_table(tmp_path: Path) -> None:
    raw = crops(tmp_path / "raw.zarr", intensities=(0.05, 1.0))
    tables = tables_of(raw, params(intensities={"low": 0.05, "high": 1.0}))
    assert [set(t["intensity"]) for t in tables.values()] == [{0.05}, {1.0}]
    assert len(tables["low"]) == len(tables["high"]) == 32


def test_paired_differences_keep_their_sign_and_are_judged_by_their_interval() -> None:
    """By hand: differences .1, .2, .3 have mean .2, sd .1; t(.975, 2) = 4.302653 and the root of .1^2 (1/3 + 1/2) give
    .2 +- .392777. Uncorrected, .248414."""
    found = statistics.paired({0: 0.5, 1: 0.7, 2: 0.8, 9: 1.0}, {0: 0.4, 1: 0.5, 2: 0.5}, 0.95)
    assert found["mean"] == pytest.approx(0.2) and found["sd"] == pytest.approx(0.1) and found["n"] == 3
    assert found["low"] == pytest.approx(-0.192777, abs=1e-6)
    assert sign(found) == 0
    down = statistics.paired({0: 0.1, 1: 0.12, 2: 0.11}, {0: 0.8, 1: 0.82, 2: 0.84}, 0.95)
    assert down["high"] is not None and down["high"] < 0 and sign(down) == -1
    assert sign(statistics.paired({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.4}, 0.95)) == 0, "no spread seen"
    assert sign(statistics.paired({0: 0.5}, {0: 0.4}, 0.95)) == 0
    assert statistics.paired({0: 0.5}, {1: 0.4}, 0.95)["mean"] is None


def test_averages_are_over_points_then_folds() -> None:
    facts = {
        f"learned-high/fold{k}": {
            "history": [[1, "train_loss", 9.0], [2, "validation_accuracy", a], [4, "validation_accuracy", b]],
            "steps_per_epoch": steps,
            "headline": {"test": {"accuracy": None}},
        }
        for k, (a, b, steps) in enumerate([(0.2, 0.4, 3), (0.6, 1.0, 4)])
    }
    case = Case("learned", "high")
    assert statistics.values_of(facts, case, "accuracy", "average") == pytest.approx({0: 0.3, 1: 0.8})
    assert statistics.values_of(facts, case, "accuracy", "final") == {0: 0.4, 1: 1.0}
    assert statistics.values_of(facts, case, "accuracy", "test") == {}
    found = statistics.curve(facts, case, "accuracy", 0.95)
    assert [(p["epoch"], p["step"]) for p in found] == [(2, 7), (4, 14)]
    assert [p["mean"] for p in found] == pytest.approx([0.4, 0.7])


def fact(value: float, test: float | None, fold: int) -> dict[str, Any]:
    return {
        "history": [[1, "validation_accuracy", value]],
        "steps_per_epoch": 1,
        "headline": {"test": {"accuracy": test}},
        "theta": {"gamma": [2.2]},
        "roles": {"train": ["x"], "validation": [f"v{fold}"], "test": ["t0", "t1"]},
    }


@pytest.mark.parametrize(("second", "groups"), [("g9", 1), ("g8", 2)])
def test_a_gain_on_the_tiles_of_one_group_is_not_told_apart(second: str, groups: int) -> None:
    """Three folds gain alike much, but for a little, on validation and test tiles."""
    p = params(raw_intensities=())
    gains = (0.20, 0.21, 0.22)
    facts = {f"frozen-high/fold{k}": fact(0.5, 0.5, k) for k in range(3)}
    facts |= {f"learned-high/fold{k}": fact(0.5 + g, 0.5 + g, k) for k, g in enumerate(gains)}
    table = pd.DataFrame({"tile_id": ["x", "v0", "v1", "v2", "t0", "t1"], "group": ["a", "b", "c", "d", "g9", second]})
    judged = {"high": groups_of(facts, "high", table)}
    assert judged["high"] == {"validation": 3, "test": groups}
    found = {e["on"]: e for e in statistics.document(facts, p, judged, [])["differences"]}
    assert found["final"]["told_apart"] and found["final"]["groups"] == 3
    assert found["test"]["told_apart"] == (groups > 1) and found["test"]["groups"] == groups
    assert found["test"]["value"]["low"] == pytest.approx(found["final"]["value"]["low"]) and sign(
        found["test"]["value"]
    )
