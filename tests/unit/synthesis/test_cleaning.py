"""Cleaning of masks: what is an artefact and what is none, and blocks that give the same as the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.rng import generator
from tasks.synthesis.cleaning import clean, clean_in_blocks, opened, without_slivers


def halves(sliver_px: int) -> np.ndarray:
    """1 left, 2 right, and `sliver_px` columns of 3 between them."""
    mask = np.ones((24, 40), np.uint8)
    mask[:, 20:] = 2
    mask[:, 20 : 20 + sliver_px] = 3
    return mask


def test_a_sliver_of_a_third_class_along_a_border_becomes_unknown():
    mask = halves(2)
    found = without_slivers(mask, 3)
    expected = mask.copy()
    expected[mask == 3] = 0
    assert np.array_equal(found, expected)


def test_a_band_as_wide_as_asked_stays_and_so_does_a_thin_region_inside_one_class():
    assert np.array_equal(without_slivers(halves(3), 3), halves(3))
    septum = np.ones((24, 40), np.uint8)
    septum[:, 20] = 3
    assert np.array_equal(without_slivers(septum, 3), septum)


def test_a_plain_border_between_two_classes_is_no_artefact():
    assert np.array_equal(without_slivers(halves(0), 4), halves(0))
    diagonal = np.where(np.add.outer(np.arange(30), np.arange(30)) < 30, 1, 2).astype(np.uint8)
    assert np.array_equal(without_slivers(diagonal, 3), diagonal)


@pytest.mark.parametrize("width", [0, 1])
def test_no_width_changes_nothing(width):
    assert np.array_equal(without_slivers(halves(1), width), halves(1))


def test_opening_is_the_union_of_the_squares_inside():
    inside = generator(1, "a", "test").random((17, 23)) < 0.8
    for side in (1, 2, 3):
        expected = np.zeros_like(inside)
        padded = np.pad(inside, side - 1, mode="edge")
        grown = np.zeros_like(padded)
        for y in range(padded.shape[0] - side + 1):
            for x in range(padded.shape[1] - side + 1):
                if padded[y : y + side, x : x + side].all():
                    grown[y : y + side, x : x + side] = True
        expected = grown[side - 1 : side - 1 + 17, side - 1 : side - 1 + 23]
        assert np.array_equal(opened(inside, side), expected)


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    """Regions of four labels of many sizes, with slivers among them."""
    coarse = generator(seed, "coarse", "test").integers(0, 4, (height // 5 + 1, width // 5 + 1))
    mask = coarse.repeat(5, 0).repeat(5, 1)[:height, :width].astype(np.uint8)
    fine = generator(seed, "fine", "test")
    mask[fine.random(mask.shape) < 0.15] = 3
    mask[:, fine.integers(width)] = 1
    mask[fine.integers(height)] = 2
    return mask


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    width=st.integers(0, 4),
    smallest=st.integers(0, 20),
    block=st.integers(1, 25),
)
def test_blocks_give_the_pixels_of_the_whole(seed, size, width, smallest, block):
    mask = blobs(seed, *size)
    whole = clean(without_slivers(mask, width), smallest)
    assert np.array_equal(clean_in_blocks(mask, width, smallest, block), whole)


def test_a_snake_through_many_blocks_is_one_region():
    mask = np.zeros((40, 40), np.uint8)
    mask[20] = 1
    assert np.array_equal(clean_in_blocks(mask, 0, 40, 8), mask)
    assert not clean_in_blocks(mask, 0, 41, 8).any()
