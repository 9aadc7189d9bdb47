"""Noises on display values: each takes a tile (3, y, x), float32 in [0, 1], and gives the same shape, not clipped.

What the corruptions call noise is added after all processing, so that it has neither the sensor's statistics nor
the correlation that demosaicing and denoising give it. Channels are independent.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.drift.corruptions import constants

Tile = NDArray[np.float32]


def gaussian(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """x + sigma n, with n standard normal."""
    sigma = np.float32(constants.GAUSSIAN_NOISE_SIGMA[severity - 1])
    return tile + sigma * rng.standard_normal(tile.shape, dtype=np.float32)


def shot(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """Poisson(x c) / c: mean x, variance x / c, with c the photons of white."""
    photons = constants.SHOT_NOISE_PHOTONS[severity - 1]
    counts = rng.poisson(tile.astype(np.float64) * photons)
    return counts.astype(np.float32) / np.float32(photons)


def impulse(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """Salt and pepper: with probability p a value becomes 0 or 1, one as likely as the other.

    Values, not pixels, as in `skimage.util.random_noise(mode="s&p")`: the channels of a pixel go their own ways.
    """
    share = np.float32(constants.IMPULSE_NOISE_SHARE[severity - 1])
    # One draw decides both whether and which, the lower half of [0, p) for pepper.
    lot = rng.random(tile.shape, dtype=np.float32)
    return np.where(lot < share, (lot >= share / 2).astype(np.float32), tile)


def speckle(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """x + x sigma n, with n standard normal."""
    sigma = np.float32(constants.SPECKLE_NOISE_SIGMA[severity - 1])
    return tile + tile * (sigma * rng.standard_normal(tile.shape, dtype=np.float32))
