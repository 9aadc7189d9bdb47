"""The two laws: how many windows they need, what they prefer, who owns a pixel."""

import numpy as np
import pytest

from tasks.rng import generator
from tasks.synthesis.windows import Window, grid_windows, owners, random_windows, tile_minimum


def mean_area(law, canvas, side, multiple=1, draws=40):
    """What a step sees, in windows of the size `side`."""
    drawn = [law(canvas, side, multiple, generator(k, "s", "w")) for k in range(draws)]
    return np.mean([sum(w.height * w.width for w in windows) for windows in drawn]) / (side[0] * side[1])


@pytest.mark.parametrize("tiles", [2, 4, 8, 16])
@pytest.mark.parametrize("multiple", [1, 4])
def test_a_grid_sees_the_canvas_once_but_for_what_is_rounded_up(tiles, multiple):
    canvas, side = (16 * tiles, 16 * tiles), (16, 16)
    seen = mean_area(grid_windows, canvas, side, multiple) / tile_minimum(canvas, side)
    assert seen == 1 if multiple == 1 else 1 < seen < (1 + 2 * 3 / canvas[0]) ** 2
    assert tiles < 4 or seen <= 1.15


def test_windows_of_a_grid_are_of_one_size_but_at_the_border():
    for k in range(40):
        windows = grid_windows((128, 96), (16, 16), 4, generator(k, "s", "w"))
        for w in windows:
            at_border = {0, 128, 96} & {w.y, w.x, w.y + w.height, w.x + w.width}
            assert (w.height, w.width) == (16, 16) or at_border
            assert 8 <= w.height <= 24 and 8 <= w.width <= 24


@pytest.mark.parametrize("canvas", [(64, 64), (56, 64)])
def test_every_line_is_as_often_a_border_of_a_grid_as_any_other(canvas):
    """Lines that recur in every other step are seen: with bands that are not shifted the gradient across the multiples
    of a window was 1.6 times that elsewhere. Nearer to the canvas's border than half a window there is none."""
    total = np.zeros(canvas[1] - 1)
    for k in range(800):
        owner = owners(canvas, grid_windows(canvas, (16, 16), 4, generator(k, "s", "w")))
        total += (owner[:, 1:] != owner[:, :-1]).mean(0)
    assert np.abs(total[7:-7] / 800 * 16 - 1).max() < 0.5
    assert total[:7].max() == total[-7:].max() == 0


def test_the_random_law_needs_about_what_the_reference_needs():
    """The reference spends 7.9 / 35.7 windows a step on canvases of 2 / 4 windows a side (FACTS, measured)."""
    assert mean_area(random_windows, (128, 128), (64, 64), draws=200) == pytest.approx(7.9, rel=0.25)
    assert mean_area(random_windows, (256, 256), (64, 64)) == pytest.approx(35.7, rel=0.15)


@pytest.mark.parametrize("law", [random_windows, grid_windows])
def test_the_windows_of_another_step_lie_elsewhere(law):
    a, b = (law((64, 64), (16, 16), 4, generator(1, "s", f"windows/{k}")) for k in (0, 1))
    assert a == law((64, 64), (16, 16), 4, generator(1, "s", "windows/0")) and a != b


def test_the_random_law_centres_windows_on_pixels_not_covered_yet():
    for k in range(20):
        covered = np.zeros((40, 40), bool)
        for y, x, *_ in random_windows((40, 40), (8, 8), 1, generator(k, "s", "w")):
            inner = covered[y + (4 if y else 0) : y + 8, x + (4 if x else 0) : x + 8]
            assert not inner.all()
            covered[y : y + 8, x : x + 8] = True


def test_owner_is_the_first_writer():
    corners = [(0, 0), (2, 2), (0, 4)]
    owner = owners((6, 8), [Window(*corner, 4, 4) for corner in corners])
    expected = np.full((6, 8), -1)
    for index, (y, x) in enumerate(corners):
        part = expected[y : y + 4, x : x + 4]
        part[part < 0] = index
    assert np.array_equal(owner, expected)
