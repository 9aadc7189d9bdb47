"""The kernels of drift forensics against differences, closed forms and planted thresholds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.contracts import Calibration
from tasks.drift.forensics import ranges, search
from tasks.drift.forensics.measure import chosen
from tasks.drift.forensics.space import UNITS, names, space
from tasks.drift.mosaics import Mosaics
from tasks.isp.parametrised import GROUPS, HALO_PX, Parametrised, static
from tasks.learn.determinism import one_thread
from tasks.learn.networks import build
from tests.unit.drift.conftest import CAMERA
from tests.unit.drift.forensics_data import BRIGHT, CONSTANT, RED, RESIDUAL, params

SIDE = 32 + 2 * HALO_PX
CALIBRATION = Calibration.model_validate(CAMERA)


@pytest.fixture(autouse=True)
def _single() -> Iterator[None]:
    with one_thread():
        yield


def model_of() -> Parametrised:
    return static(CALIBRATION, "luma")


def mosaics_of(pixels: np.ndarray) -> Mosaics:
    n = len(pixels)
    truth = np.arange(n, dtype=np.int64) % 2
    ids = tuple(f"t{i}" for i in range(n))
    return Mosaics(ids, ids, pixels.astype(np.float32), truth, None, CALIBRATION)


def subject_of(task: object = RED, pixels: np.ndarray | None = None, batch_tiles: int = 3) -> search.Subject:
    noise = np.random.default_rng(1).uniform(0.05, 0.35, (6, SIDE, SIDE)) if pixels is None else pixels
    network = build(task.architecture, 2, 1).eval().requires_grad_(False)
    return search.subject(network, model_of(), mosaics_of(noise), task, batch_tiles)


def test_zero_is_theta_stat_to_the_bit_and_other_groups_stay() -> None:
    still, moved = model_of(), model_of()
    box = space(moved, ("gamma", "white_balance"))
    box.place(moved, torch.ones(box.size))
    assert all(
        torch.equal(moved.get_parameter(g), still.get_parameter(g)) == (g not in ("gamma", "white_balance"))
        for g in GROUPS
    )
    box.place(moved, torch.zeros(box.size))
    assert all(torch.equal(moved.get_parameter(g), still.get_parameter(g)) for g in GROUPS)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_nothing_breaks_at_the_corners_of_the_box(side: float) -> None:
    model = model_of()
    box = space(model, GROUPS)
    box.place(model, side * torch.ones(box.size))
    assert model.gamma >= 1 - 1e-6 and bool((model.white_balance >= 0).all())
    view = model(torch.rand(1, SIDE, SIDE))
    assert bool(view.isfinite().all())


def test_every_group_has_a_unit_and_each_small_one_names() -> None:
    assert set(UNITS) == set(GROUPS)
    for group in ("black_level", "white_balance", "colour_matrix", "gamma"):
        assert len(set(names(group, "RGGB"))) == space(model_of(), (group,)).size
    with pytest.raises(KeyError):
        space(model_of(), ("lens",))


@pytest.mark.parametrize("group", GROUPS)
def test_the_slope_is_that_of_finite_differences(group: str) -> None:
    what, weight = subject_of(RED), 30.0
    box = space(what.model, (group,))
    u = 0.05 * torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, box.size).astype(np.float32))
    slope = search.evaluate(what, box, u, weight, True).slope
    way = slope / slope.norm()
    eps = 2e-3
    ends = [search.evaluate(what, box, u + side * eps * way, weight, False) for side in (1, -1)]
    measured = (search.objective(ends[0], weight) - search.objective(ends[1], weight)) / (2 * eps)
    assert measured == pytest.approx(float(slope.norm()), rel=0.05)


def test_batches_only_bound_memory() -> None:
    together, apart = subject_of(RESIDUAL, batch_tiles=6), subject_of(RESIDUAL, batch_tiles=4)
    box = space(together.model, GROUPS)
    u = torch.full((box.size,), 0.01)
    one, other = (search.evaluate(what, box, u, 5.0, True) for what in (together, apart))
    assert one.loss == pytest.approx(other.loss, rel=1e-5) and one.l2 == pytest.approx(other.l2, rel=1e-4)
    assert one.metric == other.metric
    torch.testing.assert_close(one.slope, other.slope, rtol=1e-3, atol=1e-5)


def test_batches_only_bound_memory_of_a_segmentation_with_dice_too() -> None:
    """Tiles all of background, all of foreground and in between: pooled, Dice would depend on who is with whom."""
    pixels = np.random.default_rng(1).uniform(0.05, 0.35, (6, SIDE, SIDE)).astype(np.float32)
    truth = np.zeros((6, SIDE - 2 * HALO_PX, SIDE - 2 * HALO_PX), np.int64)
    truth[1], truth[2, :8], truth[5, :2] = 1, 1, 1
    tiles = replace(mosaics_of(pixels), truth=truth)
    network = build(BRIGHT.architecture, 2, 1).eval().requires_grad_(False)
    points = []
    for batch in (6, 4, 1):
        what = search.subject(network, model_of(), tiles, BRIGHT, batch)
        box = space(what.model, GROUPS)
        points.append(search.evaluate(what, box, torch.full((box.size,), 0.01), 5.0, True))
    for point in points[1:]:
        assert point.loss == pytest.approx(points[0].loss, rel=1e-5) and point.metric == points[0].metric
        torch.testing.assert_close(point.slope, points[0].slope, rtol=1e-3, atol=1e-5)


def test_gradients_stay_finite_near_black() -> None:
    black = CAMERA["black_level_dn"][0] / 65535
    tiny = np.float32(black) + np.random.default_rng(3).choice([-1e-9, 0, 1e-9, 1e-8, 1e-7], (6, SIDE, SIDE))
    for pixels in (tiny, np.full((6, SIDE, SIDE), black), np.zeros((6, SIDE, SIDE)), np.full((6, SIDE, SIDE), 1e-38)):
        what = subject_of(RESIDUAL, pixels)
        box = space(what.model, GROUPS)
        for u in (torch.zeros(box.size), torch.full((box.size,), 1e-6)):
            search.evaluate(what, box, u, 1.0, True)
            assert bool(box.slope(what.model).isfinite().all())


def test_l2_is_the_mean_square_of_the_change() -> None:
    what = subject_of(pixels=np.full((4, SIDE, SIDE), 0.2))
    box = space(what.model, ("gamma",))
    point = search.evaluate(what, box, torch.ones(1), 0.0, False)
    box.place(what.model, torch.ones(1))
    seen = what.model(what.mosaics)[..., HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
    assert point.l2 == pytest.approx(float(((seen - what.still) ** 2).mean()), rel=1e-5) and point.l2 > 1e-4


def test_a_larger_lambda_never_moves_the_views_further_and_theta_stat_is_the_limit() -> None:
    what = subject_of(RED)
    box = space(what.model, GROUPS)
    start, weights = search.origin(what, box), (0.0, 1.0, 100.0, 1e4, 1e12)
    visited = [point for w in weights for point in search.descend(what, box, start, w, 6, 0.1)]
    solutions = [search.solution(visited, w) for w in weights]
    moved = [point.l2 for point in solutions]
    assert moved == sorted(moved, reverse=True) and moved[0] > moved[-1] == 0
    assert torch.equal(solutions[-1].u, torch.zeros(box.size))
    assert solutions[0].loss > start.loss
    assert all(float(point.u.abs().max()) <= 1 for point in visited)


def test_a_step_that_overshoots_is_taken_back() -> None:
    what = subject_of(RED)
    box = space(what.model, ("gamma",))
    start, weight = search.origin(what, box), 100.0
    path = search.descend(what, box, start, weight, 10, 1.0)
    best = search.solution(path, weight)
    assert search.objective(best, weight) < search.objective(start, weight)


def test_ascent_stays_in_its_box_and_finds_the_harmful_corner() -> None:
    what = subject_of(pixels=np.linspace(0.1, 0.3, 6)[:, None, None] * np.ones((1, SIDE, SIDE)))
    box = space(what.model, ("white_balance",))
    starts = ranges.drawn(box, 1, "x", "start", 3)
    worst = search.ascend(what, box, 0.2, starts, lambda point: False)
    assert float(worst.u.abs().max()) <= 0.2 + 1e-7
    corners = [search.evaluate(what, box, 0.2 * torch.tensor([red, 0.0, 0.0]), 0.0, False) for red in (-1.0, 1.0)]
    assert worst.metric <= min(corner.metric for corner in corners)


def test_ascent_climbs_from_theta_stat_to_the_one_harmful_side() -> None:
    what = subject_of(pixels=np.full((4, SIDE, SIDE), 0.16))
    what = replace(what, truth=torch.zeros(4, dtype=torch.int64))  # less red is harm
    box = space(what.model, ("white_balance",))
    worst = search.ascend(what, box, 0.5, [torch.zeros(3)], lambda point: False)
    assert float(worst.u[0]) == -0.5 and worst.metric == 0 and search.origin(what, box).metric == 1


def test_a_network_that_gives_no_number_is_not_chosen() -> None:
    class Broken(torch.nn.Module):
        def forward(self, views: torch.Tensor) -> torch.Tensor:
            return views.mean(dim=(2, 3))[:, :2] / 0 * 0

    what = subject_of(CONSTANT)
    what = replace(what, network=Broken())
    box = space(what.model, ("gamma",))
    point = search.evaluate(what, box, torch.zeros(1), 0.0, True)
    assert point.loss == search.NO_NUMBER and not bool(point.slope.any())


@pytest.mark.parametrize("planted", [0.004, 0.03, 0.2, 0.9])
def test_bisection_finds_a_planted_limit(planted: float) -> None:
    found = search.limit(lambda radius: radius <= planted, 8)
    assert planted / 2 ** (8 / 2**8) <= found <= planted


def test_bisection_at_the_ends() -> None:
    assert search.limit(lambda radius: True, 3) == 1
    assert search.limit(lambda radius: False, 3) == 0


class Tiles:
    """Stands for a trial on tiles that bear |u| up to `most`."""

    def __init__(self, most: float) -> None:
        self.most = most

    def at(self, model: Any, space: Any, u: torch.Tensor) -> tuple[float, dict[str, Any]]:
        return float(u.abs().max() > self.most), {}

    def keeps(self, loss: float) -> bool:
        return loss == 0


@pytest.mark.parametrize(
    ("cut", "confirm", "reach", "confirmed"),
    [(1.0, 1.0, 0.8, True), (0.3, 1.0, 0.2, True), (0.3, 0.15, 0.2, False), (1.0, 0.5, 0.8, False), (0, 1.0, 0, False)],
)
def test_a_range_is_cut_on_some_tiles_and_judged_on_others(
    cut: float, confirm: float, reach: float, confirmed: bool
) -> None:
    trials: Any = ranges.Trials(Tiles(0.8), Tiles(cut), Tiles(confirm))
    box = space(Parametrised("RGGB", "luma"), ("gamma",))
    found = ranges.single(trials, None, box, 0, 1.0, 12)
    assert found.searched == pytest.approx(0.8, abs=2e-3) and found.searched <= 0.8
    assert found.reach == pytest.approx(reach, abs=1e-3) and found.confirmed == confirmed


def test_without_tiles_for_it_nothing_is_cut() -> None:
    assert ranges.kept(None, None, None, 0.7, []) == 0.7


def test_cutting_halves_until_it_holds() -> None:
    assert ranges.cut(lambda radius: radius <= 0.3, 0.8) == 0.2
    assert ranges.cut(lambda radius: True, 0.8) == 0.8
    assert ranges.cut(lambda radius: False, 0.8) == 0


def test_searched_tiles_are_alike_from_each_class_and_do_not_depend_on_the_others() -> None:
    table = pd.DataFrame({"tile_id": [f"t{i}" for i in range(30)]})
    truth = np.array([0] * 20 + [1] * 7 + [2] * 3, dtype=np.int64)
    rows = chosen(table, truth, range(30), 12, 1)
    assert np.bincount(truth[rows]).tolist() == [5, 4, 3] and rows == sorted(rows)
    assert set(chosen(table, truth, range(30), 6, 1)) < set(rows)
    assert chosen(table, truth, range(30), None, 1) == list(range(30))


def test_draws_depend_on_their_name_alone() -> None:
    box = space(model_of(), ("blur",))
    first, second = ranges.drawn(box, 1, "a", "start", 2)
    assert torch.equal(ranges.drawn(box, 1, "a", "start", 1)[0], first) and not torch.equal(first, second)
    assert not torch.equal(ranges.drawn(box, 2, "a", "start", 1)[0], first)
    assert len(ranges.directions(space(model_of(), ("white_balance",)), [], params(), "x")) == 8 + params().range_draws
