"""Each operator against what must come out by its definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.isp.bayer import split
from tasks.isp.border import mirror_indices
from tasks.isp.chain import Chain
from tasks.isp.clip import clip
from tasks.isp.colour_matrix import mix
from tasks.isp.engine import view_of
from tasks.isp.gamma import encode
from tasks.isp.gaussian import blur
from tasks.isp.luma import RGB_FROM_YUV, YUV_FROM_RGB, filtered, luma
from tasks.isp.median import median
from tasks.isp.operator import Place
from tasks.isp.operators import OPERATORS
from tasks.isp.separable import gaussian_weights
from tasks.isp.sharpening_filter import sharpen
from tasks.isp.unsharp_mask import unsharp

PATTERNS = ["RGGB", "BGGR", "GRBG", "GBRG"]
DEMOSAICS = [("bilinear", {}), ("malvar", {}), ("menon", {"refine": True}), ("menon", {"refine": False})]
Camera = Callable[..., Calibration]
Sampler = Callable[[NDArray[Any], str], NDArray[Any]]


def demosaic(name: str, params: dict[str, Any], mosaic: NDArray[Any], calibration: Calibration) -> NDArray[Any]:
    return view_of(Chain((OPERATORS[name](**params),)), mosaic, calibration)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("name", "params"), DEMOSAICS)
@pytest.mark.parametrize("shape", [(2, 2), (7, 9), (24, 18)])
def test_a_flat_colour_stays_flat_to_the_last_pixel(
    camera: Camera, mosaic_of: Sampler, pattern: str, name: str, params: dict[str, Any], shape: tuple[int, int]
) -> None:
    colour = np.array([51400, 20560, 5140], np.uint16)
    scene = np.broadcast_to(colour[:, None, None], (3, *shape))
    view = demosaic(name, params, mosaic_of(scene, pattern), camera(pattern=pattern))
    assert view.shape == (3, *shape)
    np.testing.assert_allclose(view, scene / 65535, rtol=0, atol=1.5e-7)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("name", "params"), DEMOSAICS)
def test_a_ramp_of_constant_colour_difference_is_reproduced(
    camera: Camera, mosaic_of: Sampler, pattern: str, name: str, params: dict[str, Any]
) -> None:
    y, x = np.mgrid[:40, :48]
    scene = np.stack([offset + 400 * y + 300 * x for offset in (20000, 9000, 3000)]).astype(np.uint16)
    view = demosaic(name, params, mosaic_of(scene, pattern), camera(pattern=pattern))
    inner = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(view[inner], (scene / 65535)[inner], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "params"), DEMOSAICS)
def test_samples_are_kept_where_they_were_taken(
    camera: Camera, mosaic_of: Sampler, name: str, params: dict[str, Any]
) -> None:
    mosaic = np.random.default_rng(3).integers(0, 65536, (22, 26)).astype(np.uint16)
    view = demosaic(name, params, mosaic, camera(pattern="GBRG"))
    np.testing.assert_array_equal(mosaic_of(view, "GBRG"), mosaic / np.float32(65535))


def impulse(y: int, x: int, side: int = 12) -> NDArray[np.uint16]:
    mosaic = np.zeros((side, side), np.uint16)
    mosaic[y, x] = 65535
    return mosaic


def test_bilinear_spreads_one_red_sample_by_its_kernel(camera: Camera) -> None:
    view = demosaic("bilinear", {}, impulse(4, 6), camera())
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    np.testing.assert_array_equal(view[0, 3:6, 5:8], kernel)
    assert view.sum() == kernel.sum()


def test_bilinear_spreads_one_green_sample_by_its_kernel(camera: Camera) -> None:
    view = demosaic("bilinear", {}, impulse(4, 5), camera())
    kernel = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    np.testing.assert_array_equal(view[1, 3:6, 4:7], kernel)
    assert view.sum() == kernel.sum()


def test_a_corner_sample_counts_twice_beyond_the_border(camera: Camera) -> None:
    """Red at (0, 0) of RGGB: (1, 1) sees it once and three samples that are 0, (0, 1) once of two."""
    view = demosaic("bilinear", {}, impulse(0, 0), camera())
    np.testing.assert_array_equal(view[0, :2, :2], [[1, 0.5], [0.5, 0.25]])
    view = demosaic("bilinear", {}, impulse(1, 1), camera())
    assert view[2, 0, 0] == 1.0, "blue at (1, 1) is seen four times from the corner, through both mirrors"


def test_malvar_weights_of_one_green_sample(camera: Camera) -> None:
    """Columns of the paper's fig. 2, read backwards: what a green sample gives to its neighbours."""
    view = demosaic("malvar", {}, impulse(4, 5), camera())
    assert view[1, 4, 4] == 2 / 8
    assert view[0, 4, 5] == 5 / 8
    assert view[0, 4, 3] == view[0, 4, 7] == -1 / 8
    assert view[0, 2, 5] == view[0, 6, 5] == 0.5 / 8
    assert view[0, 3, 4] == view[0, 5, 6] == -1 / 8


