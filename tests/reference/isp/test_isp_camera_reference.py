"""The tone curve against NumPy and SciPy, JPEG against Pillow."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import PchipInterpolator
from skimage import data

from tasks.contracts import Calibration
from tasks.isp.jpeg import Jpeg
from tasks.isp.operator import Place
from tasks.isp.tone_curve import ToneCurve

POINTS = ((0, 0.02), (0.1, 0.02), (0.3, 0.5), (0.31, 0.52), (1, 0.9))


@pytest.fixture
def place() -> Place:
    neutral = {"exposure_s": None, "iso": None, "gain_dn_per_e": None, "left_justified_bits": 0}
    levels = {"black_level_dn": (0, 0, 0, 0), "white_level_dn": 65535, "white_balance": (1, 1, 1)}
    matrix = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    return Place(Calibration.model_validate({"pattern": "RGGB", "colour_matrix": matrix, **levels, **neutral}))


def test_curves_are_those_of_numpy_and_scipy(place: Place) -> None:
    image = np.linspace(0, 1, 3 * 999, dtype=np.float32).reshape(3, 27, 37)
    x, y = np.array(POINTS).T
    linear, cubic = (ToneCurve(points=POINTS, kind=kind).apply(image, place) for kind in ("linear", "cubic"))
    np.testing.assert_allclose(linear, np.interp(image, x, y), rtol=0, atol=2e-7)
    np.testing.assert_allclose(cubic, PchipInterpolator(x, y)(image), rtol=0, atol=5e-7)
    assert np.abs(linear - cubic).max() > 0.01


def pillow(pixels: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    file = BytesIO()
    ratios = {"444": "4:4:4", "420": "4:2:0"}
    Image.fromarray(pixels).save(file, "jpeg", quality=quality, subsampling=ratios[subsampling])
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [5, 50, 75, 92, 100])
@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize("side", [128, 117])
def test_jpeg_is_that_of_a_file(place: Place, quality: int, subsampling: Any, side: int) -> None:
    """All whole blocks bit for bit; of halved chroma but the outermost, whose chroma a file cannot interpolate."""
    pixels = np.ascontiguousarray(data.astronaut()[:side, 100 : 100 + side])
    operator = Jpeg(quality=quality, subsampling=subsampling)
    halo = operator.halo_px
    image = np.pad(pixels.transpose(2, 0, 1) / np.float32(255), ((0, 0), (halo, halo), (halo, halo)), mode="reflect")
    ours = np.rint(operator.apply(image, Place(place.calibration, -halo, -halo)) * 255).astype(np.uint8)
    theirs = pillow(pixels, quality, subsampling).transpose(2, 0, 1)
    whole = side - side % (8 if subsampling == "444" else 16)
    inner = slice(0, whole) if subsampling == "444" else slice(1, whole - 1)
    np.testing.assert_array_equal(ours[:, inner, inner], theirs[:, inner, inner])
    assert np.abs(ours[:, inner, inner].astype(int) - pixels.transpose(2, 0, 1)[:, inner, inner]).max() > 0
