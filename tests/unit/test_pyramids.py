"""True area averages against a brute-force mean over the level-0 pixels that exist."""

from fractions import Fraction

import numpy as np
import pytest

from tasks import pyramids

RNG = np.random.Generator(np.random.Philox(key=4))


def brute(data: np.ndarray, level: int) -> np.ndarray:
    """Level `level` of (..., y, x), pixel by pixel in float64: sums and halves of integers are exact there."""
    side, height, width = 2**level, *data.shape[-2:]
    rows = []
    for y in range(0, height, side):
        blocks = [data[..., y : y + side, x : x + side] for x in range(0, width, side)]
        rows.append(np.stack([b.astype(np.float64).mean((-2, -1)) for b in blocks], axis=-1))
    return np.stack(rows, axis=-2)


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 137, 300), (65, 1), (1, 1), (2, 2, 7, 129), (33, 1030)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integer_levels_are_the_exact_mean_rounded_half_to_even(shape: tuple[int, ...], dtype: str) -> None:
    data = RNG.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    for level, made in enumerate(pyramids.levels(data, 5, label=False), start=1):
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, np.rint(brute(data, level)))


def test_halves_go_to_the_even_neighbour() -> None:
    for values in ([0, 0, 1, 1], [1, 1, 2, 2], [0, 1, 0, 1], [254, 255, 255, 254], [3, 3, 2, 2]):
        block = np.array(values, np.uint8).reshape(2, 2)
        assert pyramids.levels(block, 1, label=False)[0][0, 0] == round(Fraction(sum(values), 4))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_largest_sums_do_not_overflow(dtype: str) -> None:
    white = np.full((256, 520), np.iinfo(dtype).max, dtype)
    for made in pyramids.levels(white, 8, label=False):
        assert (made == np.iinfo(dtype).max).all()


def test_floats_are_averaged_in_float64() -> None:
    data = RNG.normal(1e6, 1, (70, 45)).astype(np.float32)
    for level, made in enumerate(pyramids.levels(data, 4, label=False), start=1):
        np.testing.assert_array_equal(made, brute(data, level).astype(np.float32))


def test_labels_take_the_nearest_pixel() -> None:
    data = RNG.choice(np.array([0, 3, 9], np.uint8), (100, 70))
    for level, made in enumerate(pyramids.levels(data, 3, label=True), start=1):
        np.testing.assert_array_equal(made, data[:: 2**level, :: 2**level])


def test_halve_is_one_level() -> None:
    data = RNG.integers(0, 256, (3, 33, 21)).astype(np.uint8)
    np.testing.assert_array_equal(pyramids.halve(data, label=False), np.rint(brute(data, 1)))


@pytest.mark.parametrize("shape", [(3, 640, 768), (3, 645, 771), (3, 1, 777), (641, 9)])
@pytest.mark.parametrize("doublings", [1, 2, 3])
def test_deep_levels_stay_within_one_dn_of_the_exact_mean(
    shape: tuple[int, ...], doublings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramids, "PIECE_PX", 16)  # many pieces
    data = RNG.integers(0, 256, shape).astype(np.uint8)
    source = pyramids.levels(data, 3, label=False)[-1]
    exact = brute(data, 3 + doublings)
    window = tuple(slice(0, n) for n in exact.shape)
    made = pyramids.reduced(source, window, doublings, shape, 8, label=False)
    assert np.abs(made - exact).max() <= 1
    # Weights matter: of means that are not rounded, the level is exact.
    fine = pyramids.reduced(pyramids.levels(data.astype(np.float64), 3, False)[-1], window, doublings, shape, 8, False)
    np.testing.assert_allclose(fine, exact, rtol=1e-12)


def test_a_window_of_a_deep_level_is_that_part_of_it() -> None:
    source = RNG.integers(0, 65536, (50, 61)).astype(np.uint16)
    whole = pyramids.reduced(source, (slice(0, 25), slice(0, 31)), 1, (395, 486), 8, label=False)
    part = pyramids.reduced(source, (slice(8, 25), slice(16, 31)), 1, (395, 486), 8, label=False)
    np.testing.assert_array_equal(part, whole[8:, 16:])
    nearest = pyramids.reduced(source, (slice(0, 25), slice(0, 31)), 1, (395, 486), 8, label=True)
    np.testing.assert_array_equal(nearest, source[::2, ::2])
