"""Intervals against closed forms, and by simulation: they must hold the truth as often as they say."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, stats

from tasks.drift import statistics
from tasks.drift.metric import main_value
from tasks.drift.statistics import Sampled, difference, folds, groups, interval, quotient, sign, without_width
from tasks.learn.metrics import spread
from tasks.learn.params import TaskParams
from tests.unit.drift.conftest import classification

TASK = TaskParams.model_validate(classification())


def of_groups(right: np.ndarray, tiles: np.ndarray) -> Sampled:
    """Accuracy, pooled over groups with `right` of `tiles`."""
    without = (right.sum() - right) / (tiles.sum() - tiles)
    return groups(right.sum() / tiles.sum(), without)


def test_groups_of_alike_many_tiles_give_students_interval_of_their_values() -> None:
    values = np.array([0.6, 0.7, 0.65, 0.8])
    found = interval(of_groups(100 * values, np.full(4, 100)), 0.95)
    plain = spread(list(values), 0.95)
    assert found["sd"] is None and found["n"] == plain["n"] == 4
    assert [found[k] for k in ("mean", "low", "high")] == pytest.approx([plain[k] for k in ("mean", "low", "high")])


def covered(count: int, drawn: Callable[[np.random.Generator, int], tuple[float, Sampled]]) -> float:
    g, held = np.random.default_rng(count), 0
    for _ in range(800):
        truth, of = drawn(g, count)
        cell = interval(of, 0.95, np.inf, -np.inf)
        held += cell["low"] <= truth <= cell["high"]
    return held / 800


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_intervals_over_few_groups_hold_the_truth_as_often_as_they_say(count: int) -> None:
    """Groups' accuracies are normal, tiles are drawn within them; 800 draws know coverage to 0.02 (two deviations).
    The percentile bootstrap holds it in 0.51, 0.72, 0.80, 0.83 and 0.88."""

    def drawn(g: np.random.Generator, n: int) -> tuple[float, Sampled]:
        rates, tiles = np.clip(g.normal(0.7, 0.05, n), 0, 1), np.full(n, 200)
        return 0.7, of_groups(g.binomial(tiles, rates), tiles)

    assert 0.93 <= covered(count, drawn) <= 0.97


@pytest.mark.parametrize("count", [3, 5, 8])
def test_groups_of_unlike_size_cost_little(count: int) -> None:
    def drawn(g: np.random.Generator, n: int) -> tuple[float, Sampled]:
        rates, tiles = np.clip(g.normal(0.7, 0.05, n), 0, 1), g.integers(100, 300, n)
        return 0.7, of_groups(g.binomial(tiles, rates), tiles)

    assert covered(count, drawn) >= 0.90


@pytest.mark.parametrize("count", [3, 5])
def test_intervals_over_folds_hold_the_truth_where_folds_are_alike(count: int) -> None:
    """Values that share a part as the correction assumes: correlated by the share of the tested tiles, 1/k. Plain
    intervals hold it too seldom."""

    def drawn(g: np.random.Generator, n: int) -> tuple[float, Sampled]:
        return 0.0, folds(g.normal() * np.sqrt(1 / n) + g.normal(size=n) * np.sqrt(1 - 1 / n))

    def plain(g: np.random.Generator, n: int) -> tuple[float, Sampled]:
        of = drawn(g, n)[1]
        return 0.0, Sampled(of.estimate, of.values, 1 / n, "fold")

    assert 0.93 <= covered(count, drawn) <= 0.97
    assert covered(count, plain) < 0.90


def test_the_interval_over_folds_is_the_corrected_one_and_the_deviation_stays() -> None:
    cell = interval(folds([0.4, 0.5, 0.6]), 0.95, 9, -9)
    half = stats.t.ppf(0.975, 2) * 0.1 * np.sqrt(1 / 3 + 1 / 2)
    assert [cell[k] for k in ("mean", "sd", "low", "high", "n")] == pytest.approx([0.5, 0.1, 0.5 - half, 0.5 + half, 3])
    cut = interval(folds([0.1, 0.9]), 0.95)
    assert (cut["low"], cut["high"]) == (0, 1)


@pytest.mark.parametrize("of", [folds([0.3]), groups(0.3, [float("nan")])])
def test_one_value_gives_no_interval(of: Sampled) -> None:
    assert interval(of, 0.9) == {"mean": 0.3, "sd": None, "low": None, "high": None, "n": 1.0}
    assert quotient(of, of, 0.9) == {"value": 1.0, "low": None, "high": None}
    assert sign(interval(of, 0.9)) == 0 and not without_width(interval(of, 0.9))


def test_rounding_makes_no_evidence() -> None:
    """Differences that are equal but for rounding would tell anything apart."""
    alike = [0.9 - 0.8, 0.8 - 0.7, 0.4 - 0.3]
    cell = difference(folds(alike), 0.95)
    assert len(set(alike)) == 3 and np.std(alike, ddof=1) > 0
    assert cell["sd"] == 0 and without_width(cell) and sign(cell) == 0


def test_a_difference_is_told_by_its_sign() -> None:
    for values, told in (([0.1, 0.12, 0.11], 1), ([-0.1, -0.12, -0.11], -1), ([0.1, -0.1, 0.2], 0)):
        assert sign(difference(folds(values), 0.95)) == told


def test_fiellers_interval_is_where_the_difference_is_not_told() -> None:
    """q is in it exactly where above - q below is not told from 0, by the same variances."""
    above, below = np.array([0.5, 0.62, 0.55, 0.6]), np.array([0.1, 0.13, 0.12, 0.09])
    found = quotient(folds(above), folds(below), 0.9)

    def least(q: float) -> float:
        cell = interval(folds(above - q * below), 0.9, np.inf, -np.inf)
        return cell["low"] * cell["high"]

    ends = [optimize.brentq(least, *span) for span in ((2.0, found["value"]), (found["value"], 60.0))]
    assert found["value"] == pytest.approx(above.mean() / below.mean())
    assert [found["low"], found["high"]] == pytest.approx(ends, rel=1e-6)


def test_a_ratio_has_no_interval_where_its_divisor_may_be_0() -> None:
    loose = quotient(folds([0.5, 0.6, 0.55]), folds([0.2, -0.05, 0.1]), 0.95)
    assert loose["value"] == pytest.approx(0.55 / 0.25 * 3) and (loose["low"], loose["high"]) == (None, None)
    assert quotient(folds([0.5, 0.6]), folds([-0.1, -0.2]), 0.95) == {"value": None, "low": None, "high": None}


def test_the_main_metric_of_many_at_once() -> None:
    parts = np.array([[[3, 0, 1], [2, 1, 0]], [[0, 0, 4], [1, 0, 3]]])
    assert main_value(parts, TASK).tolist() == [5 / 6, 1 / 8]
    assert np.isnan(main_value(np.zeros((2, 3)), TASK))


def test_a_covariance_is_that_of_the_values() -> None:
    a, b = folds([0.1, 0.5, 0.2]), folds([0.3, 0.9, 0.1])
    assert a.covariance(b) == pytest.approx(np.cov(a.values, b.values)[0, 1] * (1 / 3 + 1 / 2))
    assert statistics.difference(a, 0.5)["n"] == 3
