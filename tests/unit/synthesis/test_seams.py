"""Seams that were planted are found at their height, and none where there is none."""

import numpy as np
import pytest

from tasks.rng import generator
from tasks.synthesis.seams import edges, gradients, owner_borders, seam
from tasks.synthesis.windows import owners, random_windows

FACTOR, SIDE, WINDOW = 4, 96, (16, 16)


def owner():
    corners = random_windows((SIDE, SIDE), WINDOW, 1, generator(1, "s", "windows"))
    return owners((SIDE, SIDE), corners)


def picture(steps):
    """Noise whose deviation differs from place to place, and a level of its own for each of `steps`."""
    draw = generator(2, "picture", "noise")
    place = np.linspace(0.5, 3, SIDE * FACTOR)
    values = draw.normal(0, 1, (3, SIDE * FACTOR, SIDE * FACTOR)) * place[:, None] * place[None]
    levels = draw.normal(0, 1, (3, steps.max() + 1))[:, steps]
    return values.astype(np.float32), np.kron(levels, np.ones((FACTOR, FACTOR))).astype(np.float32)


def test_no_seam_is_a_ratio_of_one():
    values, _ = picture(owner())
    found = seam(gradients(values, FACTOR), owner_borders(owner()), 16, 0)
    assert found.low < 1 < found.high and abs(found.ratio - 1) < 0.02
    assert found.high - found.low < 0.06


def test_a_planted_step_is_found_at_its_height():
    values, levels = picture(owner())
    steepness, borders = gradients(values + 4 * levels, FACTOR), owner_borders(owner())
    found = seam(steepness, borders, 16, 0)
    across = sum(g[b].sum() for g, b in zip(steepness, borders, strict=True))
    without = sum(g[b].sum() for g, b in zip(gradients(values, FACTOR), borders, strict=True))
    assert found.low > 1.1 and found.ratio == pytest.approx(across / without, abs=0.05)


def test_the_decoders_own_raster_is_no_seam():
    raster = (np.arange(SIDE * FACTOR) // FACTOR % 2).astype(np.float32) * 50
    values = picture(owner())[0] + raster[None, :, None] + raster[None, None]
    assert abs(seam(gradients(values, FACTOR), owner_borders(owner()), 16, 0).ratio - 1) < 0.01


def test_gradients_lie_on_the_latent_raster():
    values = np.zeros((2, 8, 12), np.float32)
    values[:, 4:] = 1
    values[:, :, 8:] += 2
    down, right = gradients(values, 4)
    assert down.tolist() == [[1, 1, 1]] and right.tolist() == [[0, 2], [0, 2]]


def test_borders_and_edges_of_windows():
    rows, columns = owner_borders(np.array([[0, 0, 1], [0, 0, 2]], np.int32))
    assert rows.tolist() == [[False, False, True]] and columns.tolist() == [[False, True], [False, True]]
    rows, columns = edges((4, 4), [(slice(0, 2), slice(1, 4))])
    assert rows.tolist() == [[False] * 4, [False, True, True, True], [False] * 4]
    assert columns.tolist() == [[True, False, False]] * 2 + [[False] * 3] * 2


def test_nothing_to_compare_is_not_a_number():
    flat = gradients(np.zeros((1, 32, 32), np.float32), 4)
    assert np.isnan(seam(flat, owner_borders(np.zeros((8, 8), np.int32)), 4, 0).ratio)
