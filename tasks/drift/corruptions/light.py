"""Changes of light and colour: each takes a tile (3, y, x), float32 in [0, 1], and gives the same shape, not clipped.

Brightness and saturation are changes of V and S in HSV (A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978;
as `skimage.color.rgb2hsv`). With the hue kept, the way there and back has a closed form, used here: a channel is
V - V S w, where w in [0, 1] is its place between the largest (0) and the smallest (1) channel, fixed by the hue.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.drift.corruptions import constants

Tile = NDArray[np.float32]


def contrast(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """(x - m) c + m, with m the channel's mean over the tile. Draws nothing."""
    factor = np.float32(constants.CONTRAST_FACTOR[severity - 1])
    mean = tile.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return np.asarray((tile - mean) * factor + mean, np.float32)


def brightness(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """V + c, at most 1, with H and S kept: all channels times V' / V; black becomes grey. Draws nothing."""
    value = tile.max(axis=0)
    brighter = np.minimum(value + np.float32(constants.BRIGHTNESS_ADDED[severity - 1]), np.float32(1))
    gain = np.divide(brighter, value, out=np.zeros_like(value), where=value > 0)
    return np.asarray(np.where(value > 0, tile * gain, brighter), np.float32)


def saturate(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """S a + b, within [0, 1], with H and V kept. Draws nothing.

    Grey has no hue, and HSV calls it red (0): where b > 0 (severities 4 and 5), grey turns reddish, as in the source.
    """
    factor, added = map(np.float32, constants.SATURATE_FACTOR_AND_ADDED[severity - 1])
    value = tile.max(axis=0)
    chroma = value - tile.min(axis=0)
    coloured = chroma > 0
    saturation = np.divide(chroma, value, out=np.zeros_like(value), where=coloured)
    richer = value * np.clip(saturation * factor + added, np.float32(0), np.float32(1))
    place = np.empty_like(tile)
    place[0], place[1:] = 0, 1
    np.divide(value - tile, chroma, out=place, where=np.broadcast_to(coloured, tile.shape))
    return np.asarray(value - richer * place, np.float32)
