"""Each common corruption against its law or a naive form of it; the published numbers stand here once more."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from tasks.drift.corruptions import SEVERITIES, blur, elastic, light, noise
from tasks.drift.corruptions.constants import Elastic, zooms

Tile = NDArray[np.float32]
RNG = np.random.default_rng(5)
LEVEL = np.float32(0.4)


def flat() -> Tile:
    return np.full((3, 256, 256), LEVEL, np.float32)


def retina(y_px: int = 61, x_px: int = 48) -> Tile:
    tile = data.retina()[500 : 500 + y_px, 400 : 400 + x_px] / 255
    return np.ascontiguousarray(np.moveaxis(tile, -1, 0), np.float32)


def check_moments(field: Tile, variance: float) -> None:
    """Mean and variance of a large field within five standard errors, with room for a fourth moment of 4."""
    x = field.astype(np.float64)
    assert abs(x.mean() - LEVEL) < 5 * np.sqrt(variance / x.size)
    assert abs(x.var() / variance - 1) < 5 * np.sqrt(3 / x.size)


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate([0.08, 0.12, 0.18, 0.26, 0.38], 1)))
def test_gaussian_noise_has_its_moments(severity: int, sigma: float) -> None:
    check_moments(noise.gaussian(flat(), severity, RNG), sigma**2)


@pytest.mark.parametrize(("severity", "photons"), list(enumerate([60, 25, 12, 5, 3], 1)))
def test_shot_noise_has_its_moments_and_whole_photons(severity: int, photons: int) -> None:
    field = noise.shot(flat(), severity, RNG)
    check_moments(field, float(LEVEL) / photons)
    counts = field * photons
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate([0.15, 0.2, 0.35, 0.45, 0.6], 1)))
def test_speckle_noise_has_its_moments(severity: int, sigma: float) -> None:
    check_moments(noise.speckle(flat(), severity, RNG), (sigma * float(LEVEL)) ** 2)


@pytest.mark.parametrize(("severity", "share"), list(enumerate([0.03, 0.06, 0.09, 0.17, 0.27], 1)))
def test_impulse_noise_has_its_shares_and_touches_nothing_else(severity: int, share: float) -> None:
    field = noise.impulse(flat(), severity, RNG)
    error = 5 * np.sqrt(share / 2 / field.size)
    assert abs((field == 0).mean() - share / 2) < error
    assert abs((field == 1).mean() - share / 2) < error
    assert np.isin(field, np.float32([0, LEVEL, 1])).all()


def test_impulses_of_channels_are_independent() -> None:
    hit = noise.impulse(flat(), 5, RNG) != LEVEL
    assert abs((hit[0] & hit[1]).mean() - 0.27**2) < 5 * 0.27 / 256


def test_noise_that_scales_with_light_leaves_black_alone() -> None:
    black = np.zeros((3, 8, 8), np.float32)
    for severity in SEVERITIES:
        assert not noise.shot(black, severity, RNG).any()
        assert not noise.speckle(black, severity, RNG).any()


@pytest.mark.parametrize(("severity", "sigma_px"), list(enumerate([1, 2, 3, 4, 6], 1)))
def test_gaussian_blur_is_scipys(severity: int, sigma_px: float) -> None:
    tile = retina()
    wanted = ndimage.gaussian_filter(tile.astype(np.float64), (0, sigma_px, sigma_px), mode="nearest", truncate=4)
    np.testing.assert_allclose(blur.gaussian(tile, severity, RNG), wanted, atol=1e-6)


@pytest.mark.parametrize("sigma_px", [0.05, 0.96, 7.7, 67.2])
def test_a_mirrored_gaussian_is_scipys_even_where_it_is_wider_than_the_tile(sigma_px: float) -> None:
    wanted = ndimage.gaussian_filter1d(np.eye(48), sigma_px, axis=0, mode="reflect", truncate=3)
    np.testing.assert_allclose(blur.gaussian_matrix(48, sigma_px, "reflect", 3.0), wanted, atol=1e-7)


def zoomed(picture: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """The middle of a square picture zoomed, as the source's `clipped_zoom`."""
    side = len(picture)
    cut = int(np.ceil(side / factor))
    top = (side - cut) // 2
    large = ndimage.zoom(picture[top : top + cut, top : top + cut], factor, order=1)
    trim = (len(large) - side) // 2
    return large[trim : trim + side, trim : trim + side]


@pytest.mark.parametrize("side_px", [33, 96])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_is_the_mean_of_the_picture_and_its_zooms(severity: int, side_px: int) -> None:
    tile, factors = retina(side_px, side_px), zooms(severity)
    wanted = [(c + sum(zoomed(c, z) for z in factors)) / (len(factors) + 1) for c in tile.astype(np.float64)]
    np.testing.assert_allclose(blur.zoom(tile, severity, RNG), wanted, atol=2e-6)


