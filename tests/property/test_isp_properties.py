"""What must hold for any mosaic, any size, any pattern and any cut."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.isp.chain import Chain, parse_chain
from tasks.isp.engine import develop, develop_window, frame_of, quantise, view_of
from tasks.isp.median import median

FLIPPED = {"RGGB": "GRBG", "GRBG": "RGGB", "BGGR": "GBRG", "GBRG": "BGGR"}
CHANNELS = st.sampled_from(["luma", "yuv", "rgb"])
DEMOSAIC = st.sampled_from(["bilinear", "malvar", {"menon": {"refine": True}}, {"menon": {"refine": False}}])
FILTER = st.one_of(
    st.builds(lambda c: {"sharpening_filter": {"channels": c}}, CHANNELS),
    st.builds(lambda c, n: {"median": {"size_px": n, "channels": c}}, CHANNELS, st.sampled_from([3, 5])),
    st.builds(
        lambda c, s: {"gaussian": {"sigma_px": s, "truncate": 3.0, "channels": c}}, CHANNELS, st.floats(0.2, 1.5)
    ),
    st.builds(
        lambda c, s: {"unsharp_mask": {"radius_px": s, "amount": 0.8, "truncate": 4.0, "channels": c}},
        CHANNELS,
        st.floats(0.2, 1.5),
    ),
    st.just("white_balance"),
    st.just("colour_matrix"),
    st.just("clip"),
)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Any chain of up to four RGB operators behind any demosaicing."""
    begin = draw(st.sampled_from([[], ["black_level"], ["black_level", "white_level"]]))
    middle = draw(st.lists(FILTER, max_size=4))
    return parse_chain([*begin, draw(DEMOSAIC), *middle, "clip", {"gamma": {"gamma": 2.2}}], "property")


def camera(pattern: str) -> Calibration:
    return Calibration.model_validate(
        {
            "pattern": pattern,
            "black_level_dn": [300, 500, 700, 900],
            "white_level_dn": 60000,
            "white_balance": [1.8, 1.0, 1.4],
            "colour_matrix": [[1.5, -0.3, -0.2], [-0.2, 1.7, -0.5], [0.0, -0.3, 1.3]],
            "exposure_s": None,
            "iso": None,
            "gain_dn_per_e": None,
            "left_justified_bits": 0,
        }
    )


def noise(height: int, width: int, seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)


SIDE = st.integers(2, 40)
PATTERN = st.sampled_from(sorted(FLIPPED))


@settings(max_examples=60, deadline=None)
@given(chains(), SIDE, SIDE, PATTERN, st.tuples(st.integers(1, 41), st.integers(1, 41)), st.integers(0, 99))
def test_any_tiling_gives_the_whole_frame(
    chain: Chain, height: int, width: int, pattern: str, tile: tuple[int, int], seed: int
) -> None:
    mosaic = noise(height, width, seed)
    whole = quantise(view_of(chain, mosaic, camera(pattern)))
    np.testing.assert_array_equal(develop(chain, mosaic, camera(pattern), tile), whole)


@settings(max_examples=40, deadline=None)
@given(chains(), PATTERN, st.data())
def test_any_window_is_its_part_of_the_frame(chain: Chain, pattern: str, data: Any) -> None:
    mosaic = noise(24, 30, 5)
    y0, x0 = data.draw(st.integers(0, 23)), data.draw(st.integers(0, 29))
    rows, columns = (y0, data.draw(st.integers(y0 + 1, 24))), (x0, data.draw(st.integers(x0 + 1, 30)))
    part = develop_window(chain, frame_of(mosaic, camera(pattern)), rows, columns, (16, 16))
    whole = develop(chain, mosaic, camera(pattern), (64, 64))
    np.testing.assert_array_equal(part, whole[:, slice(*rows), slice(*columns)])


@settings(max_examples=40, deadline=None)
@given(DEMOSAIC, SIDE.filter(lambda n: n % 2 == 0), SIDE, PATTERN, st.integers(0, 99))
def test_a_mirrored_frame_of_the_mirrored_pattern_is_the_mirrored_view(
    step: Any, width: int, height: int, pattern: str, seed: int
) -> None:
    chain = parse_chain([step, "clip"], "property")
    mosaic = noise(height, width, seed)
    neutral = camera(pattern)
    mirrored = neutral.model_copy(update={"pattern": FLIPPED[pattern]})
    there = view_of(chain, mosaic, neutral)
    back = view_of(chain, mosaic[:, ::-1], mirrored)[..., ::-1]
    np.testing.assert_allclose(back, there, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["bilinear", "malvar"]), PATTERN, st.floats(0.0, 1.0))
def test_linear_demosaicing_is_linear(name: str, pattern: str, share: float) -> None:
    from tasks.isp.operator import Place
    from tasks.isp.operators import OPERATORS

    operator, place = OPERATORS[name](), Place(camera(pattern))
    one, other = (np.random.default_rng(s).random((20, 22), np.float32) for s in (1, 2))
    mixed = operator.apply((share * one + (1 - share) * other).astype(np.float32), place)
    parts = share * operator.apply(one, place) + (1 - share) * operator.apply(other, place)
    np.testing.assert_allclose(mixed, parts, rtol=0, atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 5]))
def test_median_is_an_order_statistic_of_its_window(seed: int, size: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 4, (11, 12)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(plane, (size, size))
    np.testing.assert_array_equal(median(plane, size), np.median(windows, axis=(2, 3)))


@settings(max_examples=30, deadline=None)
@given(chains(), SIDE, SIDE, PATTERN)
def test_views_lie_in_unit_range(chain: Chain, height: int, width: int, pattern: str) -> None:
    view = view_of(chain, noise(height, width, 7), camera(pattern))
    assert view.dtype == np.float32
    assert view.min() >= 0
    assert view.max() <= 1
