"""Blurs as matrix products: each takes a tile (3, y, x), float32 in [0, 1], and gives the same shape, not clipped.

A separable linear filter with its border rule is a matrix for each axis: picture -> Y picture X^T. At the side of a
tile that is faster than sliding a window, and all three channels share the matrices.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.drift.corruptions import constants

Tile = NDArray[np.float32]
Matrix = NDArray[np.float32]
Border = Literal["nearest", "reflect"]

TRUNCATE = 4.0
"""Where the Gaussian ends, in sigmas: the default of `skimage.filters.gaussian`, which the source calls."""


def _inside(index: NDArray[np.intp], side_px: int, border: Border) -> NDArray[np.intp]:
    """Indices on a line that goes on: its last value repeated, or mirrored about its edge (d c b a | a b c d)."""
    if border == "nearest":
        return np.clip(index, 0, side_px - 1)
    folded = index % (2 * side_px)
    return np.minimum(folded, 2 * side_px - 1 - folded)


@lru_cache(maxsize=64)
def gaussian_matrix(side_px: int, sigma_px: float, border: Border, truncate: float) -> Matrix:
    """(side, side), float32: the sampled and normalised Gaussian of each row, as `scipy.ndimage.gaussian_filter1d`."""
    radius = int(truncate * sigma_px + 0.5)
    offset = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (offset / sigma_px) ** 2)
    rows = np.arange(side_px)[:, None]
    matrix = np.zeros((side_px, side_px))
    np.add.at(matrix, (rows, _inside(rows + offset, side_px, border)), weight / weight.sum())
    return _constant(matrix)


def _constant(matrix: NDArray[np.float64]) -> Matrix:
    """Float32 and read-only, as the cache hands the same array to everyone."""
    result = matrix.astype(np.float32)
    result.flags.writeable = False
    return result


def gaussian(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """Gaussian blur within each channel, the border's values repeated outside. Draws nothing."""
    sigma_px = constants.GAUSSIAN_BLUR_SIGMA_PX[severity - 1]
    down, along = (gaussian_matrix(n, sigma_px, "nearest", TRUNCATE) for n in tile.shape[1:])
    return down @ (tile @ along.T)


def _zoom_matrix(side_px: int, zoom: float) -> NDArray[np.float64]:
    """(side, side): linear zoom of the line's middle, cut back to the line's length.

    As the source does: ceil(side / zoom) values are cut out, drawn out to round(zoom times that) with the first and
    last value kept (`scipy.ndimage.zoom(order=1)`), and as many values taken from the middle of the result.
    """
    cut = int(np.ceil(side_px / zoom))
    wide = round(cut * zoom)
    where = (np.arange(side_px) + (wide - side_px) // 2) * ((cut - 1) / max(wide - 1, 1))
    low = np.clip(np.floor(where).astype(np.intp), 0, max(cut - 2, 0))
    matrix = np.zeros((side_px, side_px))
    rows, first = np.arange(side_px), (side_px - cut) // 2
    np.add.at(matrix, (rows, first + low), 1 - (where - low))
    np.add.at(matrix, (rows, first + np.minimum(low + 1, cut - 1)), where - low)
    return matrix


@lru_cache(maxsize=16)
def zoom_matrices(side_px: int, severity: int) -> Matrix:
    """(zooms x side, side), float32: the matrices of all zooms of a severity above each other."""
    return _constant(np.concatenate([_zoom_matrix(side_px, float(z)) for z in constants.zooms(severity)]))


def zoom(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """The mean of the picture and its zooms, among which it stands once more. Draws nothing."""
    _, y, x = tile.shape
    down, along = zoom_matrices(y, severity), zoom_matrices(x, severity)
    count = len(along) // x
    # sum_k Y_k (P X_k^T) is one product over (k, row): Y_k side by side, times the P X_k^T above each other.
    drawn = (tile @ along.T).reshape(3, y, count, x).transpose(0, 2, 1, 3).reshape(3, count * y, x)
    beside = down.reshape(count, y, y).transpose(1, 0, 2).reshape(y, count * y)
    return (tile + beside @ drawn) / np.float32(count + 1)
