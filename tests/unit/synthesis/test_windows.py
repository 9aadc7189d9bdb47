"""The two laws: how many windows they need, what they prefer, who owns a pixel."""

import numpy as np
import pytest

from tasks.rng import generator
from tasks.synthesis.windows import grid_windows, owners, random_windows, tile_minimum


def mean_count(law, canvas, window, draws=40):
    return np.mean([len(law(canvas, window, generator(k, "s", "w"))) for k in range(draws)])


@pytest.mark.parametrize(("tiles", "most"), [(8, 1.126), (16, 1.0626)])
def test_a_grid_needs_at_most_one_window_more_a_band(tiles, most):
    canvas = (16 * tiles, 16 * tiles)
    assert mean_count(grid_windows, canvas, (16, 16)) <= most * tile_minimum(canvas, (16, 16))


def test_a_grid_with_room_to_spare_stays_near_the_minimum():
    assert mean_count(grid_windows, (16 * 8 - 8, 16 * 8 - 8), (16, 16)) <= 1.07 * 64


def test_the_random_law_needs_about_what_the_reference_needs():
    """The reference spends 7.9 / 35.7 windows a step on canvases of 2 / 4 windows a side (FACTS, measured)."""
    assert mean_count(random_windows, (128, 128), (64, 64), 200) == pytest.approx(7.9, rel=0.25)
    assert mean_count(random_windows, (256, 256), (64, 64)) == pytest.approx(35.7, rel=0.15)


@pytest.mark.parametrize("law", [random_windows, grid_windows])
def test_the_windows_of_another_step_lie_elsewhere(law):
    a, b = (law((64, 64), (16, 16), generator(1, "s", f"windows/{k}")) for k in (0, 1))
    assert a == law((64, 64), (16, 16), generator(1, "s", "windows/0")) and a != b


def test_the_random_law_centres_windows_on_pixels_not_covered_yet():
    for k in range(20):
        covered = np.zeros((40, 40), bool)
        for y, x in random_windows((40, 40), (8, 8), generator(k, "s", "w")):
            inner = covered[y + (4 if y else 0) : y + 8, x + (4 if x else 0) : x + 8]
            assert not inner.all()
            covered[y : y + 8, x : x + 8] = True


def test_owner_is_the_first_writer():
    corners = [(0, 0), (2, 2), (0, 4)]
    owner = owners((6, 8), (4, 4), corners)
    expected = np.full((6, 8), -1)
    for index, (y, x) in enumerate(corners):
        part = expected[y : y + 4, x : x + 4]
        part[part < 0] = index
    assert np.array_equal(owner, expected)
