"""The sampler against a plain sequential reading of algorithm 2, and against closed forms."""

import math

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis.sampler import draw_windows, guided, initial_noise, owners, sample
from tasks.synthesis.schedule import ddim, ddim_steps, retained

A = retained("scaled_linear", 100)
A_FINE = retained("cosine", 1000)
STEPS = ddim_steps(A, 7)
WINDOW = (8, 8)


def network():
    """A small convolutional predictor with fixed weights: depends on z, the condition and t."""
    draw = generator(3, "network", "weights")
    w = torch.from_numpy(draw.normal(0, 0.2, (3, 5, 3, 3)).astype(np.float32))

    def epsilon(z, condition, t):
        x = torch.nn.functional.conv2d(torch.cat([z, condition], 1), w, padding=1)
        return torch.tanh(x + z * math.sqrt(t / 100))

    return epsilon


def told(height, width):
    return generator(4, "condition", "values").random((2, height, width), dtype=np.float32)


def algorithm_2(condition, epsilon, steps, window, channels, seed, name):
    """Thesis A, algorithm 2, window by window with the replica of the previous step and the time map L."""
    height, width = condition.shape[1:]
    y = initial_noise((channels, height, width), seed, name)
    level = np.full((height, width), len(steps))
    for k, step in enumerate(steps):
        replica = y.copy()
        time = len(steps) - k - 1
        for top, left in draw_windows((height, width), window, generator(seed, name, f"windows/{k}")):
            here = np.s_[:, top : top + window[0], left : left + window[1]]
            z = torch.from_numpy(replica[here].copy())[None]
            c = torch.from_numpy(condition[here].copy())[None]
            moved = ddim(z, epsilon(z, c, step.t), step)[0].numpy()
            behind = level[here[1:]] == time + 1
            y[here][:, behind] = moved[:, behind]
            level[here[1:]][behind] = time
        assert (level == time).all()
    return y


@pytest.mark.parametrize("canvas", [(16, 16), (8, 21), (19, 13)])
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_equals_the_sequential_algorithm_exactly(canvas, guidance):
    epsilon = guided(network(), torch.zeros(2, 1, 1), guidance)
    expected = algorithm_2(told(*canvas), epsilon, STEPS, WINDOW, 3, 5, "s")
    assert np.array_equal(sample(told(*canvas), epsilon, STEPS, WINDOW, 3, 5, "s", 1), expected)
    for batch in (2, 3, 64):
        found = sample(told(*canvas), epsilon, STEPS, WINDOW, 3, 5, "s", batch)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_canvas_of_one_window_is_plain_ddim():
    y = torch.from_numpy(initial_noise((3, 8, 8), 5, "s"))[None]
    c = torch.from_numpy(told(8, 8))[None]
    for step in STEPS:
        y = ddim(y, network()(y, c, step.t), step)
    assert np.array_equal(sample(told(8, 8), network(), STEPS, WINDOW, 3, 5, "s", 4), y[0].numpy())


def test_depends_on_seed_and_sample_only():
    first = sample(told(12, 12), network(), STEPS, WINDOW, 3, 5, "s1", 4)
    assert np.array_equal(first, sample(told(12, 12), network(), STEPS, WINDOW, 3, 5, "s1", 4))
    assert not np.array_equal(first, sample(told(12, 12), network(), STEPS, WINDOW, 3, 5, "s2", 4))
    assert not np.array_equal(first, sample(told(12, 12), network(), STEPS, WINDOW, 3, 6, "s1", 4))


def test_a_larger_canvas_begins_with_the_same_noise():
    small, large = initial_noise((2, 70, 30), 1, "s"), initial_noise((2, 130, 90), 1, "s")
    assert np.array_equal(small, large[:, :70, :30])
    assert abs(large.mean()) < 0.03 and abs(large.std() - 1) < 0.03
    assert not np.array_equal(large[:, :64, :26], large[:, 64:128, 64:90])


def test_owner_is_the_first_writer():
    corners = [(0, 0), (2, 2), (0, 4)]
    owner = owners((6, 8), (4, 4), corners)
    expected = np.full((6, 8), -1)
    for index, (y, x) in enumerate(corners):
        part = expected[y : y + 4, x : x + 4]
        part[part < 0] = index
    assert np.array_equal(owner, expected)


@pytest.mark.parametrize("canvas", [(7, 8), (8, 7)])
def test_a_canvas_smaller_than_a_window_is_refused(canvas):
    with pytest.raises(ValueError, match="smaller than the window"):
        sample(told(*canvas), network(), STEPS, WINDOW, 3, 5, "s", 4)


def test_guidance_is_the_stated_mixture():
    def epsilon(z, condition, t):
        return condition.mean(dim=(1, 2, 3), keepdim=True).expand_as(z)

    z, c = torch.zeros(2, 3, 4, 4), torch.full((2, 2, 4, 4), 0.5)
    null = torch.full((2, 1, 1), -1.0)
    assert torch.allclose(guided(epsilon, null, 2.0)(z, c, 1), torch.full_like(z, 3 * 0.5 + 2 * 1.0))
    assert torch.equal(guided(epsilon, null, 0.0)(z, c, 1), torch.full_like(z, 0.5))


def test_ddim_recovers_a_gaussian_from_its_exact_score():
    """For data N(m, s^2), eps(z, t) = sqrt(1-a) (z - sqrt(a) m) / (a s^2 + 1 - a) is exact."""
    mean, deviation = 1.7, 0.4

    def epsilon(z, condition, t):
        a = float(A_FINE[t])
        return math.sqrt(1 - a) * (z - math.sqrt(a) * mean) / (a * deviation**2 + 1 - a)

    y = sample(np.zeros((1, 64, 64), np.float32), epsilon, ddim_steps(A_FINE, 250), (32, 32), 2, 1, "s", 16)
    assert abs(y.mean() - mean) < 0.02
    assert abs(y.std() - deviation) < 0.02
