"""Manifold shares and neighbours on cases that a pencil solves."""

import numpy as np
import pytest

from tasks.evaluation.manifold import fidelity, nearest, radii

LINE = np.arange(6, dtype=float)[:, None]


def test_radii_of_points_on_a_line() -> None:
    assert radii(LINE, 1).tolist() == [1] * 6
    assert radii(LINE, 2).tolist() == [2, 1, 1, 1, 1, 2]


def test_a_repeated_point_has_radius_zero_and_is_not_its_own_neighbour() -> None:
    assert radii(np.array([[0.0], [0.0], [5.0]]), 1).tolist() == [0, 0, 5]


def test_a_copy_of_the_real_set_is_perfect() -> None:
    found = fidelity(LINE, LINE.copy(), 1)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_a_far_set_scores_zero() -> None:
    found = fidelity(LINE, LINE + 100, 2)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_one_mode_of_two_has_full_precision_and_half_recall() -> None:
    two = np.concatenate([LINE, LINE + 1000])
    found = fidelity(two, LINE.copy(), 1)
    assert (found.precision, found.recall) == (1.0, 0.5)


def test_half_good_fakes_have_half_precision() -> None:
    found = fidelity(LINE, np.concatenate([LINE, LINE + 1000]), 1)
    assert (found.precision, found.recall) == (0.5, 1.0)


@pytest.mark.parametrize("k", [0, 6])
def test_k_must_leave_other_points(k: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        radii(LINE, k)


def test_nearest_gives_order_distance_and_lower_index_on_ties() -> None:
    index, distance = nearest(np.array([[2.5], [5.0]]), LINE, 2)
    assert index.tolist() == [[2, 3], [5, 4]]
    assert distance.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    with pytest.raises(ValueError, match="needs"):
        nearest(LINE, LINE, 7)
