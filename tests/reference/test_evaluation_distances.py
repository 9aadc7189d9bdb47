"""Distances and manifold shares against independent implementations: scipy's sqrtm, plain loops, closed forms."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from tasks.evaluation.distances import frechet, kernel_distance
from tasks.evaluation.manifold import fidelity, nearest, radii
from tasks.rng import generator


def points(name: str, n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return generator(7, name, "points").standard_normal((n, d)) * scale + shift


def sqrtm_frechet(a: np.ndarray, b: np.ndarray) -> float:
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * np.real(sqrtm(ca @ cb))))


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 6), (40, 60, 12), (500, 500, 3)])
def test_frechet_equals_the_matrix_square_root(n: int, m: int, d: int) -> None:
    mix = points("mix", d, d)
    a, b = points("a", n, d) @ mix, points("b", m, d, 0.4, 1.7)
    assert frechet(a, b) == pytest.approx(sqrtm_frechet(a, b), rel=1e-9)


def test_frechet_with_fewer_points_than_dimensions_equals_a_regularised_square_root() -> None:
    a, b = points("a", 10, 30), points("b", 12, 30, 0.3)
    ca, cb = np.cov(a, rowvar=False) + 1e-10 * np.eye(30), np.cov(b, rowvar=False) + 1e-10 * np.eye(30)
    root = np.real(sqrtm(sqrtm(ca) @ cb @ sqrtm(ca)))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * root)
    assert frechet(a, b) == pytest.approx(float(expected), abs=1e-3)


def test_frechet_tends_to_the_closed_form_of_axis_aligned_gaussians() -> None:
    a, b = points("a", 40000, 2) * [1.0, 2.0], points("b", 40000, 2) * [3.0, 0.5] + [1.0, -2.0]
    assert frechet(a, b) == pytest.approx(1 + 4 + (3 - 1) ** 2 + (2 - 0.5) ** 2, rel=0.02)


def test_frechet_of_a_shifted_copy_is_the_squared_shift_and_of_itself_zero() -> None:
    a = points("a", 50, 80)
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet(a, a + 0.5) == pytest.approx(80 * 0.25, rel=1e-9)


def loop_kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (float(sum(p * q for p, q in zip(x, y, strict=True))) / len(x) + 1) ** 3

    n, m = len(a), len(b)
    aa = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    bb = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return aa + bb - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def test_kernel_distance_equals_the_double_sum() -> None:
    a, b = points("a", 13, 5), points("b", 9, 5, 0.7, 1.3)
    assert kernel_distance(a, b) == pytest.approx(loop_kernel_distance(a, b), rel=1e-10)


def test_kernel_distance_is_unbiased_under_equal_laws() -> None:
    values = [kernel_distance(points(f"a{i}", 20, 4), points(f"b{i}", 20, 4)) for i in range(300)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))


def loop_ball_radius(points_: np.ndarray, i: int, k: int) -> float:
    return sorted(math.dist(points_[i], q) for j, q in enumerate(points_) if j != i)[k - 1]


def loop_share(points_: np.ndarray, manifold: np.ndarray, k: int) -> float:
    balls = [(c, loop_ball_radius(manifold, i, k)) for i, c in enumerate(manifold)]
    return sum(any(math.dist(p, c) <= r for c, r in balls) for p in points_) / len(points_)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_recall_density_coverage_equal_plain_loops(k: int) -> None:
    real, fake = points("real", 30, 3), points("fake", 25, 3, 0.8, 0.7)
    found = fidelity(real, fake, k)
    assert 0 < found.precision < 1 or 0 < found.recall < 1
    assert found.precision == pytest.approx(loop_share(fake, real, k))
    assert found.recall == pytest.approx(loop_share(real, fake, k))
    held = [[math.dist(f, r) <= loop_ball_radius(real, i, k) for f in fake] for i, r in enumerate(real)]
    assert found.density == pytest.approx(sum(map(sum, held)) / (k * len(fake)))
    assert found.coverage == pytest.approx(sum(map(any, held)) / len(real))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = points("real", 50, 4), points("fake", 41, 4, 0.5)
    whole = fidelity(real, fake, 3), radii(real, 3).tobytes(), nearest(fake, real, 2)[0].tobytes()
    monkeypatch.setattr("tasks.evaluation.manifold.BLOCK_ROWS", 7)
    assert whole == (fidelity(real, fake, 3), radii(real, 3).tobytes(), nearest(fake, real, 2)[0].tobytes())
