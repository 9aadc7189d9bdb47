"""Operators that a camera has beyond the thesis's: highlight clip, lens shading, tone curve, JPEG."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.errors import ParamsError
from tasks.isp.chain import parse_chain
from tasks.isp.engine import develop, develop_window, frame_of, normalise, quantise, view_of
from tasks.isp.jpeg import Jpeg, outwards
from tasks.isp.lens_shading import LensShading
from tasks.isp.operator import Place
from tasks.isp.tensors import view_tensor
from tasks.isp.tone_curve import ToneCurve

Camera = Callable[..., Calibration]
LEVELS = ["black_level", "white_level", "bilinear", "white_balance"]
K = (0.6, -0.3, 0.2, -0.1, 0.05)
SHADING = {"lens_shading": {"k": list(K)}}
POINTS = [[0, 0.02], [0.1, 0.02], [0.3, 0.5], [0.31, 0.52], [1, 0.9]]
BLUR = {"gaussian": {"sigma_px": 0.5, "truncate": 4, "channels": "rgb"}}


def jpeg(quality: int = 60, subsampling: str = "420") -> dict[str, Any]:
    return {"jpeg": {"quality": quality, "subsampling": subsampling}}


def tone(kind: str = "cubic", points: Any = POINTS) -> dict[str, Any]:
    return {"tone_curve": {"points": points, "kind": kind}}


CHAINS: dict[str, list[Any]] = {
    "shading": [SHADING, "malvar", BLUR, "clip"],
    "highlights": ["black_level", "bilinear", "white_balance", {"highlight_clip": {"saturation": 0.4}}, BLUR, "clip"],
    "curve": ["malvar", "clip", tone("linear"), tone("cubic")],
    "jpeg whole chroma": ["malvar", "clip", jpeg(60, "444"), BLUR, "clip"],
    "jpeg halved chroma": ["malvar", "clip", jpeg(60, "420"), BLUR, "clip", jpeg(30, "444")],
    "all": [*LEVELS[:2], SHADING, *LEVELS[2:], {"highlight_clip": {"saturation": 1}}, "clip", tone(), jpeg()],
}


@pytest.mark.parametrize("name", CHAINS)
def test_tiles_and_windows_equal_the_whole_frame_bit_for_bit(camera: Camera, name: str) -> None:
    mosaic = np.random.default_rng(1).integers(4096, 40000, (75, 93)).astype(np.uint16)
    calibration = camera(pattern="GBRG", black_level_dn=(4000.0,) * 4, white_balance=(2.0, 1.1, 1.6))
    chain, frame = parse_chain(CHAINS[name], "test"), frame_of(mosaic, calibration)
    whole = quantise(view_of(chain, mosaic, calibration))
    assert whole.std() > 1000
    for tile, threads in [((16, 16), 1), ((17, 31), 3), ((75, 20), 2), ((1, 93), 1), ((64, 64), 2)]:
        np.testing.assert_array_equal(develop(chain, mosaic, calibration, tile, threads), whole)
    for rows, columns in [((0, 16), (0, 93)), ((74, 75), (92, 93)), ((13, 41), (3, 4))]:
        part = develop_window(chain, frame, rows, columns, (16, 16))
        np.testing.assert_array_equal(part, whole[:, slice(*rows), slice(*columns)])


def test_a_blown_highlight_is_neutral(camera: Camera) -> None:
    calibration = camera(white_level_dn=60000.0, black_level_dn=(400.0,) * 4, white_balance=(2.0, 0.75, 1.5))
    mosaic = np.full((8, 8), 60000, np.uint16)
    blown = view_of(parse_chain([*LEVELS, "clip"], "test"), mosaic, calibration)
    assert np.ptp(blown[:, 4, 4]) > 0.24
    clipped = view_of(
        parse_chain([*LEVELS, {"highlight_clip": {"saturation": 1}}, "clip"], "test"), mosaic, calibration
    )
    np.testing.assert_allclose(clipped, 0.75, rtol=0, atol=1e-6)


def test_what_is_not_blown_is_left_alone(camera: Camera) -> None:
    mosaic = np.random.default_rng(2).integers(0, 20000, (12, 12)).astype(np.uint16)
    calibration = camera(white_balance=(2.0, 1.0, 1.5))
    steps = ["bilinear", "white_balance", "clip"]
    clipped = [*steps[:2], {"highlight_clip": {"saturation": 1}}, "clip"]
    views = [view_of(parse_chain(s, "test"), mosaic, calibration) for s in (steps, clipped)]
    np.testing.assert_array_equal(*views)


def test_highlights_of_a_fitted_white_balance_are_refused(camera: Camera) -> None:
    chain = parse_chain(["bilinear", "white_balance", {"highlight_clip": {"saturation": 1}}, "clip"], "test")
    with pytest.raises(ParamsError, match=r"gain of -0\.6567 .* leave highlight_clip out"):
        view_of(chain, np.zeros((4, 4), np.uint16), camera(white_balance=(-0.6567, 1.9673, 3.5304)))


def shaded(shape: tuple[int, int], camera: Camera, k: tuple[float, ...] = K) -> NDArray[Any]:
    """The gain itself: what becomes of a mosaic of ones."""
    return LensShading(k=k).apply(np.ones(shape, np.float32), Place(camera(), frame_px=shape))


@pytest.mark.parametrize("shape", [(9, 13), (8, 14), (2, 2)])
def test_the_gain_is_one_at_the_centre_and_the_sum_at_the_corners(camera: Camera, shape: tuple[int, int]) -> None:
    gain = shaded(shape, camera)
    for turned in (gain[::-1], gain[:, ::-1]):
        np.testing.assert_array_equal(gain, turned)
    assert gain[0, 0] == np.float32(1 + sum(K))
    if shape == (9, 13):
        assert gain[4, 6] == 1
    assert (shaded(shape, camera, (0,) * 5) == 1).all()


def test_a_flat_scene_behind_a_lens_becomes_flat(camera: Camera) -> None:
    y, x = np.mgrid[:41, :61]
    r = np.hypot(y - 20, x - 30) / np.hypot(20, 30)
    fall = 1 / (1 + 0.6 * r**2 - 0.3 * r**4 + 0.2 * r**6 - 0.1 * r**8 + 0.05 * r**10)
    mosaic = np.rint(40000 * fall).astype(np.uint16)
    assert mosaic.min() < 30000
    view = view_of(parse_chain([SHADING, "bilinear", "clip"], "test"), mosaic, camera())
    np.testing.assert_allclose(view, 40000 / 65535, rtol=0, atol=2e-5)


def test_beyond_the_frame_the_gain_is_mirrored(camera: Camera) -> None:
    gain, place = shaded((9, 13), camera), Place(camera(), -4, -6, (9, 13))
    wide = LensShading(k=K).apply(np.ones((17, 25), np.float32), place)
    np.testing.assert_array_equal(wide, np.pad(gain, ((4, 4), (6, 6)), mode="reflect"))


def test_lens_shading_must_know_the_frame(camera: Camera) -> None:
    with pytest.raises(ValueError, match="size of the frame"):
        LensShading(k=K).apply(np.ones((4, 4), np.float32), Place(camera()))


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_a_curve_goes_through_its_points_and_never_falls(camera: Camera, kind: Any) -> None:
    operator, points = ToneCurve(points=POINTS, kind=kind), np.array(POINTS, np.float32)
    at_points = operator.apply(points[None, :, :1].repeat(3, 0), Place(camera()))
    np.testing.assert_allclose(at_points[0], points[:, 1:], rtol=0, atol=1e-7)
    values = np.linspace(0, 1, 30001, dtype=np.float32)
    out = operator.apply(np.broadcast_to(values, (3, 1, 30001)), Place(camera()))[0, 0]
    assert np.diff(out).min() > -2e-7
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_the_straight_curve_changes_nothing(camera: Camera, kind: Any) -> None:
    image = np.random.default_rng(3).random((3, 9, 8), np.float32)
    straight = ToneCurve(points=[[0, 0], [1, 1]], kind=kind)
    np.testing.assert_array_equal(straight.apply(image, Place(camera())), image)


BAD: list[tuple[Any, str]] = [
    (["bilinear", "clip", tone(points=[[0, 0]])], "from in = 0 to in = 1"),
    (["bilinear", "clip", tone(points=[[0.1, 0], [1, 1]])], "from in = 0 to in = 1"),
    (["bilinear", "clip", tone(points=[[0, 0], [0.9, 1]])], "from in = 0 to in = 1"),
    (["bilinear", "clip", tone(points=[[0, 0], [0.5, 0.7], [0.5, 0.8], [1, 1]])], "further right"),
    (["bilinear", "clip", tone(points=[[0, 0], [0.5, 0.7], [1, 0.6]])], "none lower"),
    (["bilinear", "clip", tone(points=[[0, 0], [1, 1.2]])], "less than or equal to 1"),
    (["bilinear", tone()], "tone_curve may get values outside"),
    (["bilinear", jpeg()], "jpeg may get values outside"),
    (["bilinear", "clip", jpeg(0)], "quality"),
    (["bilinear", "clip", jpeg(101)], "quality"),
    (["bilinear", "clip", jpeg(90, "411")], "'444' or '420'"),
    (["bilinear", SHADING, "clip"], "one demosaicing"),
    (["bilinear", {"highlight_clip": {"saturation": 0}}, "clip"], "saturation"),
    ([{"lens_shading": {"k": [0.1, 0.2]}}, "bilinear", "clip"], "k"),
]


@pytest.mark.parametrize(("steps", "words"), BAD)
def test_bad_params_are_refused_in_one_line(steps: Any, words: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_chain(steps, "params.yaml#x")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "count", "grain", "reach", "span"),
    [(0, 8, 8, 0, (0, 8)), (-1, 2, 8, 0, (-8, 8)), (7, 10, 8, 0, (0, 24)), (17, 1, 16, 16, (0, 48))],
)
def test_spans_hold_whole_blocks(start: int, count: int, grain: int, reach: int, span: tuple[int, int]) -> None:
    assert outwards(start, count, grain, reach) == span


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_a_grey_image_survives_a_good_jpeg_and_not_a_bad_one(camera: Camera, subsampling: Any) -> None:
    y, x = np.mgrid[:96, :110]
    grey = (0.5 + 0.2 * np.sin(y / 3) * np.cos(x / 2)).astype(np.float32)
    image, errors = np.stack([grey] * 3), []
    for quality in (100, 75, 10):
        operator = Jpeg(quality=quality, subsampling=subsampling)
        inner = slice(operator.halo_px, -operator.halo_px)
        coded = operator.apply(image, Place(camera()))
        assert len(np.unique(coded)) <= 256
        errors.append(float(np.abs(coded - image[:, inner, inner]).max() * 255))
    assert errors[0] <= 2
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jpeg_by_torch_gives_the_same_steps_for_each_of_a_batch(camera: Camera, dtype: torch.dtype) -> None:
    images = np.random.default_rng(4).random((2, 3, 80, 90), np.float32)
    operator, place = Jpeg(quality=70, subsampling="420"), Place(camera(), 5, -3)
    coded = operator.apply(torch.from_numpy(images).to(dtype), place)
    assert coded.dtype == dtype
    for one, image in zip(coded.numpy(), images, strict=True):
        np.testing.assert_allclose(one, operator.apply(image, place), rtol=0, atol=1e-7)


def test_jpeg_has_no_gradient_and_says_so(camera: Camera) -> None:
    image = torch.rand(3, 80, 80, requires_grad=True)
    operator = Jpeg(quality=70, subsampling="444")
    with pytest.raises(ValueError, match="jpeg has no gradient"):
        operator.apply(image, Place(camera()))
    with torch.no_grad():
        assert operator.apply(image * 1, Place(camera())).shape == (3, 66, 66)


@pytest.mark.parametrize("name", ["shading", "highlights", "curve"])
@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_torch_equals_the_cpu_on_every_pixel_and_has_gradients(camera: Camera, name: str, pattern: str) -> None:
    calibration = camera(pattern=pattern, black_level_dn=(2000.0,) * 4, white_balance=(2.0, 1.1, 1.6))
    chain = parse_chain(CHAINS[name], "test")
    batch = np.random.default_rng(5).integers(6000, 40000, (2, 21, 18)).astype(np.uint16)
    views = view_tensor(chain, torch.from_numpy(normalise(batch)), calibration).numpy()
    for view, mosaic in zip(views, batch, strict=True):
        np.testing.assert_allclose(view, view_of(chain, mosaic, calibration), rtol=0, atol=1e-5)
    exact = torch.from_numpy(batch[0, :6, :7] / 65535).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: view_tensor(chain, m, calibration), exact)
