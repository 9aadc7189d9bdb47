"""Against independent implementations: colour-demosaicing, scikit-image and SciPy, on the interior.

Their border rules are others ("reflect" repeats the outermost sample and breaks the Bayer phase; Menon's
decision pads with zeros), so 16 px are left out on each side; tests/unit/isp holds the border.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_demosaicing import (
    demosaicing_CFA_Bayer_bilinear,
    demosaicing_CFA_Bayer_Malvar2004,
    demosaicing_CFA_Bayer_Menon2007,
)
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data, filters

from tasks.contracts import Calibration
from tasks.isp.chain import Chain
from tasks.isp.engine import view_of
from tasks.isp.gaussian import blur
from tasks.isp.luma import YUV_FROM_RGB, luma
from tasks.isp.median import median
from tasks.isp.operators import OPERATORS
from tasks.isp.params import load_variant
from tasks.isp.sharpening_filter import sharpen
from tasks.isp.unsharp_mask import unsharp

PARAMS = Path(__file__).parents[3] / "params.yaml"
PATTERNS = ["RGGB", "BGGR", "GRBG", "GBRG"]
EDGE = 16
INNER = (slice(None), slice(EDGE, -EDGE), slice(EDGE, -EDGE))
VARIANTS = [f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in ("s", "u") for n in ("me", "ga")]
Float = NDArray[np.float64]

DEMOSAIC: dict[str, Callable[[Float, str], Float]] = {
    "bi": demosaicing_CFA_Bayer_bilinear,
    "ma": demosaicing_CFA_Bayer_Malvar2004,
    "me": demosaicing_CFA_Bayer_Menon2007,
}
LAPLACIAN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
SHARPEN: dict[str, Callable[[Float], Float]] = {
    "s": lambda y: ndimage.convolve(y, LAPLACIAN),
    "u": lambda y: filters.unsharp_mask(y, radius=1, amount=1, preserve_range=True),
}
DENOISE: dict[str, Callable[[Float], Float]] = {
    "me": lambda y: ndimage.median_filter(y, size=3),
    "ga": lambda y: ndimage.gaussian_filter(y, sigma=0.5),
}


def calibration(pattern: str) -> Calibration:
    """The published drone camera (thesis A's data set), black level in mosaic order."""
    return Calibration.model_validate(
        {
            "pattern": pattern,
            "black_level_dn": [0.0625 * 65535, 0.0626 * 65535, 0.0625 * 65535, 0.0626 * 65535],
            "white_level_dn": 65535,
            "white_balance": [2.86653646, 1.0, 1.73079425],
            "colour_matrix": [
                [1.50768983, -0.33571374, -0.17197604],
                [-0.23048614, 1.70698738, -0.47650126],
                [-0.03119153, -0.32803956, 1.35923111],
            ],
            "exposure_s": None,
            "iso": None,
            "gain_dn_per_e": None,
            "left_justified_bits": 4,
        }
    )


@pytest.fixture(scope="module")
def mosaic() -> NDArray[np.uint16]:
    """A real texture as a mosaic (tissue, 150x154), with noise so that no two directions tie."""
    scene = data.immunohistochemistry()[100:250, 60:214].astype(np.float64) / 255
    noisy = scene[..., 1] + np.random.default_rng(1).normal(0, 0.01, scene.shape[:2])
    return np.rint(np.clip(0.07 + 0.4 * noisy, 0, 1) * 65535).astype(np.uint16)


def reference_chain(raw: NDArray[np.uint16], camera: Calibration, variant: str) -> Float:
    """Thesis A, eq. 3.5, in float64 by the libraries it names: (y, x, 3) in [0, 1]."""
    demosaic, sharpen_by, denoise_by = variant.split(",")
    mosaic = raw / 65535
    for site, level in enumerate(camera.black_level_dn):
        mosaic[site // 2 :: 2, site % 2 :: 2] -= level / 65535
    rgb = DEMOSAIC[demosaic](mosaic, camera.pattern) * np.array(camera.white_balance)
    yuv = color.rgb2yuv(rgb @ np.array(camera.colour_matrix).T)
    yuv[..., 0] = DENOISE[denoise_by](SHARPEN[sharpen_by](yuv[..., 0]))
    return np.clip(color.yuv2rgb(yuv), 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_equals_the_chain_of_the_named_libraries(
    mosaic: NDArray[np.uint16], variant: str, pattern: str
) -> None:
    camera = calibration(pattern)
    ours = view_of(load_variant(PARAMS, variant), mosaic, camera)
    theirs = np.moveaxis(reference_chain(mosaic, camera, variant), -1, 0)
    linear = np.abs(ours**2.2 - theirs**2.2)[INNER]
    assert linear.max() < 1e-5
    # The slope of the gamma curve at 0 has no bound: 1e-6 in linear light is 2e-3 there.
    visible = theirs[INNER] > 0.05
    assert visible.mean() > 0.5
    assert np.abs(ours - theirs)[INNER][visible].max() < 1e-4


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("name", "params", "theirs"),
    [
        ("bilinear", {}, DEMOSAIC["bi"]),
        ("malvar", {}, DEMOSAIC["ma"]),
        ("menon", {"refine": True}, DEMOSAIC["me"]),
        ("menon", {"refine": False}, lambda m, p: demosaicing_CFA_Bayer_Menon2007(m, p, refining_step=False)),
    ],
)
def test_demosaicing(
    mosaic: NDArray[np.uint16], pattern: str, name: str, params: dict[str, Any], theirs: Callable[[Float, str], Float]
) -> None:
    ours = view_of(Chain((OPERATORS[name](**params),)), mosaic, calibration(pattern))
    expected = np.moveaxis(theirs(mosaic / 65535, pattern), -1, 0)
    np.testing.assert_allclose(ours[INNER], expected[INNER], rtol=0, atol=2e-6)


@pytest.fixture(scope="module")
def plane() -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(0.4, 0.5, (61, 58)).astype(np.float32)


def same_size(plane: NDArray[np.float32], halo: int) -> NDArray[np.float32]:
    return np.pad(plane, halo, mode="reflect")


@pytest.mark.parametrize(("sigma", "truncate"), [(0.5, 4.0), (1.0, 4.0), (2.3, 3.0)])
def test_gaussian_on_every_pixel(plane: NDArray[np.float32], sigma: float, truncate: float) -> None:
    ours = blur(same_size(plane, int(truncate * sigma + 0.5)), sigma, truncate)
    theirs = ndimage.gaussian_filter(plane.astype(float), sigma, truncate=truncate, mode="mirror")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_median_on_every_pixel_bit_for_bit(plane: NDArray[np.float32], size: int) -> None:
    ours = median(same_size(plane, size // 2), size)
    np.testing.assert_array_equal(ours, ndimage.median_filter(plane, size=size, mode="mirror"))


def test_sharpening_filter_on_every_pixel(plane: NDArray[np.float32]) -> None:
    theirs = ndimage.correlate(plane.astype(float), LAPLACIAN, mode="mirror")
    np.testing.assert_allclose(sharpen(same_size(plane, 1)), theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("radius", "amount"), [(1, 1), (2, 0.7)])
def test_unsharp_mask(plane: NDArray[np.float32], radius: float, amount: float) -> None:
    halo = 4 * radius
    theirs = filters.unsharp_mask(plane.astype(float), radius, amount, preserve_range=True)
    ours = unsharp(plane, radius, amount, 4)
    np.testing.assert_allclose(ours, theirs[halo:-halo, halo:-halo], rtol=0, atol=2e-6)


def test_luma_and_yuv_are_those_of_scikit_image() -> None:
    image = np.random.default_rng(3).random((9, 8, 3))
    planes = np.moveaxis(image, -1, 0).astype(np.float32)
    theirs = color.rgb2yuv(image)
    np.testing.assert_allclose(luma(planes), theirs[..., 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(image @ YUV_FROM_RGB.T, theirs, rtol=0, atol=1e-12)
