"""The copy test against drawn truths: its alarms where nothing is copied, and what it finds where something is."""

import math

import numpy as np
import pytest

from tasks.evaluation.manifold import copy_ratios, copy_test, detectable, p_value, two_sets
from tasks.rng import generator
from tests.unit.evaluation.conftest import EVALUATE

N, TILES, D = 160, 60, 6


def clouds(i: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training tiles of two slides, synthetic tiles of their law, a held-out slide's; slides lie `shift` apart."""
    rng = generator(9, str(i), "clouds")
    slides = rng.normal(0, shift, (3, D))
    train = rng.standard_normal((N, D)) + slides[np.repeat([0, 1], N // 2)]
    synthetic = rng.standard_normal((TILES, D)) + slides[rng.integers(0, 2, TILES)]
    return train, synthetic, rng.standard_normal((N, D)) + slides[2]


def alarms(shift: float, draws: int) -> float:
    found = []
    for i in range(draws):
        train, synthetic, _ = clouds(i, shift)
        params = EVALUATE.model_copy(update={"seed": i})
        found.append(copy_test(synthetic, train, np.arange(N) // 4, params)["p_value"] < 0.05)
    return float(np.mean(found))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_false_alarms_stay_near_nominal_however_far_slides_lie_apart(shift: float) -> None:
    assert alarms(shift, 80) < 0.13


def test_a_heldout_slide_as_null_would_raise_alarms() -> None:
    """What the calibration inside the training tiles is for: near 1/20 if the held-out slide were a fair null."""
    found = []
    for i in range(40):
        train, synthetic, heldout = clouds(i, 2.0)
        ours, null = (copy_ratios(q, train, 3) for q in (synthetic, heldout))
        threshold = np.quantile(null, 0.05)
        found.append(p_value(int((ours < threshold).sum()), TILES, int((null < threshold).sum()), N) < 0.05)
    assert np.mean(found) > 0.5


def test_planted_copies_are_found_from_the_detectable_share_on() -> None:
    for i in range(20):
        train, synthetic, _ = clouds(i, 1.0)
        groups = np.arange(N) // 4
        share = copy_test(synthetic, train, groups, EVALUATE)["detectable"]
        count = round(share * TILES)
        synthetic[:count] = train[generator(9, str(i), "copied").permutation(N)[:count]] + 1e-6
        found = copy_test(synthetic, train, groups, EVALUATE)
        assert found["flagged"] >= count and found["p_value"] < 0.05


def test_the_detectable_share_falls_with_the_tiles_and_may_not_be_there() -> None:
    few, many = (detectable(n, [3, 3], [250, 250], 0.05) for n in (40, 400))
    assert few is not None and many is not None and many < few / 2
    assert detectable(2, [3, 3], [20, 20], 0.05) is None


def test_the_two_sets_keep_blocks_whole_and_share_every_slide() -> None:
    groups = np.repeat(np.arange(32), 5)
    a, b = two_sets(groups, 1, "x")
    assert sorted([*a, *b]) == list(range(160))
    assert not set(groups[a]) & set(groups[b])
    assert (groups[a] < 16).sum() == (groups[b] < 16).sum() == 40
    assert not np.array_equal(a, two_sets(groups, 2, "x")[0])


def test_ratios_of_copies_are_zero_and_of_fresh_draws_near_one() -> None:
    rng = generator(2, "train", "cloud")
    train, fresh = rng.standard_normal((2, 80, 3))
    assert copy_ratios(train[:5], train, 3).tolist() == [0] * 5
    assert 0.5 < np.median(copy_ratios(fresh, train, 3)) < 2


def test_coinciding_originals_give_zero_or_infinity() -> None:
    originals = np.zeros((4, 2))
    assert copy_ratios(np.array([[0.0, 0.0], [1.0, 0.0]]), originals, 2).tolist() == [0.0, math.inf]
