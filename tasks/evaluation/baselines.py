"""Pictures that are known not to be tissue, or known to be spoilt: what a distance says of them gives it a scale.

All take and give one tile (c, y, x), uint8 display RGB, and are keyed by (seed, tile id).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tasks.rng import generator

Tile = NDArray[np.uint8]


def uniform_noise(tile: Tile, seed: int, tile_id: str) -> Tile:
    """Independent uniform values of 0..255, of the tile's shape alone."""
    return generator(seed, tile_id, "uniform noise").integers(0, 256, tile.shape, dtype=np.uint8)


def gaussian_noise(tile: Tile, seed: int, tile_id: str) -> Tile:
    """Independent normal values with the mean and standard deviation of each of the tile's channels, clipped."""
    mean = tile.mean(axis=(1, 2), keepdims=True)
    spread = tile.std(axis=(1, 2), keepdims=True)
    drawn = generator(seed, tile_id, "gaussian noise").standard_normal(tile.shape) * spread + mean
    return np.asarray(np.clip(np.rint(drawn), 0, 255), np.uint8)


def shuffled_pixels(tile: Tile, seed: int, tile_id: str) -> Tile:
    """The tile's own pixels in random places: its colours without its structure."""
    order = generator(seed, tile_id, "pixel shuffle").permutation(tile.shape[1] * tile.shape[2])
    return tile.reshape(len(tile), -1)[:, order].reshape(tile.shape)


def blurred(tile: Tile, sigma_px: float) -> Tile:
    """The tile through a Gaussian of `sigma_px`: its layout without its detail."""
    smooth = gaussian_filter(tile.astype(np.float32), (0, sigma_px, sigma_px), mode="reflect")
    return np.asarray(np.clip(np.rint(smooth), 0, 255), np.uint8)


def makers(seed: int, blur_sigma_px: float) -> dict[str, Callable[[Tile, str], Tile]]:
    """Baselines by name: (tile, tile id) -> tile."""
    return {
        "uniform_noise": lambda tile, name: uniform_noise(tile, seed, name),
        "gaussian_noise": lambda tile, name: gaussian_noise(tile, seed, name),
        "shuffled_pixels": lambda tile, name: shuffled_pixels(tile, seed, name),
        "blurred": lambda tile, name: blurred(tile, blur_sigma_px),
    }
