"""Inpainting: a region of a real picture is sampled anew, the rest stays as it is (thesis A, fig. 5.9 and 5.10).

Replacement conditioning (Lugmayr et al., "RePaint", CVPR 2022, eq. 8): at each step the latent pixels outside the
region are those of the real picture, noised to that step's level. Every step of the sampler is linear in z and z_0
(tasks.synthesis.schedule), so it is enough to begin at alpha_T z_0 + sigma_T n and to put the real z_0 in place of the
predicted one: what is known then stays at alpha_t z_0 + sigma_t n, with the noise n that it began with (and, with
eta > 0, what is added), for every solver, and ends at z_0 itself.

A latent pixel is free where any pixel of its block of factor x factor is in the region: the decoder draws a block
chiefly from its own latent pixel, which, were it known, would bring the original back. No more are free: those next to
the region must be the real ones, as the decoder's convolutions join the region to what they show.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.synthesis.canvas import Readable
from tasks.synthesis.decode import blend
from tasks.synthesis.schedule import Process, Step

Values = NDArray[np.float32]
Picture = NDArray[np.uint8]
Region = NDArray[np.bool_]
Encode = Callable[[Picture], Values]
"""Pictures (n, 3, h * factor, w * factor) -> latents (n, c, h, w)."""


class Blocks:
    """A picture (b, y, x) by blocks of `factor` x `factor` pixels: `shape` and `read` count blocks along y and x.

    At least `side` blocks along each axis; what lies beyond the picture repeats its border.
    """

    def __init__(self, picture: NDArray[np.uint8], factor: int, side: int) -> None:
        height, width = (max(-(-n // factor), side) for n in picture.shape[1:])
        self.shape = (len(picture), height, width)
        self.picture = picture
        self.factor = factor

    def read(self, y: slice, x: slice) -> Values:
        """(b, y * factor, x * factor)"""
        rows, columns = (
            np.minimum(np.arange(part.start * self.factor, part.stop * self.factor), n - 1)
            for part, n in zip((y, x), self.picture.shape[1:], strict=True)
        )
        return np.asarray(self.picture[:, rows[:, None], columns], np.float32)


def encode(picture: Picture, network: Encode, side: int, factor: int) -> Values:
    """Latents (c, h, w) of a picture (3, y, x) of any size: windows of `side` latent pixels, overlapped and blended.

    Windows are as large as the autoencoder's training tiles; a picture of that size is encoded as it is.
    """
    blocks = Blocks(picture, factor, side)
    seen = blend(blocks, lambda stack: network(stack.astype(np.uint8)), side, 1)
    return np.concatenate(list(seen.strips(slice(0, blocks.shape[1]), slice(0, blocks.shape[2]))), axis=1)


def free_latents(region: Region, side: int, factor: int) -> Region:
    """Latent pixels (h, w) whose block touches the region (y, x), of a canvas as `encode` gives it."""
    blocks = Blocks(region[None].astype(np.uint8), factor, side)
    _, height, width = blocks.shape
    pixels = blocks.read(slice(0, height), slice(0, width))[0]
    return np.asarray(pixels.reshape(height, factor, width, factor).any(axis=(1, 3)))


@dataclass(frozen=True)
class RealLatents:
    """Latents `z0` (c, h, w) that are known but where `free` (h, w); `start` is alpha and sigma of the first step."""

    z0: Readable
    free: Region
    start: tuple[float, float]

    def begin(self, y: slice, x: slice, noise: Values) -> Values:
        """y_T: noise where free, else alpha_T z_0 + sigma_T noise."""
        alpha, sigma = (np.float32(v) for v in self.start)
        return np.where(self.free[y, x], noise, alpha * self.z0.read(y, x) + sigma * noise)

    def settle(self, y: slice, x: slice, predicted: Values) -> Values:
        """The predicted z_0 where free, else the real one."""
        return np.where(self.free[y, x], predicted, self.z0.read(y, x))


def resampled(process: Process, steps: Sequence[Step], times: int) -> list[Step]:
    """Each step but the last taken `times` times, with a jump back up between (Lugmayr et al., algorithm 1).

    A jump from the level of the next step to that of this one is z alpha / alpha' + fresh noise: linear, so that it is
    one with the step before it and costs no evaluation of its own. Steps must not look back (`ddim`).
    """
    found: list[Step] = []
    for step, then in itertools.pairwise(steps):
        up = float(process.signal[step.t] / process.signal[then.t])
        added = math.sqrt(max(0.0, float(process.noise[step.t]) ** 2 - (up * float(process.noise[then.t])) ** 2))
        fresh = math.hypot(up * step.fresh, added)
        found += [replace(step, keep=up * step.keep, clean=up * step.clean, fresh=fresh)] * (times - 1) + [step]
    return [*found, steps[-1]]


def weights(region: Region, feather_px: int) -> Values:
    """Share of the new picture in each pixel (y, x): 0 outside the region, 1 inside but for `feather_px` along its
    border, where it rises evenly. The picture's own border is none of the region's."""
    if region.all():
        return np.ones(region.shape, np.float32)
    depth = ndimage.distance_transform_edt(region)
    return np.asarray(np.minimum(depth / (feather_px + 1), 1), np.float32)


def compose(original: Picture, made: Picture, weight: Values) -> Picture:
    """Pictures (3, y, x) put together by `weights`: the very bytes of `original` where it is 0, of `made` where 1."""
    mixed = original + weight * (made.astype(np.float32) - original)
    return np.where(weight > 0, np.asarray(np.rint(mixed), np.uint8), original)


def largest_area(mask: NDArray[np.uint8]) -> Region:
    """The largest connected area (4-neighbours) of one class, not of the unknown 0; nothing where all is unknown."""
    best = np.zeros(mask.shape, bool)
    for index in np.unique(mask[mask > 0]):
        areas, _ = ndimage.label(mask == index)
        sizes = np.bincount(areas.ravel())
        sizes[0] = 0
        if sizes.max() > np.count_nonzero(best):
            best = areas == sizes.argmax()
    return best


def seam(picture: Picture, region: Region) -> float:
    """Mean absolute difference, in grey levels, of neighbouring pixels of which one is in the region; 0 without such.

    Of a real picture it is the texture's own; where a made region ends with an edge that tissue has not, it is more.
    """
    values = picture.astype(np.float32)
    down = np.abs(np.diff(values, axis=1))[:, region[1:] != region[:-1]]
    across = np.abs(np.diff(values, axis=2))[:, region[:, 1:] != region[:, :-1]]
    met = np.concatenate([down.ravel(), across.ravel()])
    return float(met.mean()) if met.size else 0.0
