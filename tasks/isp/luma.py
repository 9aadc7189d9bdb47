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
from tasks.isp.operator import Operator, Place, crop

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
