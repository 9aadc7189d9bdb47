"""Resampling: intervals cover the truth as often as they say, p-values are honest, draws are reproducible."""

import numpy as np
import pytest

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
        return permutation_test(lambda order: float((x * y[order]).mean()), 12, 99, 0.9, 1, str(i)).p_value

    null = np.array([p(i, 0.0) for i in range(200)])
    assert 0.02 < (null <= 0.1).mean() < 0.18
    assert p(0, 50.0) == 0.01


def test_permutation_never_draws_the_identity_and_needs_two() -> None:
    found = permutation_test(lambda order: float((order == np.arange(2)).all()), 2, 20, 0.9, 1, "x")
    assert (found.observed, found.mean) == (1.0, 0.0)
    with pytest.raises(ValueError, match="shuffled"):
        permutation_test(lambda order: 0.0, 1, 5, 0.9, 1, "x")


def test_undefined_values_become_null() -> None:
    assert Estimate(float("nan"), 0.0, 1.0).document() == {"value": None, "low": 0.0, "high": 1.0}
