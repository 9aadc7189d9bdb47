"""The condition against hand-made masks."""

import numpy as np
import pytest

from tasks.errors import InputError
from tasks.synthesis.conditioning import condition, null


def test_fractions_of_a_hand_made_mask():
    mask = np.array([[0, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 2]], np.uint8)
    found = condition(mask, 2, 2)
    assert found.shape == (4, 2, 2)
    assert np.array_equal(found[0], [[0.25, 0], [1, 0.75]])
    assert np.array_equal(found[1], [[0.75, 0], [0, 0]])
    assert np.array_equal(found[2], [[0, 1], [0, 0.25]])
    assert np.array_equal(found[3], np.zeros((2, 2)))


def test_sides_that_the_factor_does_not_divide_are_filled_with_the_last_row_and_column():
    found = condition(np.array([[1, 2, 1]], np.uint8), 2, 2)
    assert found.shape == (4, 1, 2)
    assert np.array_equal(found[:, 0, 0], [0, 0.5, 0.5, 0]) and np.array_equal(found[:, 0, 1], [0, 1, 0, 0])


def test_null_is_its_own_channel_and_unlike_unknown():
    assert np.array_equal(null(2, 1, 1)[:, 0, 0], [0, 0, 0, 1])
    assert np.array_equal(condition(np.zeros((2, 2), np.uint8), 2, 2)[:, 0, 0], [1, 0, 0, 0])


def test_an_unknown_class_is_refused():
    with pytest.raises(InputError, match="class 3"):
        condition(np.full((2, 2), 3, np.uint8), 2, 2)
