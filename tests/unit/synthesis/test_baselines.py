"""The baselines where the truth is known: networks that act pixel by pixel, a single window, coefficients, counts."""

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import conditioning
from tasks.synthesis.baselines import diffcollage, halves, outwards, per_label, pieces, sequential, sliding_window
from tasks.synthesis.canvas import Canvas
from tasks.synthesis.evaluate import guided, in_threads
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import advance, forward_process, plan_steps

PROCESS = forward_process(DiffusionParams(timesteps=100, schedule="cosine", prediction="epsilon"))
WINDOW = (8, 8)
LABELS = 3
"""Unknown and two classes."""


def how(solver="ddim", eta=0.0, batch=4):
    return Sampling(plan_steps(PROCESS, 6, solver, eta), "random", WINDOW, 1, batch, 5, "s")


def told(height, width):
    """A mask of the two classes, without unknown pixels, as the denoiser is told of it."""
    mask = generator(1, "mask", "values").integers(1, LABELS, (height, width)).astype(np.uint8)
    canvas = Canvas((conditioning.channels(LABELS - 1), height, width))
    canvas.write(slice(0, height), slice(0, width), conditioning.condition(mask, LABELS - 1, 1))
    return canvas


def pixelwise(z, condition, t):
    """The exact E[z_0 | z_t] of Gaussian data whose mean is told pixel by pixel, so that no window's edge is seen."""
    alpha, sigma = float(PROCESS.signal[t]), float(PROCESS.noise[t])
    means = torch.tensor([0.3, 1.0, -1.0, 0.1]).view(1, -1, 1, 1)
    mean = (condition * means).sum(1, keepdim=True)
    return mean + alpha * 0.25 / (alpha**2 * 0.25 + sigma**2) * (z - alpha * mean)


def local(z, condition, t):
    """A network that sees its window's edges."""
    draw = generator(3, "network", "weights")
    weights = torch.from_numpy(draw.normal(0, 0.2, (2, 6, 3, 3)).astype(np.float32))
    return torch.tanh(torch.nn.functional.conv2d(torch.cat([z, condition], 1), weights, padding=1) + z * t / 100)


def with_guidance(network):
    return guided(network, torch.from_numpy(conditioning.null(LABELS - 1, 1, 1)), 1.5)


def everything(canvas):
    return canvas.read(slice(0, canvas.shape[1]), slice(0, canvas.shape[2]))


def plain(canvas, network, one):
    """The plain sampler: the network sees the whole canvas at once."""
    across = (slice(0, canvas[0]), slice(0, canvas[1]))
    z, c, before = one.first(2, *across), torch.from_numpy(everything(told(*canvas)))[None], None
    for k, step in enumerate(one.steps):
        z0 = network(torch.from_numpy(z)[None], c, step.t)[0].numpy()
        z, before = advance(z, z0, before, one.fresh(2, *across, k), step), z0
    return z


BASELINES = {
    "sequential": lambda canvas, network, one: sequential(told(*canvas), 2, per_label(network, LABELS, 1.5), one),
    "sliding": lambda canvas, network, one: sliding_window(
        told(*canvas), 2, in_threads([with_guidance(network)]), one, PROCESS
    ),
    "diffcollage": lambda canvas, network, one: diffcollage(
        told(*canvas), 2, in_threads([with_guidance(network)]), one
    ),
}


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.0), ("ddim", 0.7), ("dpm_solver_pp", 0.0)])
@pytest.mark.parametrize("canvas", [(8, 8), (16, 24), (19, 13)])
def test_a_pixelwise_network_gives_what_the_plain_sampler_gives(name, solver, eta, canvas):
    one = how(solver, eta)
    expected = plain(canvas, with_guidance(pixelwise), one)
    assert np.abs(BASELINES[name](canvas, pixelwise, one) - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["sliding", "diffcollage"])
def test_a_canvas_of_one_window_is_the_plain_sampler(name):
    found = BASELINES[name]((8, 8), local, how())
    assert np.allclose(found, plain((8, 8), with_guidance(local), how()), atol=1e-6)


