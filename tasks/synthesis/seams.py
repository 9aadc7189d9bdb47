"""Whether windows show: the mean gradient across their borders beside that between other neighbouring pixels.

All gradients are taken between pixels that two latent pixels meet in, on borders and elsewhere alike, so that the
decoder's own raster, which every picture has, is not counted as a seam.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.rng import generator

Lines = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Of a canvas of (h, w) latent pixels: between rows (h - 1, w), between columns (h, w - 1)."""
Gradients = tuple[NDArray[np.float64], NDArray[np.float64]]
DRAWS = 1000


@dataclass(frozen=True)
class Seam:
    """Mean gradient across borders over that elsewhere, with a 95 % bootstrap interval; 1 where no seam shows."""

    ratio: float
    low: float
    high: float


def owner_borders(owner: NDArray[np.int32]) -> Lines:
    """Where neighbouring latent pixels of `owner` (h, w) belong to different windows."""
    return owner[1:] != owner[:-1], owner[:, 1:] != owner[:, :-1]


def edges(canvas: tuple[int, int], windows: Iterable[tuple[slice, slice]]) -> Lines:
    """The edges of `windows` within the canvas (h, w)."""
    between_rows, between_columns = (
        np.zeros((canvas[0] - 1, canvas[1]), bool),
        np.zeros((canvas[0], canvas[1] - 1), bool),
    )
    for rows, columns in windows:
        for at in {rows.start, rows.stop} - {0, canvas[0]}:
            between_rows[at - 1, columns] = True
        for at in {columns.start, columns.stop} - {0, canvas[1]}:
            between_columns[rows, at - 1] = True
    return between_rows, between_columns


def gradients(picture: NDArray[np.float32], factor: int) -> Gradients:
    """Mean |difference| between the pixels either side of each line of the latent raster, for a picture (b, y, x) of
    `factor` pixels a latent pixel; shaped like `Lines`."""
    values = picture.astype(np.float64)
    down = np.abs(values[:, factor::factor] - values[:, factor - 1 : -1 : factor]).mean(0)
    right = np.abs(values[:, :, factor::factor] - values[:, :, factor - 1 : -1 : factor]).mean(0)
    rows, columns = down.shape[0], right.shape[1]
    return down.reshape(rows, -1, factor).mean(2), right.reshape(-1, factor, columns).mean(1)


def seam(steepness: Gradients, borders: Lines, block: int, seed: int) -> Seam:
    """The ratio and its interval over blocks of `block` x `block` latent pixels, which are drawn with repetition.

    A border is compared with the other lines of its own block, of its own direction, so that it does not matter what
    the picture shows where. NaN where nothing can be compared.
    """
    found = sum(_by_block(g, lines, block) for g, lines in zip(steepness, borders, strict=True))
    assert isinstance(found, np.ndarray)
    draws = generator(seed, "seam", "bootstrap").integers(found.shape[1], size=(DRAWS, found.shape[1]))
    if not found[1].any():
        return Seam(np.nan, np.nan, np.nan)
    across, elsewhere = found[:, draws].sum(2)
    low, high = np.quantile(across[elsewhere > 0] / elsewhere[elsewhere > 0], (0.025, 0.975))
    return Seam(float(found[0].sum() / found[1].sum()), float(low), float(high))


def _by_block(steepness: NDArray[np.float64], border: NDArray[np.bool_], block: int) -> NDArray[np.float64]:
    """(2, blocks): the sum across borders, and what it would be with the block's mean elsewhere; 0 without either."""
    rows, columns = np.indices(steepness.shape)
    count = -(-(max(steepness.shape) + 1) // block)
    index = (rows // block) * count + columns // block
    sums = [
        np.bincount(index.ravel(), (values * where).ravel(), count**2)
        for where in (border, ~border)
        for values in (steepness, np.ones_like(steepness))
    ]
    usable = (sums[1] > 0) & (sums[3] > 0)
    mean = np.divide(sums[2], sums[3], out=np.zeros(count**2), where=usable)
    return np.stack([sums[0] * usable, sums[1] * mean])
