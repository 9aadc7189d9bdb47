"""Common corruptions against the libraries that ImageNet-C calls: scikit-image and OpenCV."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from skimage import color, data, filters, util

from tasks.drift.corruptions import blur, elastic, light, noise

Tile = NDArray[np.float32]
RNG = np.random.default_rng(3)


def tissue(side_px: int = 96) -> Tile:
    return np.ascontiguousarray(np.moveaxis(data.immunohistochemistry()[:side_px, :side_px] / 255, -1, 0), np.float32)


def colours() -> Tile:
    """A lattice of colours with all corners and greys, dark ones and random ones."""
    g = np.random.default_rng(1)
    lattice = np.stack(np.meshgrid(*[np.linspace(0, 1, 8)] * 3, indexing="ij")).reshape(3, 32, 16)
    return np.concatenate([lattice, g.random((3, 32, 16)) * 0.02, g.random((3, 32, 16))], axis=1).astype(np.float32)


def changed(channel: int, factor: float, added: float) -> NDArray[np.float64]:
    hsv = color.rgb2hsv(colours().astype(np.float64), channel_axis=0)
    hsv[channel] = np.clip(hsv[channel] * factor + added, 0, 1)
    return np.asarray(color.hsv2rgb(hsv, channel_axis=0))


@pytest.mark.parametrize(("severity", "added"), list(enumerate([0.1, 0.2, 0.3, 0.4, 0.5], 1)))
def test_brightness_is_a_change_of_scikit_images_v(severity: int, added: float) -> None:
    np.testing.assert_allclose(light.brightness(colours(), severity, RNG), changed(2, 1, added), atol=1e-6)


@pytest.mark.parametrize(("severity", "change"), list(enumerate([(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)], 1)))
def test_saturate_is_a_change_of_scikit_images_s(severity: int, change: tuple[float, float]) -> None:
    np.testing.assert_allclose(light.saturate(colours(), severity, RNG), changed(1, *change), atol=2e-6)


@pytest.mark.parametrize(("severity", "sigma_px"), list(enumerate([1, 2, 3, 4, 6], 1)))
def test_gaussian_blur_is_scikit_images(severity: int, sigma_px: float) -> None:
    wanted = filters.gaussian(tissue().astype(np.float64), sigma_px, channel_axis=0)
    np.testing.assert_allclose(blur.gaussian(tissue(), severity, RNG), wanted, atol=1e-6)


NOISES: list[tuple[Any, str, dict[str, float]]] = [
    (noise.gaussian, "gaussian", {"var": 0.18**2, "clip": False}),
    (noise.speckle, "speckle", {"var": 0.35**2, "clip": False}),
    (noise.impulse, "s&p", {"amount": 0.09}),
]


@pytest.mark.parametrize(("kernel", "mode", "options"), NOISES, ids=[mode for _, mode, _ in NOISES])
def test_noise_is_distributed_as_scikit_images(kernel: Any, mode: str, options: dict[str, float]) -> None:
    """On a real picture, at severity 3: what was changed and by how much, pooled over all values."""
    picture = tissue(256)
    wanted = util.random_noise(picture.astype(np.float64), mode=mode, rng=1, **options) - picture
    found = (kernel(picture, 3, np.random.default_rng(2)) - picture).astype(np.float64)
    assert ks_2samp(found.ravel(), wanted.ravel()).pvalue > 1e-3
    np.testing.assert_allclose([found.mean(), found.var()], [wanted.mean(), wanted.var()], atol=2e-3, rtol=0.02)


def test_the_affine_map_is_opencvs() -> None:
    """OpenCV's interpolation may round places to 1/32 px, which is what the tolerance allows for."""
    tile = filters.gaussian(tissue(), 2, channel_axis=0).astype(np.float32)
    corners = elastic.triangle(96, 96)
    moved = corners + np.random.default_rng(4).uniform(-19, 19, corners.shape)
    there = cv2.getAffineTransform(corners.astype(np.float32), moved.astype(np.float32))
    wanted = cv2.warpAffine(np.moveaxis(tile, 0, -1), there, (96, 96), borderMode=cv2.BORDER_REFLECT_101)
    places = np.tensordot(elastic.affine(moved, corners), elastic.grid(96, 96), 1).astype(np.float32)
    out = elastic.look_up(tile, places, mirror_pixels=True)
    np.testing.assert_allclose(out, np.moveaxis(wanted, -1, 0), atol=2e-3)
    assert np.abs(out - tile).mean() > 0.02
