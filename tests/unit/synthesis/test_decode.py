"""Overlapped decode: constants stay constant, weights sum to 1, seams vanish for a convolutional decoder."""

import numpy as np
import pytest
import torch

from tasks.rng import normal
from tasks.synthesis.canvas import Canvas
from tasks.synthesis.decode import axis, blend, crossfade, fading

FACTOR, SIDE = 4, 8


def nearest(latents):
    """Each latent pixel becomes a block: exact at every place, whatever the window."""
    return np.repeat(np.repeat(latents, FACTOR, -2), FACTOR, -1)


def convolutional(latents):
    """Upsample, then two 3x3 convolutions: reaches 2 output pixels, under a latent pixel."""
    w = torch.from_numpy(normal((3, 3, 3, 3), 1, "decoder", "weights")) * 0.2
    x = torch.from_numpy(nearest(latents))
    return torch.conv2d(torch.conv2d(x, w, padding=1).tanh(), w, padding=1).numpy()


def seen(latents, decode):
    canvas = Canvas(latents.shape)
    canvas.write(slice(0, latents.shape[1]), slice(0, latents.shape[2]), latents)
    return blend(canvas, decode, SIDE, FACTOR)


def part(blended, y, x):
    return np.concatenate(list(blended.strips(y, x)), axis=1)


def whole(latents, decode):
    return part(seen(latents, decode), *(slice(0, n * FACTOR) for n in latents.shape[1:]))


@pytest.mark.parametrize("shape", [(8, 8), (8, 9), (20, 13), (32, 11)])
def test_a_decoder_that_knows_no_window_comes_out_as_if_whole(shape):
    latents = normal((3, *shape), 1, "canvas", "latents")
    found = whole(latents, nearest)
    assert found.shape == (3, shape[0] * FACTOR, shape[1] * FACTOR)
    assert np.allclose(found, nearest(latents[None])[0], atol=1e-6)


def test_a_constant_stays_exactly_constant():
    latents = np.full((3, 19, 23), 0.3, np.float32)
    assert (whole(latents, nearest) == np.float32(0.3)).all()


def test_no_seams_against_the_whole_decode_beyond_the_decoders_reach():
    latents = normal((3, 24, 24), 1, "canvas", "latents")
    found, expected = whole(latents, convolutional), convolutional(latents[None])[0]
    wrong = np.abs(found - expected).max(axis=0)
    # The weight of a window at its own border, where its zero padding shows, is the tail of cos^2.
    assert np.median(wrong) < 1e-6
    assert wrong.max() < 0.02 * np.abs(expected).max()
    abrupt = np.concatenate([convolutional(latents[None, :, k : k + SIDE])[0] for k in (0, 8, 16)], axis=1)
    assert np.abs(abrupt - expected).max() > 10 * wrong.max()


def test_weights_are_half_a_hann_window_and_sum_to_one():
    falling = fading(16)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(32) + 0.5) / 32)
    assert np.allclose(falling, hann[16:], atol=1e-6)
    assert np.allclose(falling + falling[::-1], 1, atol=1e-6)
    ones = np.ones(16, np.float32)
    assert (crossfade(ones, ones, falling) == 1).all()


@pytest.mark.parametrize("length", range(8, 60))
def test_windows_are_at_most_half_a_window_apart_and_end_at_the_end(length):
    line = axis(length, SIDE, 1)
    gaps = np.diff(line.starts)
    assert line.starts[0] == 0 and line.starts[-1] == length - SIDE
    assert len(gaps) == 0 or (gaps.min() > 0 and gaps.max() <= SIDE // 2)


@pytest.mark.parametrize(("length", "side"), [(7, 8), (4, 1)])
def test_impossible_windows_are_refused(length, side):
    with pytest.raises(ValueError, match="latent pixels"):
        axis(length, side, 1)


@pytest.mark.parametrize("cut", [7, 16, 23, 80])
def test_any_part_comes_out_as_it_does_in_the_whole(cut):
    latents = normal((3, 20, 12), 1, "canvas", "latents")
    blended, full = seen(latents, convolutional), whole(latents, convolutional)
    for y in range(0, 80, cut):
        for x in (slice(0, 30), slice(30, 48)):
            rows = slice(y, min(y + cut, 80))
            # Convolutions of fewer windows at a time may differ in their last bits.
            assert np.allclose(part(blended, rows, x), full[:, rows, x], atol=1e-6)


def test_only_the_windows_that_a_part_needs_are_decoded():
    counted = []

    def counting(windows):
        counted.append(len(windows))
        return nearest(windows)

    blended = seen(normal((3, 40, 40), 1, "canvas", "latents"), counting)
    list(blended.strips(slice(0, 32), slice(0, 32)))
    assert sum(counted) <= 9
