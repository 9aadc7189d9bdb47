"""A region resampled alone, from the recorded canvases, against the same region of the whole canvas."""

import math

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import crop, decode
from tasks.synthesis.canvas import Canvas, State
from tasks.synthesis.evaluate import guided, in_threads
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.pictures import to_pictures
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import forward_process, plan_steps
from tasks.synthesis.windows import LAWS, Window

PROCESS = forward_process(DiffusionParams(timesteps=100, schedule="scaled_linear", prediction="epsilon"))
CANVAS, WINDOW = (27, 34), (8, 8)
ALL = (slice(0, CANVAS[0]), slice(0, CANVAS[1]))
REGIONS = [(slice(9, 15), slice(12, 23)), (slice(0, 3), slice(30, 34)), (slice(26, 27), slice(0, 1)), ALL]


def how(solver="ddim", eta=0.0, law="random", batch=1):
    return Sampling(plan_steps(PROCESS, 6, solver, eta), law, WINDOW, 1, batch, 5, "s")


def network():
    """A convolutional predictor of the window as a whole: each of its pixels depends on all others."""
    w = torch.from_numpy(generator(3, "network", "weights").normal(0, 0.2, (3, 5, 3, 3)).astype(np.float32))

    def denoise(z, condition, t):
        x = torch.nn.functional.conv2d(torch.cat([z, condition], 1), w, padding=1)
        return torch.tanh(x + z.mean(dim=(2, 3), keepdim=True) + z * math.sqrt(t / 100))

    return guided(denoise, torch.zeros(2, 1, 1), 1.5)


def told():
    canvas = Canvas((2, *CANVAS))
    canvas.write(*ALL, generator(4, "condition", "values").random((2, *CANVAS), "f4"))
    return canvas


class Told:
    """Counts the windows that are evaluated."""

    def __init__(self):
        self.windows = 0

    def __call__(self, snapshot, batches):
        self.windows += sum(map(len, batches))
        return in_threads([network()])(snapshot, batches)


def whole(one, folder):
    state = State((3, *CANVAS), folder, record=True)
    sample(told(), 3, Told(), one, state)
    return state


@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.0), ("ddim", 0.7), ("dpm_solver_pp", 0.0)])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_region_alone_equals_that_of_the_whole_canvas_at_every_step(law, solver, eta, batch, tmp_path):
    one = how(solver, eta, law, batch)
    state = whole(one, tmp_path)
    for region in REGIONS:
        steps = list(crop.resample(region, state.canvas, told(), Told(), one))
        assert len(steps) == 6
        for k, values in enumerate(steps, start=1):
            assert np.array_equal(values, state.canvas(k).read(*region)), (region, k)


def test_only_the_windows_that_own_some_of_the_region_are_evaluated(tmp_path):
    one, counting = how(), Told()
    state = whole(one, tmp_path)
    list(crop.resample((slice(3, 4), slice(5, 6)), state.canvas, told(), counting, one))
    assert counting.windows == 6


def test_the_region_itself_is_not_taken_from_the_record(tmp_path):
    """What the record says of the region is spoilt: nothing changes; what it says of the neighbours does."""
    one, region = how(), REGIONS[0]
    state = whole(one, tmp_path)
    good = [*crop.resample(region, state.canvas, told(), Told(), one)][-1]
    spoilt = np.full(good.shape, 7, np.float32)
    inside = [*crop.resample(region, lambda k: crop.Patched(state.canvas(k), region, spoilt), told(), Told(), one)][-1]
    assert np.array_equal(inside, good)
    beside = (region[0], slice(region[1].stop, region[1].stop + 3))
    patch = np.full((3, 6, 3), 7, np.float32)
    other = [*crop.resample(region, lambda k: crop.Patched(state.canvas(k), beside, patch), told(), Told(), one)][-1]
    assert not np.array_equal(other, good)


def test_another_seed_is_another_region(tmp_path):
    one, region = how(), REGIONS[0]
    state = whole(one, tmp_path)
    other = Sampling(one.steps, one.law, one.window, 1, 1, 6, "s")
    assert not np.array_equal(
        [*crop.resample(region, state.canvas, told(), Told(), other)][-1], state.canvas(6).read(*region)
    )


def test_batches_keep_the_size_that_each_window_was_evaluated_in():
    a, b, c, d, e = (Window(8 * k, 0, 8, 8) for k in range(5))
    low, wide = Window(40, 0, 4, 8), Window(44, 0, 8, 12)
    whole = [[a, b], [c, d], [e], [low, wide._replace(height=4, width=8)], [wide]]
    assert crop.filled(whole, {a, c, e}) == [[a, c], [e]]
    assert crop.filled(whole, {a, b, d, low, wide}) == [[a, b], [d, d], [low, low], [wide]]


class Decoder:
    """Stands for an autoencoder, which decodes each window alone: each of a window's pixels depends on all of it."""

    channels, factor = 3, 2

    def __init__(self):
        self.windows = 0

    def decode(self, latents):
        self.windows += len(latents)
        return np.tanh(latents + latents.mean((2, 3), keepdims=True)).repeat(2, 2).repeat(2, 3)


@pytest.mark.parametrize("columns", [slice(0, 200), slice(40, 168)])
@pytest.mark.parametrize(
    "part", [(slice(10, 17), slice(60, 77)), (slice(0, 1), slice(40, 41)), (slice(50, 60), slice(150, 168))]
)
def test_pixels_of_a_crop_are_those_of_the_whole_image(columns, part):
    codec = Decoder()
    latents = Canvas((3, 30, 100))
    latents.write(slice(0, 30), slice(0, 100), generator(6, "l", "v").normal(0, 1, (3, 30, 100)).astype("f4"))
    seen = decode.blend(latents, codec.decode, 8, 2)
    image = np.concatenate([to_pictures(s) for s in seen.strips(slice(0, 60), columns)], axis=1)
    lines = (seen.rows, seen.columns)
    region = crop.latents_of(part, lines)
    codec.windows = 0
    found = crop.pixels(region, latents.read(*region), part, codec, lines)
    x = slice(part[1].start - columns.start, part[1].stop - columns.start)
    assert np.array_equal(found, image[:, part[0], x])
    assert region != (slice(0, 30), slice(0, 100))
    assert codec.windows <= 4 * 6, "windows were decoded that nothing is seen of"