def test_zooms_are_as_many_as_published() -> None:
    assert [len(zooms(s)) for s in SEVERITIES] == [12, 16, 11, 13, 11]
    np.testing.assert_allclose([zooms(s)[-1] for s in SEVERITIES], [1.11, 1.15, 1.2, 1.24, 1.3])


def test_zoom_blur_of_a_long_tile_zooms_each_axis_about_its_middle() -> None:
    rows = np.repeat(retina(60, 1), 36, axis=2)
    square = np.repeat(retina(60, 1), 60, axis=2)
    np.testing.assert_allclose(blur.zoom(rows, 3, RNG), blur.zoom(square, 3, RNG)[..., :36], atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blurs_keep_a_flat_picture(severity: int) -> None:
    for kernel in (blur.gaussian, blur.zoom, elastic.transform):
        np.testing.assert_allclose(kernel(flat()[:, :40, :50].copy(), severity, RNG), LEVEL, rtol=1e-6)


@pytest.mark.parametrize(("severity", "factor"), list(enumerate([0.4, 0.3, 0.2, 0.1, 0.05], 1)))
def test_contrast_keeps_means_and_scales_deviations(severity: int, factor: float) -> None:
    tile = retina()
    out = light.contrast(tile, severity, RNG)
    np.testing.assert_allclose(out.mean(axis=(1, 2)), tile.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(out.std(axis=(1, 2)), factor * tile.std(axis=(1, 2)), rtol=1e-4)


def test_light_has_its_limits() -> None:
    black, grey = np.zeros((3, 2, 2), np.float32), np.full((3, 2, 2), 0.5, np.float32)
    np.testing.assert_allclose(light.brightness(black, 3, RNG), 0.3)
    np.testing.assert_array_equal(light.brightness(grey, 5, RNG), 1)
    for severity in SEVERITIES:
        np.testing.assert_array_equal(light.saturate(black, severity, RNG), 0)
    np.testing.assert_array_equal(light.saturate(grey, 3, RNG), grey)
    np.testing.assert_allclose(light.saturate(grey, 5, RNG)[:, 0, 0], [0.5, 0.4, 0.4])


def test_an_affine_map_takes_the_corners_back() -> None:
    corners = elastic.triangle(48, 61)
    np.testing.assert_array_equal(corners, [(46, 40), (46, 8), (14, 8)])
    moved = corners + RNG.uniform(-5, 5, corners.shape)
    back = elastic.affine(moved, corners)
    np.testing.assert_allclose(back @ np.column_stack([moved, np.ones(3)]).T, corners.T)
    np.testing.assert_allclose(elastic.affine(corners, corners), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize(("mirror_pixels", "mode"), [(True, "mirror"), (False, "reflect")])
def test_looking_up_is_scipys_also_far_outside(mirror_pixels: bool, mode: str) -> None:
    tile = retina()
    places = RNG.uniform(-150, 200, (2, 30, 40)).astype(np.float32)
    wanted = [ndimage.map_coordinates(c, places[::-1], order=1, mode=mode) for c in tile.astype(np.float64)]
    np.testing.assert_allclose(elastic.look_up(tile, places, mirror_pixels), wanted, atol=5e-5)


SHARES = [(2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)]


@pytest.mark.parametrize(("severity", "shares"), list(enumerate(SHARES, 1)))
def test_elastic_is_its_naive_form(severity: int, shares: tuple[float, float, float]) -> None:
    """Pixel by pixel with scipy, from the same draws: affine map, then displacements."""
    tile, rng = retina(72, 96), np.random.default_rng(severity)
    alpha, sigma, reach = (72 * s for s in shares)
    corners = elastic.triangle(72, 96)
    moved = corners + rng.uniform(-reach, reach, (3, 2))
    y, x = np.mgrid[:72, :96].astype(np.float64)
    weights = np.linalg.inv(np.vstack([moved.T, np.ones(3)])) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    at = (corners.T @ weights).reshape(2, 72, 96)
    sheared = [ndimage.map_coordinates(c, at[::-1], order=1, mode="mirror") for c in tile.astype(np.float64)]
    dx, dy = (ndimage.gaussian_filter(n, sigma, mode="reflect", truncate=3) for n in rng.uniform(-1, 1, (2, 72, 96)))
    at = np.stack([y + alpha * dy, x + alpha * dx])
    wanted = [ndimage.map_coordinates(c, at, order=1, mode="reflect") for c in sheared]
    out = elastic.transform(tile, severity, np.random.default_rng(severity))
    np.testing.assert_allclose(out, wanted, atol=2e-4)


def test_displacements_of_nothing_are_nothing() -> None:
    assert not elastic.displacements(12, 9, Elastic(0, 0.1, 0), RNG).any()