def test_menon_takes_green_along_an_edge(camera: Camera, mosaic_of: Sampler) -> None:
    """A grey step between two columns: no colour fringe beside the edge, where bilinear makes one."""
    scene = np.zeros((3, 24, 24), np.uint16)
    scene[:, :, 12:] = 52428
    fringe = {}
    for name, params in DEMOSAICS[:3]:
        view = demosaic(name, params, mosaic_of(scene, "RGGB"), camera())
        fringe[name] = float(np.abs(view - view[:1]).max())
    assert fringe["menon"] < 1e-6
    assert fringe["bilinear"] > 0.1


def test_unrefined_menon_differs_from_refined(camera: Camera) -> None:
    mosaic = np.random.default_rng(4).integers(0, 65536, (20, 20)).astype(np.uint16)
    one = demosaic("menon", {"refine": True}, mosaic, camera())
    other = demosaic("menon", {"refine": False}, mosaic, camera())
    assert np.abs(one - other).max() > 1e-3


def test_half_quads_are_refused() -> None:
    with pytest.raises(ValueError, match="even sides"):
        split(np.zeros((4, 5), np.float32))


@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_mirror_is_numpy_reflect_and_keeps_parity(length: int) -> None:
    indices = mirror_indices(-9, length + 11, length)
    np.testing.assert_array_equal(indices, np.pad(np.arange(length), (9, 11), mode="reflect"))
    np.testing.assert_array_equal(indices % 2, np.arange(-9, length + 11) % 2)


def test_one_sample_cannot_be_mirrored() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        mirror_indices(0, 1, 1)


@pytest.mark.parametrize("origin", [(0, 0), (1, 0), (0, -1), (-3, 5)])
def test_black_level_stands_in_mosaic_order(camera: Camera, origin: tuple[int, int]) -> None:
    levels = (100.0, 200.0, 300.0, 400.0)
    frame = np.array(levels).reshape(2, 2)
    y, x = np.mgrid[origin[0] : origin[0] + 5, origin[1] : origin[1] + 7]
    mosaic = (frame[y % 2, x % 2] / 65535).astype(np.float32)
    place = Place(camera(pattern="BGGR", black_level_dn=levels), *origin)
    assert not OPERATORS["black_level"]().apply(mosaic, place).any()


def test_white_level_makes_saturation_one_at_every_site(camera: Camera) -> None:
    calibration = camera(black_level_dn=(100.0, 200.0, 300.0, 400.0), white_level_dn=60000.0)
    mosaic = np.full((4, 6), 60000 / 65535, np.float32)
    place = Place(calibration)
    linear = OPERATORS["white_level"]().apply(OPERATORS["black_level"]().apply(mosaic, place), place)
    np.testing.assert_allclose(linear, 1.0, rtol=0, atol=2e-7)


def test_white_balance_scales_channels(camera: Camera) -> None:
    place = Place(camera(white_balance=(2.0, 1.0, -0.5)))
    image = np.ones((3, 2, 2), np.float32)
    np.testing.assert_array_equal(OPERATORS["white_balance"]().apply(image, place)[:, 0, 0], [2.0, 1.0, -0.5])


def test_colour_matrix_takes_rows_as_outputs(camera: Camera) -> None:
    place = Place(camera(colour_matrix=((0, 1, 0), (0, 0, 1), (2, 0, 1))))
    image = np.array([1, 10, 100], np.float32).reshape(3, 1, 1)
    np.testing.assert_array_equal(OPERATORS["colour_matrix"]().apply(image, place).ravel(), [10, 100, 102])


@pytest.mark.parametrize("name", ["white_balance", "colour_matrix", "black_level"])
def test_a_neutral_camera_changes_nothing(camera: Camera, name: str) -> None:
    image = np.random.default_rng(5).random((3, 4, 6), np.float32)
    image = image[0] if name == "black_level" else image
    np.testing.assert_array_equal(OPERATORS[name]().apply(image, Place(camera())), image)


def test_sharpening_an_impulse_gives_the_kernel() -> None:
    plane = np.zeros((7, 7), np.float32)
    plane[3, 3] = 1
    np.testing.assert_array_equal(sharpen(plane)[1:4, 1:4], [[0, -1, 0], [-1, 5, -1], [0, -1, 0]])


def test_gaussian_of_an_impulse_is_the_published_kernel() -> None:
    """Thesis A, appendix A.1, K_BLUR (printed to five digits)."""
    plane = np.zeros((9, 9), np.float32)
    plane[4, 4] = 1
    row = [6.9625e-08, 2.8089e-05, 2.0755e-04, 2.8089e-05, 6.9625e-08]
    middle = [2.0755e-04, 8.3731e-02, 6.1869e-01, 8.3731e-02, 2.0755e-04]
    second = [2.8089e-05, 1.1332e-02, 8.3731e-02, 1.1332e-02, 2.8089e-05]
    np.testing.assert_allclose(blur(plane, 0.5, 4), [row, second, middle, second, row], rtol=1e-4)


def test_gaussian_weights_sum_to_one() -> None:
    weights = gaussian_weights(1.3, 4)
    assert len(weights) == 6
    assert weights[0] + 2 * sum(weights[1:]) == pytest.approx(1, abs=1e-15)


