"""Resampling: intervals cover the truth as often as they say, p-values are honest, draws are reproducible."""

import numpy as np
import pytest

from tasks.evaluation.distances import frechet
from tasks.evaluation.intervals import Estimate, bootstrap, half_sampling, permutation_test
from tasks.rng import generator


def sample(i: int, n: int = 40) -> np.ndarray:
    return generator(3, str(i), "sample").standard_normal(n)


def test_bootstrap_covers_the_mean_at_its_confidence() -> None:
    hits = 0
    for i in range(300):
        x = sample(i)
        found = bootstrap(lambda rows, x=x: float(x[rows].mean()), 40, 120, 0.9, 1, str(i))
        hits += found.low <= 0 <= found.high
    assert 0.84 < hits / 300 < 0.94


def test_half_sampling_covers_a_difference_of_means_at_its_confidence() -> None:
    hits = 0
    for i in range(300):
        a, b = sample(i), sample(1000 + i)
        groups = (np.arange(40), np.arange(40))
        (found,) = half_sampling(lambda r, s, a=a, b=b: [a[r].mean() - b[s].mean()], groups, 120, 0.9, 1, str(i))
        hits += found.low <= 0 <= found.high
    assert 0.84 < hits / 300 < 0.95


def test_half_sampling_keeps_groups_whole_and_draws_half_of_them() -> None:
    groups = np.repeat(np.arange(6), 4)
    seen: list[np.ndarray] = []
    half_sampling(lambda r, s: [float(len(seen.append(r) or r))], (groups, groups), 20, 0.9, 1, "x")
    for rows in seen[1:]:
        names, counts = np.unique(groups[rows], return_counts=True)
        assert len(names) == 3 and counts.tolist() == [4, 4, 4]


def test_grouped_rows_widen_the_interval() -> None:
    """Four copies of ten values know no more than the ten."""
    x = np.repeat(sample(1, 10), 4)
    wide, narrow = (
        half_sampling(lambda r, s: [x[r].mean()], (g, np.arange(4)), 400, 0.9, 1, "x")[0]
        for g in (np.repeat(np.arange(10), 4), np.arange(40))
    )
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_draws_depend_on_seed_and_item_alone() -> None:
    x = sample(0)

    def run(seed: int, item: str) -> Estimate:
        return bootstrap(lambda rows: float(x[rows].mean()), 40, 30, 0.9, seed, item)

    assert run(1, "a") == run(1, "a")
    assert run(1, "a") != run(2, "a") and run(1, "a") != run(1, "b")


def test_permutation_p_value_is_uniform_without_and_minimal_with_an_effect() -> None:
    def p(i: int, effect: float) -> float:
        x = sample(i, 12)
        y = effect * x + sample(500 + i, 12)
        return permutation_test(lambda order: float((x * y[order]).mean()), np.zeros(12), 99, 0.9, 1, str(i)).p_value

    null = np.array([p(i, 0.0) for i in range(200)])
    assert 0.02 < (null <= 0.1).mean() < 0.18
    assert p(0, 50.0) == 0.01


def test_shuffled_partners_stay_in_their_stratum_and_none_keeps_its_own() -> None:
    strata, seen = np.array([0, 0, 1, 1, 1]), []
    found = permutation_test(lambda order: float(len(seen.append(order) or order)), strata, 30, 0.9, 1, "x")
    orders = np.array(seen[:-1])
    assert (strata[orders] == strata).all() and (np.sort(orders) == np.arange(5)).all()
    assert (orders[:30] == np.arange(5)).any() and not (orders[30:] == np.arange(5)).any()
    assert found.p_value == 1.0


def test_few_permutations_prove_nothing() -> None:
    """Of two partners the identity is one of two permutations: p is about 1/2, however well it fits."""
    found = permutation_test(lambda order: float((order == np.arange(2)).all()), np.zeros(2), 200, 0.9, 1, "x")
    assert (found.observed, found.mean) == (1.0, 0.0)
    assert 0.4 < found.p_value < 0.6
    with pytest.raises(ValueError, match="shuffled"):
        permutation_test(lambda order: 0.0, np.array([0, 0, 1]), 5, 0.9, 1, "x")


def coverage(shift: float, n: int = 80, d: int = 16, runs: int = 60) -> tuple[float, float]:
    """How often a Fréchet distance's 90 % interval holds its expectation at this n, and its width over the true one."""
    a, b = (generator(4, f"{side} {n} {d}", "cloud").standard_normal((runs, n, d)) for side in "ab")
    a = a + shift / np.sqrt(d)
    groups = (np.arange(n), np.arange(n))
    found = [
        half_sampling(lambda r, s, i=i: [frechet(a[i][r], b[i][s])], groups, 40, 0.9, 1, str(i))[0] for i in range(runs)
    ]
    values = np.array([f.value for f in found])
    width = np.mean([f.high - f.low for f in found]) / np.ptp(np.quantile(values, [0.05, 0.95]))
    return float(np.mean([f.low <= values.mean() <= f.high for f in found])), float(width)


def test_frechet_intervals_cover_where_laws_differ_and_are_too_wide_where_they_are_equal() -> None:
    (apart, fair), (equal, wide) = coverage(2.0), coverage(0.0)
    assert 0.8 < apart < 0.97 and equal > 0.95
    assert 0.8 < fair < 1.3 and 1.4 < wide < 2.5


def test_undefined_values_become_null() -> None:
    assert Estimate(float("nan"), 0.0, 1.0).document() == {"value": None, "low": 0.0, "high": 1.0}