def test_diffcollage_is_exact_where_the_network_reaches_less_far_than_an_overlap_and_sliding_windows_are_not():
    """What a window's edge does to its pixels, the overlap that ends there does too, and it is taken off again."""
    canvas = (16, 24)
    expected = plain(canvas, with_guidance(local), how())
    assert np.abs(BASELINES["diffcollage"](canvas, local, how()) - expected).max() < 1e-5
    assert np.abs(BASELINES["sliding"](canvas, local, how()) - expected).max() > 1e-3


@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.7), ("dpm_solver_pp", 0.0)])
def test_the_published_algorithm_is_our_sampler_with_its_forwards(solver, eta):
    denoise = per_label(local, LABELS, 1.5)
    one = how(solver, eta, batch=1)
    expected = everything(sample(told(19, 21), 2, in_threads([denoise], 1), one))
    assert np.array_equal(sequential(told(19, 21), 2, denoise, one), expected)


def test_a_pass_for_each_label_takes_2l_minus_1_forwards_and_chooses_by_the_mask():
    seen = []

    def network(z, condition, t):
        seen.append(condition)
        return condition.argmax(1, keepdim=True).float().expand_as(z)

    mask = np.array([[0, 1], [2, 2]], np.uint8)
    condition = torch.from_numpy(conditioning.condition(mask, LABELS - 1, 1))[None]
    found = per_label(network, LABELS, 1.0)(torch.zeros(1, 2, 2, 2), condition, 1)
    assert len(seen) == 2 * LABELS - 1
    assert all(c.flatten(2).unique(dim=2).shape[2] == 1 for c in seen)
    null = 3
    assert found[0, 0].tolist() == [[null, 2 * 1 - null], [2 * 2 - null, 2 * 2 - null]]


@pytest.mark.parametrize("canvas", [(8, 8), (16, 24), (19, 13), (8, 9)])
def test_coefficients_sum_to_one_everywhere(canvas):
    total = np.zeros(canvas, int)
    for window, factor in pieces(canvas, WINDOW).items():
        assert window.height > 0 and window.width > 0
        total[window.place] += factor
    assert (total == 1).all()


def test_pieces_of_two_by_two_windows():
    windows = {(y, x, 8, 8): 1 for y in (0, 4) for x in (0, 4)}
    overlaps = {(4, x, 4, 8): -1 for x in (0, 4)} | {(y, 4, 8, 4): -1 for y in (0, 4)}
    assert pieces((12, 12), WINDOW) == {**windows, **overlaps, (4, 4, 4, 4): 1}


@pytest.mark.parametrize("canvas", [(8, 8), (24, 40), (19, 29)])
def test_sliding_windows_go_outwards_and_each_finds_half_of_it_made(canvas):
    made = np.zeros(canvas, int)
    count = 0
    for number, windows in enumerate(outwards(canvas, WINDOW)):
        now = np.zeros(canvas, int)
        for window in windows:
            count += 1
            held = (made[window.place] > 0).mean()
            assert held >= 0.5 if number else held == 0
            now[window.place] += 1
        assert now.max() == 1
        made += now
    assert made.min() >= 1 and count == len(halves(canvas[0], 8)) * len(halves(canvas[1], 8))


def test_what_a_sliding_window_finds_is_held():
    """Each pixel is what the first window that covered it made of it: the first window's pixels are a run alone."""
    first = next(outwards((16, 24), WINDOW))[0]
    y, x = first.place
    one = how()
    whole = BASELINES["sliding"]((16, 24), local, one)
    z, c = one.first(2, y, x), torch.from_numpy(told(16, 24).read(y, x))[None]
    for step in one.steps:
        z = advance(z, with_guidance(local)(torch.from_numpy(z)[None], c, step.t)[0].numpy(), None, None, step)
    assert np.allclose(whole[:, y, x], z, atol=1e-6)