def test_unsharp_adds_what_the_gaussian_takes() -> None:
    plane = np.random.default_rng(6).random((20, 21), np.float32)
    inner = plane[4:-4, 4:-4]
    detail = unsharp(plane, 1, 2.5, 4) - inner
    np.testing.assert_allclose(detail, 2.5 * (inner - blur(plane, 1, 4)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(unsharp(plane, 1, 0, 4), inner)


@pytest.mark.parametrize("size", [3, 5])
def test_median_removes_an_impulse_and_keeps_an_edge(size: int) -> None:
    plane = np.zeros((11, 13), np.float32)
    plane[:, 7:] = 1
    noisy = plane.copy()
    noisy[5, 3] = 9
    inner = plane[size // 2 : -(size // 2), size // 2 : -(size // 2)]
    np.testing.assert_array_equal(median(noisy, size), inner)


@pytest.mark.parametrize("channels", ["luma", "yuv", "rgb"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sharpening_filter", {}),
        ("unsharp_mask", {"radius_px": 1, "amount": 1, "truncate": 4}),
        ("median", {"size_px": 3}),
        ("gaussian", {"sigma_px": 0.5, "truncate": 4}),
    ],
)
def test_filters_leave_a_flat_image_alone(camera: Camera, name: str, params: dict[str, Any], channels: str) -> None:
    operator = OPERATORS[name](**params, channels=channels)
    image = np.broadcast_to(np.array([0.2, 0.5, 0.9], np.float32)[:, None, None], (3, 20, 22))
    result = operator.apply(image, Place(camera()))
    assert result.shape == (3, 20 - 2 * operator.halo_px, 22 - 2 * operator.halo_px)
    np.testing.assert_allclose(result, image[:, : result.shape[1], : result.shape[2]], rtol=0, atol=2e-6)


def test_luma_filter_leaves_chroma_alone() -> None:
    image = np.random.default_rng(7).random((3, 12, 12), np.float32)
    before, after = (mix(i, YUV_FROM_RGB) for i in (image[:, 1:-1, 1:-1], filtered(image, "luma", sharpen, 1)))
    np.testing.assert_allclose(after[1:], before[1:], rtol=0, atol=2e-6)
    np.testing.assert_allclose(after[0], sharpen(luma(image)), rtol=0, atol=5e-6)
    assert np.abs(after[0] - before[0]).max() > 0.5


def test_yuv_filter_differs_from_luma_and_for_linear_filters_equals_rgb() -> None:
    image = np.random.default_rng(8).random((3, 12, 12), np.float32)
    by_yuv, by_rgb, by_luma = (filtered(image, c, sharpen, 1) for c in ("yuv", "rgb", "luma"))
    np.testing.assert_allclose(by_yuv, by_rgb, rtol=0, atol=1e-5)
    assert np.abs(by_yuv - by_luma).max() > 0.5


def test_yuv_goes_there_and_back() -> None:
    np.testing.assert_allclose(RGB_FROM_YUV @ YUV_FROM_RGB, np.eye(3), atol=1e-14)


def test_clip_and_gamma() -> None:
    values = np.array([-3, 0, 0.25, 1, 7], np.float32)
    np.testing.assert_array_equal(clip(values), [0, 0, 0.25, 1, 1])
    np.testing.assert_allclose(encode(clip(values), 2), [0, 0, 0.5, 1, 1], atol=1e-7)
    np.testing.assert_array_equal(encode(clip(values), 1), clip(values))


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_operators_are_pure(camera: Camera, name: str) -> None:
    """The input is left as it was, the result is float32 and smaller by the halo."""
    given = {
        "menon": {"refine": True},
        "sharpening_filter": {"channels": "luma"},
        "unsharp_mask": {"channels": "yuv", "radius_px": 1, "amount": 1, "truncate": 4},
        "median": {"channels": "rgb", "size_px": 3},
        "gaussian": {"channels": "luma", "sigma_px": 1, "truncate": 3},
        "gamma": {"gamma": 2.2},
        "highlight_clip": {"saturation": 0.5},
        "lens_shading": {"k": (1, 0, 0, 0, 0)},
        "tone_curve": {"points": ((0, 0), (0.5, 0.7), (1, 1)), "kind": "cubic"},
        "jpeg": {"quality": 50, "subsampling": "444"},
    }
    operator = OPERATORS[name](**given.get(name, {}))
    shape = (3, 26, 28) if operator.domain == "rgb" else (26, 28)
    image = np.random.default_rng(9).random(shape, np.float32)
    before = image.copy()
    result = operator.apply(image, Place(camera(pattern="BGGR"), frame_px=(26, 28)))
    np.testing.assert_array_equal(image, before)
    assert result.dtype == np.float32
    assert result.shape[-2:] == (26 - 2 * operator.halo_px, 28 - 2 * operator.halo_px)
    assert result.ndim == (2 if operator.domain == "mosaic" else 3)


def test_menon_takes_the_row_where_both_directions_are_even(camera: Camera) -> None:
    """A pattern that changes sign under transposition is equally uneven both ways; red lies on its diagonal."""
    steps = np.random.default_rng(10).integers(-64, 65, (36, 36))
    mosaic = (0.5 + (steps - steps.T) / 1024).astype(np.float32)
    y = x = 18
    green = OPERATORS["menon"](refine=False).apply(mosaic, Place(camera()))[1, y - 8, x - 8]
    row = (mosaic[y, x - 1] + mosaic[y, x + 1]) / 2 + (2 * mosaic[y, x] - mosaic[y, x - 2] - mosaic[y, x + 2]) / 4
    column = (mosaic[y - 1, x] + mosaic[y + 1, x]) / 2 + (2 * mosaic[y, x] - mosaic[y - 2, x] - mosaic[y + 2, x]) / 4
    assert row != column
    assert green == row
