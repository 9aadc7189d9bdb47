"""Tiles and windows with their halo give the whole frame, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from tasks.contracts import Calibration
from tasks.isp.arrays import Array
from tasks.isp.chain import parse_chain
from tasks.isp.engine import develop, develop_window, even_span, frame_of, normalise, quantise, view_of
from tasks.isp.operator import Operator, Place
from tasks.isp.operators import OPERATORS
from tasks.isp.params import load_variant
from tasks.isp.tensors import view_tensor

PARAMS = Path(__file__).parents[3] / "params.yaml"
VARIANTS = [f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in ("s", "u") for n in ("me", "ga")]
DRONE = {
    "black_level_dn": (4096.0, 4102.0, 4096.0, 4102.0),
    "white_balance": (2.86653646, 1.0, 1.73079425),
    "colour_matrix": (
        (1.50768983, -0.33571374, -0.17197604),
        (-0.23048614, 1.70698738, -0.47650126),
        (-0.03119153, -0.32803956, 1.35923111),
    ),
}
Camera = Callable[..., Calibration]


@pytest.mark.parametrize("variant", VARIANTS)
def test_tiles_equal_the_whole_frame_bit_for_bit(camera: Camera, variant: str) -> None:
    mosaic = np.random.default_rng(1).integers(4096, 40000, (75, 93)).astype(np.uint16)
    chain, calibration = load_variant(PARAMS, variant), camera(pattern="GBRG", **DRONE)
    whole = quantise(view_of(chain, mosaic, calibration))
    assert 0.2 < whole.mean() / 65535 < 0.8
    for tile in [(16, 16), (17, 31), (75, 20), (1, 93), (64, 64)]:
        np.testing.assert_array_equal(develop(chain, mosaic, calibration, tile), whole)


@pytest.mark.parametrize("variant", ["bi,s,me", "me,u,ga"])
def test_windows_equal_their_part_of_the_frame(camera: Camera, variant: str) -> None:
    mosaic = np.random.default_rng(2).integers(0, 65536, (60, 71)).astype(np.uint16)
    chain, calibration = load_variant(PARAMS, variant), camera(pattern="BGGR", **DRONE)
    whole = develop(chain, mosaic, calibration, (64, 64))
    frame = frame_of(mosaic, calibration)
    for rows, columns in [((0, 16), (0, 71)), ((59, 60), (70, 71)), ((13, 41), (3, 4)), ((0, 60), (0, 71))]:
        part = develop_window(chain, frame, rows, columns, (16, 16))
        np.testing.assert_array_equal(part, whole[:, slice(*rows), slice(*columns)])


class Invert(Operator):
    """RGB in [0, 1] to 1 less it: all that a new operator needs."""

    name: ClassVar[str] = "invert"
    needs_unit_range: ClassVar[bool] = True
    gives_unit_range: ClassVar[bool] = True

    def apply(self, image: Array, place: Place) -> Array:
        return 1 - image


def test_a_new_operator_is_one_class_and_one_line(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATORS, "invert", Invert)
    mosaic = np.random.default_rng(4).integers(0, 65536, (41, 53)).astype(np.uint16)
    chain = parse_chain(["malvar", "clip", "invert"], "x")
    view = view_of(chain, mosaic, camera())
    np.testing.assert_array_equal(view, 1 - view_of(parse_chain(["malvar", "clip"], "x"), mosaic, camera()))
    np.testing.assert_array_equal(develop(chain, mosaic, camera(), (16, 17), 2), quantise(view))
    exact = torch.from_numpy(normalise(mosaic)).requires_grad_()
    tensor = view_tensor(chain, exact, camera())
    np.testing.assert_allclose(tensor.detach(), view, rtol=0, atol=1e-5)
    tensor.sum().backward()
    assert exact.grad is not None


def test_a_frame_is_its_own_mirrored_continuation(camera: Camera) -> None:
    """Beyond the border the frame goes on as its mirror image: adding that image changes no pixel."""
    mosaic = np.random.default_rng(3).integers(0, 65536, (40, 44)).astype(np.uint16)
    larger = np.pad(mosaic, 20, mode="reflect")
    for variant in ("bi,u,ga", "ma,s,me", "me,u,me"):
        chain = load_variant(PARAMS, variant)
        view = view_of(chain, mosaic, camera(pattern="GRBG"))
        np.testing.assert_array_equal(view_of(chain, larger, camera(pattern="GRBG"))[:, 20:-20, 20:-20], view)


def test_the_smallest_frame_develops(camera: Camera) -> None:
    mosaic = np.array([[10000, 20000], [20000, 40000]], np.uint16)
    view = develop(load_variant(PARAMS, "me,u,me"), mosaic, camera(), (16, 16))
    np.testing.assert_allclose(view[:, 0, 0] / 65535, (np.array([1e4, 2e4, 4e4]) / 65535) ** (1 / 2.2), atol=1e-4)


def test_raw_is_normalised_by_full_scale_and_nothing_else(camera: Camera) -> None:
    mosaic = np.full((4, 4), 16384, np.uint16)
    assert normalise(mosaic)[0, 0] == np.float32(16384) / np.float32(65535)
    chain = parse_chain(["bilinear", "clip"], "x")
    assert np.unique(develop(chain, mosaic, camera(white_level_dn=20000.0), (16, 16))).tolist() == [16384]


def test_quantising_rounds_half_to_even_and_keeps_the_ends() -> None:
    steps = np.array([0.0, 0.5, 1.5, 65534.4, 65535.0]) / 65535
    assert quantise(steps.astype(np.float32)).tolist() == [0, 0, 2, 65534, 65535]


@pytest.mark.parametrize(("span", "halo", "wide"), [((0, 4), 0, (0, 4)), ((1, 4), 0, (0, 4)), ((0, 5), 3, (-4, 8))])
def test_even_spans_hold_whole_quads(span: tuple[int, int], halo: int, wide: tuple[int, int]) -> None:
    assert even_span(span, halo) == wide
