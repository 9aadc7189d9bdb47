"""The torch backend equals the CPU's on every pixel, and the parametrised model the static one; their gradients."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.contracts import Calibration
from tasks.isp.chain import parse_chain
from tasks.isp.engine import normalise, view_of
from tasks.isp.operators import OPERATORS
from tasks.isp.parametrised import GROUPS, Parametrised, free_only, static
from tasks.isp.params import load_variant
from tasks.isp.tensors import view_tensor

ROOT = Path(__file__).parents[3]
PARAMS = ROOT / "params.yaml"
PATTERNS = ["RGGB", "BGGR", "GRBG", "GBRG"]
VARIANTS = [f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in ("s", "u") for n in ("me", "ga")]
SHAPES = [(2, 2), (3, 5), (21, 18), (32, 27)]
Camera = Callable[..., Calibration]
DRONE = {
    "black_level_dn": (4096.0, 4102.0, 4090.0, 4100.0),
    "white_balance": (2.86653646, 1.0, 1.73079425),
    "colour_matrix": (
        (1.50768983, -0.33571374, -0.17197604),
        (-0.23048614, 1.70698738, -0.47650126),
        (-0.03119153, -0.32803956, 1.35923111),
    ),
}

MICROSCOPE = {
    "black_level_dn": (0.6445,) * 4,
    "white_balance": (-0.6567, 1.9673, 3.5304),
    "colour_matrix": ((-2.0338, 0.0933, 0.4157), (-0.0286, 2.6464, -0.0574), (-0.5516, -0.0947, 2.9308)),
}
"""Fitted, with signs that cancel (thesis A's data set)."""


def mosaics(shape: tuple[int, int], count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(2000, 40000, (count, *shape)).astype(np.uint16)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("known", [DRONE, MICROSCOPE], ids=["drone", "microscope"])
def test_torch_equals_the_cpu_on_every_pixel(camera: Camera, known: dict[str, Any], variant: str, pattern: str) -> None:
    chain, calibration = load_variant(PARAMS, variant), camera(pattern=pattern, **known)
    for shape in SHAPES:
        batch = mosaics(shape)
        views = view_tensor(chain, torch.from_numpy(normalise(batch)), calibration)
        assert views.shape == (2, 3, *shape)
        assert views.dtype == torch.float32
        for view, mosaic in zip(views.numpy(), batch, strict=True):
            np.testing.assert_allclose(view, view_of(chain, mosaic, calibration), rtol=0, atol=1e-5)


SHADING = {"lens_shading": {"k": [0.5, -0.2, 0.1, 0, 0]}}
CURVE = {"tone_curve": {"points": [[0, 0], [0.2, 0.5], [1, 1]], "kind": "cubic"}}
FURTHER: list[Any] = [
    ["black_level", "white_level", {"menon": {"refine": False}}, "clip"],
    ["bilinear", {"median": {"size_px": 5, "channels": "rgb"}}, "clip"],
    ["malvar", {"unsharp_mask": {"radius_px": 1.5, "amount": 0.7, "truncate": 3, "channels": "yuv"}}, "clip"],
    [SHADING, "bilinear", "white_balance", {"highlight_clip": {"saturation": 0.3}}, "clip", CURVE],
    ["bilinear", "clip", {"jpeg": {"quality": 90, "subsampling": "420"}}],
    ["malvar", {"sharpening_filter": {"channels": "rgb"}}, {"median": {"size_px": 3, "channels": "yuv"}}, "clip"],
]


@pytest.mark.parametrize("steps", FURTHER)
def test_further_operators_and_channels(camera: Camera, steps: Any) -> None:
    chain, calibration = parse_chain(steps, "test"), camera(pattern="GBRG", **DRONE)
    mosaic = mosaics((23, 26), 1)[0]
    view = view_tensor(chain, torch.from_numpy(normalise(mosaic)), calibration)
    np.testing.assert_allclose(view.numpy(), view_of(chain, mosaic, calibration), rtol=0, atol=1e-5)


def test_the_chains_here_name_every_operator() -> None:
    chains = [load_variant(PARAMS, v) for v in VARIANTS] + [parse_chain(s, "test") for s in FURTHER]
    assert {o.name for c in chains for o in c.operators} == set(OPERATORS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_in_the_mosaic(camera: Camera, variant: str) -> None:
    """Every derivative of one variant a demosaicing, random combinations of them for the others."""
    fast = variant not in ("bi,u,ga", "ma,s,me", "me,s,ga")
    chain, calibration = load_variant(PARAMS, variant), camera(pattern="GRBG", **DRONE)
    mosaic = torch.from_numpy(mosaics((6, 7), 1) / 65535).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: view_tensor(chain, m, calibration), mosaic, fast_mode=fast)


def test_a_clipped_pixel_does_not_spoil_the_gradient(camera: Camera) -> None:
    mosaic = torch.zeros(8, 8, requires_grad=True)
    view_tensor(load_variant(PARAMS, "bi,s,ga"), mosaic, camera(**DRONE)).sum().backward()
    assert mosaic.grad is not None
    assert torch.isfinite(mosaic.grad).all()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_parametrised_model_is_the_static_one_at_theta_stat(
    camera: Camera, pattern: str, shape: tuple[int, int]
) -> None:
    """Eq. 3.21. In float32 the slope of the gamma curve at 0 turns a rounding of 1e-7 in linear light into 1e-5."""
    calibration, batch = camera(pattern=pattern, **DRONE), mosaics(shape)
    chain, exact = load_variant(PARAMS, "bi,s,ga"), torch.from_numpy(batch / 65535)
    whole = static(calibration, "luma", torch.float64)(exact).detach()
    np.testing.assert_allclose(whole, view_tensor(chain, exact, calibration), rtol=0, atol=1e-6)
    views = static(calibration, "luma")(torch.from_numpy(normalise(batch))).detach().numpy()
    for view, mosaic in zip(views, batch, strict=True):
        expected = view_of(chain, mosaic, calibration)
        np.testing.assert_allclose(view**2.2, expected**2.2, rtol=0, atol=2e-6)
        visible = expected > 0.05
        np.testing.assert_allclose(view[visible], expected[visible], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_fitted_camera_at_theta_stat(camera: Camera, pattern: str) -> None:
    calibration, exact = camera(pattern=pattern, **MICROSCOPE), torch.from_numpy(mosaics((21, 18)) / 65535)
    view = static(calibration, "luma", torch.float64)(exact).detach()
    expected = view_tensor(load_variant(PARAMS, "bi,s,ga"), exact, calibration)
    np.testing.assert_allclose(view, expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.05


def test_all_of_yuv_as_the_thesis_writes(camera: Camera) -> None:
    calibration, mosaic = camera(**DRONE), mosaics((20, 22), 1)[0]
    gaussian = {"gaussian": {"sigma_px": 0.5, "truncate": 4, "channels": "yuv"}}
    steps = ["black_level", "bilinear", "white_balance", "colour_matrix", {"sharpening_filter": {"channels": "yuv"}}]
    chain = parse_chain([*steps, gaussian, "clip", {"gamma": {"gamma": 2.2}}], "test")
    exact = torch.from_numpy(mosaic / 65535)
    view = static(calibration, "yuv", torch.float64)(exact).detach()
    np.testing.assert_allclose(view, view_tensor(chain, exact, calibration), rtol=0, atol=1e-6)


def test_the_initial_values_are_the_published_ones() -> None:
    """Thesis A, appendix A.1."""
    model = Parametrised("RGGB", "luma")
    found = {name: model.get_parameter(name).detach().numpy() for name in GROUPS}
    row, second = [6.9625e-08, 2.8089e-05, 2.0755e-04, 2.8089e-05, 6.9625e-08], [2.8089e-05, 1.1332e-02, 8.3731e-02]
    assert found["black_level"].tolist() == [0, 0, 0, 0]
    assert found["white_balance"].tolist() == [1, 1, 1]
    assert found["colour_matrix"].tolist() == np.eye(3).tolist()
    assert (found["demosaic"] * 4).tolist() == [
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
        [[0, 1, 0], [1, 4, 1], [0, 1, 0]],
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
    ]
    assert found["sharpening"].tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    np.testing.assert_allclose(found["blur"][0], row, rtol=1e-4)
    np.testing.assert_allclose(found["blur"][1, :3], second, rtol=1e-4)
    np.testing.assert_allclose(found["blur"][2, :3], [2.0755e-04, 8.3731e-02, 6.1869e-01], rtol=1e-4)
    assert found["gamma"] == np.float32(2.2)


@pytest.mark.parametrize("channels", ["luma", "yuv"])
def test_gradcheck_in_all_of_theta(camera: Camera, channels: Any) -> None:
    model = static(camera(pattern="GRBG", **DRONE), channels, torch.float64)
    mosaic = torch.from_numpy(mosaics((5, 6)) / 65535).requires_grad_()
    theta = tuple(model.get_parameter(name) for name in GROUPS)

    def function(image: torch.Tensor, *values: torch.Tensor) -> Any:
        return torch.func.functional_call(model, dict(zip(GROUPS, values, strict=True)), (image,))

    assert torch.autograd.gradcheck(function, (mosaic, *theta))


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_is_freed_and_frozen_alone(camera: Camera, group: str) -> None:
    model = static(camera(**DRONE), "luma")
    (only,) = free_only(model, [group])
    model(torch.from_numpy(normalise(mosaics((8, 9))))).square().sum().backward()
    gradients = {name: model.get_parameter(name).grad for name in GROUPS}
    assert only.grad is not None
    assert float(only.grad.abs().sum()) > 0
    assert all(gradient is None for name, gradient in gradients.items() if name != group)
    assert free_only(model, []) == []


def test_an_unknown_group_is_named(camera: Camera) -> None:
    with pytest.raises(KeyError, match="no group tone of theta"):
        free_only(static(camera(), "luma"), ["tone"])


def test_neither_torch_nor_the_compiler_is_loaded_before_it_is_needed() -> None:
    code = "import sys, tasks.isp.step; sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
