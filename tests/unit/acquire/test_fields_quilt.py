"""Random fields and image quilting."""

import itertools

import numpy as np
import pytest

from tasks.acquire import fields, quilt


def test_a_field_is_standardised_and_as_smooth_as_asked() -> None:
    source = np.random.Generator(np.random.Philox(1))
    fine, coarse = fields.smooth((128, 200), 4.0, source), fields.smooth((128, 200), 32.0, source)
    for field in (fine, coarse):
        assert field.shape == (128, 200) and field.dtype == np.float32
        assert abs(float(field.mean())) < 1e-3 and float(field.std()) == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(coarse)).mean() < 0.2 * np.abs(np.diff(fine)).mean()


def test_the_splines_add_up_to_one_and_reproduce_a_line() -> None:
    ones = fields._interpolate(np.ones((20, 1), np.float32), 50, 3.3)
    np.testing.assert_allclose(ones, 1, rtol=1e-6)
    line = fields._interpolate(np.arange(20, dtype=np.float32)[:, None], 50, 3.3)
    np.testing.assert_allclose(np.diff(line[:, 0]), 1 / 3.3, rtol=1e-4)


def test_coverage_of_an_edge() -> None:
    np.testing.assert_allclose(fields.coverage(np.array([-2.0, -0.5, 0.0, 0.25, 0.5, 3.0])), [0, 0, 0.5, 0.75, 1, 1])


def cheapest(cost: np.ndarray) -> float:
    """The cost of the best path, by trying them all."""
    length, width = cost.shape
    paths = itertools.product(range(width), repeat=length)
    steps = (p for p in paths if all(abs(a - b) <= 1 for a, b in itertools.pairwise(p)))
    return min(sum(cost[k, p[k]] for k in range(length)) for p in steps)


def test_the_cut_is_the_cheapest_path() -> None:
    cost = np.random.default_rng(3).random((6, 5, 4)).astype(np.float32)
    right = quilt.cut(cost)
    start = right.argmax(axis=2)
    assert (np.abs(np.diff(start, axis=1)) <= 1).all()
    for n in range(6):
        found = sum(cost[n, k, start[n, k]] for k in range(5))
        assert found == pytest.approx(cheapest(cost[n]), rel=1e-5)


def one_by_one(
    pieces: np.ndarray, side_px: int, overlap: int, candidates: int, source: np.random.Generator
) -> np.ndarray:
    """The plain algorithm: row by row, one piece at a time."""
    side = pieces.shape[1]
    step = side - overlap
    cells = -(-(side_px - overlap) // step)
    canvas = np.zeros((cells * step + overlap, cells * step + overlap, pieces.shape[3]), np.float32)
    choices = source.integers(len(pieces), size=(cells, cells, candidates))
    for i, j in itertools.product(range(cells), repeat=2):
        old = canvas[i * step : i * step + side, j * step : j * step + side]
        costs = []
        for choice in choices[i, j]:
            gap = ((pieces[choice] - old) ** 2).sum(axis=-1)
            costs.append((gap[:, :overlap].sum() if j else 0) + (gap[:overlap].sum() if i else 0))
        new = pieces[choices[i, j][int(np.argmin(costs))]]
        keep = quilt._join(old[None], new[None], overlap, j > 0, i > 0)[0]
        old[keep] = new[keep]
    return canvas[:side_px, :side_px]


def test_waves_equal_the_plain_order() -> None:
    pieces = np.random.default_rng(0).random((30, 12, 12, 2)).astype(np.float32)
    ours = quilt.quilt(pieces, 61, 4, 5, np.random.Generator(np.random.Philox(2)))
    plain = one_by_one(pieces, 61, 4, 5, np.random.Generator(np.random.Philox(2)))
    np.testing.assert_array_equal(ours, plain)


def test_every_pixel_comes_from_the_picture_and_all_are_covered() -> None:
    picture = np.arange(1, 41 * 41 + 1, dtype=np.float32).reshape(41, 41, 1)
    source = np.random.Generator(np.random.Philox(2))
    pieces = quilt.bank(picture, np.ones((26, 26), np.bool_), 16, 20, source)
    canvas = quilt.quilt(pieces.pieces, 70, 5, 3, source)
    assert canvas.shape == (70, 70, 1)
    assert np.isin(canvas, picture).all()


def test_pieces_start_only_where_allowed() -> None:
    picture = np.zeros((40, 40, 1), np.float32)
    picture[:, 20:] = 1
    allowed = np.zeros((31, 31), np.bool_)
    allowed[:, :11] = True
    found = quilt.bank(picture, allowed, 10, 50, np.random.Generator(np.random.Philox(1)))
    assert found.pieces.max() == 0


def test_a_bank_knows_where_its_pieces_were_cut() -> None:
    rows, columns = np.mgrid[:30, :40].astype(np.float32)
    source = np.random.Generator(np.random.Philox(4))
    found = quilt.bank(np.stack([rows, columns], axis=-1), np.ones((21, 31), np.bool_), 10, 40, source)
    np.testing.assert_array_equal(found.pieces.min(axis=(1, 2)), found.corners)
    np.testing.assert_array_equal(found.pieces.max(axis=(1, 2)), found.corners + 9)
    seen = np.r_[5:25, 30:50]
    np.testing.assert_array_equal(found.placed(seen).corners[:, 0], found.corners[:, 0])
    np.testing.assert_array_equal(found.placed(seen).corners[:, 1], seen[found.corners[:, 1]])
