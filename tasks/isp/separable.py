"""Separable symmetric correlation and the Gaussian's weights."""

import math

from tasks.isp.arrays import Array


def gaussian_weights(sigma_px: float, truncate: float) -> tuple[float, ...]:
    """Weights at distance 0, 1, …, r of a sampled Gaussian with sum 1 over -r … r, r = int(truncate sigma + 1/2)."""
    radius = gaussian_radius_px(sigma_px, truncate)
    tail = [math.exp(-0.5 * (distance / sigma_px) ** 2) for distance in range(radius + 1)]
    total = tail[0] + 2 * math.fsum(tail[1:])
    return tuple(weight / total for weight in tail)


def gaussian_radius_px(sigma_px: float, truncate: float) -> int:
    """Half width of the window: `truncate` standard deviations, rounded half up (as scipy.ndimage)."""
    return int(truncate * sigma_px + 0.5)


def _along(plane: Array, weights: tuple[float, ...], axis: int) -> Array:
    radius, length = len(weights) - 1, plane.shape[axis]

    def at(offset: int) -> Array:
        part = slice(radius + offset, length - radius + offset)
        return plane[..., part, :] if axis == -2 else plane[..., part]

    result = at(0) * weights[0]
    for distance in range(1, radius + 1):
        result = result + (at(-distance) + at(distance)) * weights[distance]
    return result


def correlate(plane: Array, weights: tuple[float, ...]) -> Array:
    """`plane` (…, y, x) under the symmetric window with `weights` at distance 0 … r in both axes; r less a side."""
    return _along(_along(plane, weights, -2), weights, -1)
