"""On which channels a filter works: the luma, all of YUV, or R, G and B.

Analogue YUV of ITU-R BT.601 with the 8-digit coefficients of scikit-image's `rgb2yuv`, which the thesis names
(A, eq. 3.14). As a change of Y alone shifts R, G and B by the same amount, filtering luma is RGB + (Y' - Y).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np

from tasks.isp.arrays import Array, like
from tasks.isp.colour_matrix import mix
from tasks.isp.operator import Operator, Place, Plane, crop, margin_px
from tasks.isp.scratch import Take, scratch

Channels = Literal["luma", "yuv", "rgb"]
YUV_FROM_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.14714119, -0.28886916, 0.43601035],
        [0.61497538, -0.51496512, -0.10001026],
    ]
)
RGB_FROM_YUV = np.linalg.inv(YUV_FROM_RGB)
Filter = Callable[[Array], Array]
"""Takes planes (…, y, x) and returns them smaller by its halo on each side."""


def luma(image: Array) -> Array:
    """Y' (…, y, x) of RGB (…, 3, y, x)."""
    red, green, blue = like(YUV_FROM_RGB[0], image)
    return image[..., 0, :, :] * red + image[..., 1, :, :] * green + image[..., 2, :, :] * blue


def filtered(image: Array, channels: Channels, function: Filter, halo_px: int) -> Array:
    """RGB (…, 3, y, x) with `function` on its `channels`, less `halo_px` on each side."""
    if channels == "luma":
        y = luma(image)
        change = function(y) - crop(y, halo_px)
        return crop(image, halo_px) + change[..., None, :, :]
    if channels == "rgb":
        return function(image)
    return mix(function(mix(image, YUV_FROM_RGB)), RGB_FROM_YUV)


class ChannelFilter(Operator):
    """Base of the operators that filter planes: luma unless told otherwise in params."""

    channels: Channels

    @abstractmethod
    def plane(self, plane: Array) -> Array:
        """The filter itself, for planes (…, y, x); `halo_px` less on each side."""

    def apply(self, image: Array, place: Place) -> Array:
        return filtered(image, self.channels, self.plane, self.halo_px)

    def plane_into(self, plane: Plane, out: Plane) -> None:
        """The filter for one plane (y, x), quickly; `out` may be smaller by more than the halo."""
        np.copyto(out, self.plane(crop(plane, margin_px(plane, out) - self.halo_px)))

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        with scratch() as take:
            if self.channels == "luma":
                self._luma_into(image, out, take)
            elif self.channels == "rgb":
                self._planes_into(image, out)
            else:
                self._yuv_into(image, out, take)

    def _planes_into(self, image: Plane, out: Plane) -> None:
        for plane, target in zip(image, out, strict=True):
            self.plane_into(plane, target)

    def _luma_into(self, image: Plane, out: Plane, take: Take) -> None:
        from tasks.isp.compiled import points

        before, after = take(*image.shape[1:]), take(*out.shape[1:])
        points.luma(image, before)
        self.plane_into(before, after)
        points.with_luma(image, before, after, out)

    def _yuv_into(self, image: Plane, out: Plane, take: Take) -> None:
        from tasks.isp.compiled import points

        before, after = take(*image.shape), take(*out.shape)
        points.mix(image, YUV_FROM_RGB.astype(np.float32), before)
        self._planes_into(before, after)
        points.mix(after, RGB_FROM_YUV.astype(np.float32), out)
