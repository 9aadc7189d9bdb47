"""The colour filter array: which colour each site of a sensor sees."""

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Pattern


def sites(pattern: Pattern) -> tuple[tuple[int, int, int], ...]:
    """(row offset, column offset, channel) of the four sites of the 2x2 cell, in mosaic order."""
    return tuple((k // 2, k % 2, "RGB".index(letter)) for k, letter in enumerate(pattern))


def sample(rgb: NDArray[np.float32], pattern: Pattern) -> NDArray[np.float32]:
    """The mosaic (y, x) of `rgb` (3, y, x): each site keeps the channel that its filter passes."""
    out = np.empty(rgb.shape[1:], np.float32)
    for y, x, channel in sites(pattern):
        out[y::2, x::2] = rgb[channel, y::2, x::2]
    return out


def per_site(values: tuple[float, float, float, float], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A (y, x) map that repeats four `values`, given in mosaic order."""
    cell = np.asarray(values, np.float32).reshape(2, 2)
    return np.tile(cell, (-(-shape[0] // 2), -(-shape[1] // 2)))[: shape[0], : shape[1]]
