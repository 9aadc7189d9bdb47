"""Standard normal noise of single pixels: a function of (seed, sample, purpose, step, position) and nothing else.

Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the counter
(x, y, channel // 4, step): four words, two pairs for Box and Muller's transform, four channels. So a crop of a canvas
has the noise that it has in the whole, and a larger canvas begins with that of a smaller one.
"""

import numpy as np
from numpy.typing import NDArray

from tasks import rng

Words = NDArray[np.uint64]
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Four 32-bit words (in uint64) of each counter, of any one shape."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (second >> HALF) ^ c1 ^ np.uint64(k0),
            second & LOW,
            (first >> HALF) ^ c3 ^ np.uint64(k1),
            first & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def field(channels: int, y: slice, x: slice, seed: int, name: str, purpose: str, step: int = 0) -> NDArray[np.float32]:
    """Standard normal noise (channels, y, x), float32, of the pixels of a canvas in rows `y` and columns `x`."""
    name_key = rng.key(seed, name, purpose)
    key = (name_key & 0xFFFFFFFF, (name_key >> 32) & 0xFFFFFFFF)
    blocks = -(-channels // 4)
    places = (blocks, y.stop - y.start, x.stop - x.start)
    axes = np.ogrid[0:blocks, y.start : y.stop, x.start : x.stop]
    block, rows, columns = (np.broadcast_to(axis.astype(np.uint64), places) for axis in axes)
    words = philox((columns, rows, block, np.full(places, step, np.uint64)), key)
    normal = np.stack([*_box_muller(words[0], words[1]), *_box_muller(words[2], words[3])], axis=1)
    return np.ascontiguousarray(normal.reshape(blocks * 4, *places[1:])[:channels])


def _box_muller(one: Words, other: Words) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two independent normals of two words; uniforms lie at the centres of 2^32 cells, so that log(0) is not met."""
    radius = np.sqrt(-2 * np.log((one.astype(np.float64) + 0.5) / 2**32))
    angle = (2 * np.pi / 2**32) * (other.astype(np.float64) + 0.5)
    return (radius * np.cos(angle)).astype(np.float32), (radius * np.sin(angle)).astype(np.float32)
