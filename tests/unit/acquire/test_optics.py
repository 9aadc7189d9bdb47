"""The point-spread function: unit sum, right width, flat stays flat."""

import numpy as np
import pytest

from tasks.acquire import mosaic, optics
from tasks.contracts import Pattern


@pytest.mark.parametrize("sigma", [0.3, 0.9, 1.2, 3.0])
def test_impulse_response_sums_to_one_and_has_the_sigma(sigma: float) -> None:
    impulse = np.zeros((41, 41), np.float32)
    impulse[20, 20] = 1
    psf = optics.blur(impulse, sigma).astype(float)
    assert psf.sum() == pytest.approx(1, abs=1e-6)
    assert psf.argmax() == 20 * 41 + 20
    if sigma >= 0.9:  # below, the pixel grid is too coarse for the second moment
        x = np.arange(41) - 20
        assert np.sqrt((psf.sum(0) * x**2).sum()) == pytest.approx(sigma, rel=0.02)


def test_no_blur_is_the_identity() -> None:
    scene = np.random.default_rng(0).random((3, 8, 9), dtype=np.float32)
    np.testing.assert_array_equal(optics.blur(scene, 0.0), scene)


def test_a_flat_scene_stays_flat_up_to_the_border() -> None:
    flat = np.full((3, 20, 30), 0.7, np.float32)
    np.testing.assert_allclose(optics.blur(flat, 2.0), flat, rtol=1e-6)


def test_widths() -> None:
    half = optics.sigma_from_fwhm(1.0, 0.1)
    assert np.exp(-0.5 * (5 / half) ** 2) == pytest.approx(0.5)
    wavelength, f_number, pixel = 0.55, 8.0, 2.4
    sigma = optics.sigma_from_diameter(2.44 * wavelength * f_number, pixel)
    assert sigma == pytest.approx(0.42 * wavelength * f_number / pixel)


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_mosaic_keeps_what_each_filter_passes(pattern: Pattern) -> None:
    rgb = np.stack([np.full((5, 7), v, np.float32) for v in (1, 2, 3)])
    out = mosaic.sample(rgb, pattern)
    named = {"R": 1, "G": 2, "B": 3}
    assert [out[0, 0], out[0, 1], out[1, 0], out[1, 1]] == [named[c] for c in pattern]
    assert out[4, 6] == out[0, 0]


def test_per_site_repeats_in_mosaic_order() -> None:
    np.testing.assert_array_equal(mosaic.per_site((1, 2, 3, 4), (3, 3)), [[1, 2, 1], [3, 4, 3], [1, 2, 1]])
