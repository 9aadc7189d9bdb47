"""The production form of each operator gives the bits of its meaning, whatever is developed beside it, and where."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.isp.chain import parse_chain
from tasks.isp.compiled.power import power
from tasks.isp.engine import develop, develop_windows, frame_of
from tasks.isp.operator import Place, crop
from tasks.isp.operators import OPERATORS
from tasks.isp.params import load_variant
from tasks.isp.scratch import scratch
from tasks.isp.shared import branches

ROOT = Path(__file__).parents[3]
PARAMS = ROOT / "params.yaml"
VARIANTS = [f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in ("s", "u") for n in ("me", "ga")]
Camera = Callable[..., Calibration]
CURVE = ((0, 0.02), (0.1, 0.02), (0.3, 0.5), (0.31, 0.52), (1, 0.9))
CASES: list[tuple[str, dict[str, Any]]] = [
    ("black_level", {}),
    ("white_level", {}),
    ("bilinear", {}),
    ("malvar", {}),
    ("menon", {"refine": True}),
    ("menon", {"refine": False}),
    ("white_balance", {}),
    ("colour_matrix", {}),
    ("clip", {}),
    ("highlight_clip", {"saturation": 0.7}),
    ("lens_shading", {"k": (0.4, -0.3, 0.2, -0.1, 0.05)}),
    *(("tone_curve", {"points": CURVE, "kind": kind}) for kind in ("linear", "cubic")),
    *(("jpeg", {"quality": 80, "subsampling": s}) for s in ("444", "420")),
    ("gamma", {"gamma": 2.2}),
    *(("sharpening_filter", {"channels": c}) for c in ("luma", "yuv", "rgb")),
    *(("unsharp_mask", {"radius_px": 1, "amount": 0.7, "truncate": 4, "channels": c}) for c in ("luma", "yuv")),
    *(("median", {"size_px": n, "channels": c}) for n, c in ((3, "luma"), (3, "rgb"), (5, "luma"))),
    *(("gaussian", {"sigma_px": s, "truncate": 4, "channels": c}) for s, c in ((0.5, "luma"), (1.7, "rgb"))),
]


@pytest.fixture
def drone(camera: Camera) -> Callable[[str], Calibration]:
    matrix = ((1.50768983, -0.33571374, -0.17197604), (-0.23048614, 1.70698738, -0.47650126), (-0.03, -0.33, 1.36))
    levels = {"black_level_dn": (4096.0, 4102.0, 4090.0, 4100.0), "white_balance": (2.8665, 1.0, 1.7308)}
    return lambda pattern: camera(pattern=pattern, colour_matrix=matrix, **levels)


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
@pytest.mark.parametrize(("name", "params"), CASES)
@pytest.mark.parametrize("spare", [0, 6])
def test_the_compiled_form_gives_the_bits_of_the_meaning(
    drone: Callable[[str], Calibration], name: str, params: dict[str, Any], pattern: str, spare: int
) -> None:
    operator = OPERATORS[name](**params)
    shape = (82, 98) if operator.domain != "rgb" else (3, 82, 98)
    image = np.random.default_rng(1).normal(0.4, 0.4, shape).astype(np.float32)
    image = image.clip(0, 1) if operator.needs_unit_range else image
    place = Place(drone(pattern), -3, 5, (70, 200))
    expected = operator.apply(crop(image, spare), place.inside(spare))
    with scratch() as take:
        out = take(*expected.shape)
        out[:] = np.nan
        operator.into(image, out, place)
        if name == "gamma":
            np.testing.assert_allclose(out, expected, rtol=0, atol=4e-7)
        else:
            np.testing.assert_array_equal(out, expected)


def test_every_operator_is_here() -> None:
    assert {name for name, _ in CASES} == set(OPERATORS)


def powered(values: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    out = np.empty((1, 1, values.size), np.float32)
    power(np.ascontiguousarray(values)[None, None], np.float32(exponent), out)
    return out.ravel()


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2, 2.4, 10.0, 0.45])
def test_power_against_float64(gamma: float) -> None:
    exponents = np.linspace(-149, 0, 40001)
    values = np.concatenate([2.0**exponents, np.linspace(0, 1, 40001)]).astype(np.float32)
    exponent = np.float32(1 / gamma)
    exact = values.astype(float) ** float(exponent)
    np.testing.assert_allclose(powered(values, exponent), exact, rtol=0, atol=4e-7 * max(1, exponent))
    assert powered(np.array([0, 1], np.float32), exponent).tolist() == [0, 1]


def test_power_does_not_depend_on_where_a_sample_stands() -> None:
    values = np.random.default_rng(2).random(101).astype(np.float32)
    whole = powered(values, 1 / 2.2)
    for start in range(0, 40):
        np.testing.assert_array_equal(powered(values[start:], 1 / 2.2), whole[start:])


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("tile", [(16, 16), (17, 31), (64, 512)])
def test_twelve_at_once_are_twelve_alone(
    drone: Callable[[str], Calibration], threads: int, tile: tuple[int, int]
) -> None:
    mosaic = np.random.default_rng(3).integers(3000, 40000, (73, 91)).astype(np.uint16)
    chains = [load_variant(PARAMS, variant) for variant in VARIANTS]
    frame = frame_of(mosaic, drone("GBRG"))
    views = develop_windows(chains, frame, (0, 73), (0, 91), tile, threads)
    for chain, view in zip(chains, views, strict=True):
        np.testing.assert_array_equal(view, develop(chain, mosaic, drone("GBRG"), (256, 256)))


def test_what_chains_begin_with_alike_is_done_once() -> None:
    chains = [load_variant(PARAMS, variant) for variant in VARIANTS]
    level = branches(chains)
    counts = []
    while level:
        counts.append(len(level))
        level = tuple(following for branch in level for following in branch.after)
    assert counts == [1, 3, 3, 3, 6, 12, 12, 12]


def test_equal_chains_and_one_that_goes_on_from_another(camera: Camera) -> None:
    mosaic = np.random.default_rng(4).integers(0, 65536, (20, 22)).astype(np.uint16)
    short, long = (
        parse_chain(["bilinear", "clip"], "x"),
        parse_chain(["bilinear", "clip", {"gamma": {"gamma": 2}}], "x"),
    )
    first, second, third = develop_windows([short, long, short], frame_of(mosaic, camera()), (0, 20), (0, 22), (16, 16))
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(second, develop(long, mosaic, camera(), (16, 16)))


def test_a_fault_in_a_thread_is_raised(camera: Camera) -> None:
    def read(rows: slice, columns: slice) -> NDArray[np.uint16]:
        return np.zeros((40, 40), np.float64)  # type: ignore[return-value]

    frame = frame_of(np.zeros((40, 40), np.uint16), camera())
    wrong = type(frame)(read, frame.shape, frame.calibration)
    with pytest.raises(TypeError):
        develop_windows([parse_chain(["bilinear", "clip"], "x")], wrong, (0, 40), (0, 40), (16, 16), 2)


def test_kernels_work_where_nothing_can_be_kept() -> None:
    """A read-only installation without a home: numba has no place for results; kernels are compiled all the same."""
    code = "from tasks.isp.compiled.power import power as p; print(p.stats.cache_path if p.stats else None)"
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr
