"""JPEG: a view through 8 bits, compression at a quality, and back. Not part of the thesis's data models.

ITU-T T.81 with libjpeg-turbo's integer transforms (imagecodecs). Blocks lie on the frame's own grid, wherever a tile
begins, and each block depends on nothing but its pixels and, where chroma is halved, on the chroma beside it; so tiles
equal the frame bit for bit. Blocks that the border cuts are filled from the frame's mirrored continuation, where a
file's encoder would repeat its last pixels: inside the last whole block both agree.
"""

from typing import Annotated, ClassVar, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.isp.arrays import Array, like
from tasks.isp.operator import Operator, Place

Subsampling = Literal["444", "420"]
BLOCK_PX = {"444": 8, "420": 16}
"""Sides of a minimum coded unit."""
CHROMA_REACH_PX = {"444": 0, "420": 16}
"""The decoder interpolates chroma from the neighbouring unit, which must be there whole."""


def compressed(rgb: NDArray[np.uint8], quality: int, subsampling: Subsampling) -> NDArray[np.uint8]:
    """RGB (y, x, 3) as it comes out of a JPEG file of it; blocks begin at (0, 0)."""
    stream = imagecodecs.jpeg8_encode(np.ascontiguousarray(rgb), level=quality, subsampling=subsampling)
    return np.asarray(imagecodecs.jpeg8_decode(stream))


def outwards(start: int, count: int, grain: int, reach: int) -> tuple[int, int]:
    """First of `count` samples from `start` and the one after the last, widened to multiples of `grain`, then by
    `reach`."""
    stop = start + count
    return start - start % grain - reach, stop + -stop % grain + reach


class Jpeg(Operator):
    """RGB (…, 3, y, x) in [0, 1] through a JPEG of `quality` 1 to 100, with whole chroma ("444") or halved ("420").

    It has steps and no slope: with torch it runs on the CPU through NumPy and raises ValueError where a gradient is
    asked for. Inputs that differ by a rounding may come out a step of 1/255 and more apart.
    """

    name: ClassVar[str] = "jpeg"
    needs_unit_range: ClassVar[bool] = True
    gives_unit_range: ClassVar[bool] = True
    quality: Annotated[int, Field(ge=1, le=100)]
    subsampling: Subsampling

    @property
    def halo_px(self) -> int:
        return BLOCK_PX[self.subsampling] - 1 + CHROMA_REACH_PX[self.subsampling]

    def apply(self, image: Array, place: Place) -> Array:
        if isinstance(image, np.ndarray):
            return self._coded(image, place)
        if image.requires_grad:
            raise ValueError("jpeg has no gradient; expected a chain without it, or torch.no_grad()")
        frames = image.cpu().numpy().reshape(-1, *image.shape[-3:])
        coded = np.stack([self._coded(frame, place) for frame in frames])
        return like(coded, image).reshape(*image.shape[:-2], *coded.shape[-2:])

    def _coded(self, image: NDArray[np.floating], place: Place) -> NDArray[np.floating]:
        """One image (3, y, x) at `place`, less the halo."""
        rows, columns = (
            self._span(start, length) for start, length in zip((place.y_px, place.x_px), image.shape[1:], strict=True)
        )
        pixels = np.rint(image[:, slice(*rows), slice(*columns)].transpose(1, 2, 0) * 255).astype(np.uint8)
        coded = compressed(pixels, self.quality, self.subsampling).transpose(2, 0, 1)
        top, left = self.halo_px - rows[0], self.halo_px - columns[0]
        height, width = (side - 2 * self.halo_px for side in image.shape[1:])
        view: NDArray[np.floating] = coded[:, top : top + height, left : left + width].astype(image.dtype)
        return view / image.dtype.type(255)

    def _span(self, start: int, length: int) -> tuple[int, int]:
        """Of an axis whose first sample has the frame's number `start`: the samples to code, counted from there."""
        first, last = outwards(
            start + self.halo_px,
            length - 2 * self.halo_px,
            BLOCK_PX[self.subsampling],
            CHROMA_REACH_PX[self.subsampling],
        )
        return first - start, last - start
