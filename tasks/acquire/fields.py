"""Smooth random fields: the irregularity of drawn scenes."""

import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]


def _interpolate(coefficients: Array32, length: int, scale_px: float) -> Array32:
    """The cubic B-spline (length, n) with `coefficients` (grid, n) at knots `scale_px` apart along the first axis."""
    at = np.arange(length) / scale_px
    first = np.floor(at).astype(np.int64)
    t = (at - first).astype(np.float32)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    out = np.zeros((length, coefficients.shape[1]), np.float32)
    term = np.empty_like(out)
    for k, weight in enumerate(weights):
        np.take(coefficients, first + k, axis=0, out=term, mode="clip")  # all are inside; "clip" spares a copy
        term *= weight / 6
        out += term
    return out


def smooth(shape: tuple[int, int], scale_px: float, source: np.random.Generator) -> Array32:
    """A field (y, x) of mean 0 and standard deviation 1 that varies over about `scale_px`.

    Uniform cubic B-splines (de Boor, "A practical guide to splines") whose coefficients, on a grid of that
    spacing, are normal numbers.
    """
    grid = [int(np.floor((n - 1) / scale_px)) + 4 for n in shape]
    coarse = source.standard_normal(grid, dtype=np.float32)
    narrow = np.ascontiguousarray(_interpolate(coarse.T, shape[1], scale_px).T)
    field = _interpolate(narrow, shape[0], scale_px)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), dtype=np.float32)


def fractal(shape: tuple[int, int], scale_px: float, octaves: int, source: np.random.Generator) -> Array32:
    """Sum of `octaves` smooth fields, each at half the scale and half the amplitude; std near 1."""
    total = sum(smooth(shape, max(scale_px / 2**k, 1.0), source) / 2**k for k in range(octaves))
    return np.asarray(total / np.float32(np.sqrt((1 - 0.25**octaves) / 0.75)), dtype=np.float32)


def coverage(distance_px: NDArray[np.floating]) -> Array32:
    """Share of a pixel that lies inside a shape whose edge is `distance_px` away (positive inside)."""
    return np.asarray(np.clip(distance_px + 0.5, 0, 1), dtype=np.float32)
