"""On which channels a filter works: the luma, all of YUV, or R, G and B.

Analogue YUV of ITU-R BT.601 with the 8-digit coefficients of scikit-image's `rgb2yuv`, which the thesis names
(A, eq. 3.14). As a change of Y alone shifts R, G and B by the same amount, filtering luma is RGB + (Y' - Y).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from tasks.isp.colour_matrix import mix
from tasks.isp.operator import Operator, Plane

Channels = Literal["luma", "yuv", "rgb"]
YUV_FROM_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.14714119, -0.28886916, 0.43601035],
        [0.61497538, -0.51496512, -0.10001026],
    ]
)
RGB_FROM_YUV = np.linalg.inv(YUV_FROM_RGB)
Filter = Callable[[Plane], Plane]
"""Takes a plane (y, x) and returns one smaller by its halo on each side."""


def luma(image: Plane) -> Plane:
    """Y' (y, x) of RGB (3, y, x)."""
    red, green, blue = (np.float32(w) for w in YUV_FROM_RGB[0])
    result: Plane = image[0] * red
    result += image[1] * green
    result += image[2] * blue
    return result


def crop(image: Plane, halo_px: int) -> Plane:
    """A view of `image` (..., y, x) without `halo_px` on each side."""
    height, width = image.shape[-2:]
    return image[..., halo_px : height - halo_px, halo_px : width - halo_px]


def _luma_only(image: Plane, function: Filter, halo_px: int) -> Plane:
    y = luma(image)
    change = function(y)
    change -= crop(y, halo_px)
    return crop(image, halo_px) + change


def filtered(image: Plane, channels: Channels, function: Filter, halo_px: int) -> Plane:
    """RGB (3, y, x) with `function` on its `channels`, less `halo_px` on each side."""
    if channels == "luma":
        return _luma_only(image, function, halo_px)
    planes = mix(image, YUV_FROM_RGB) if channels == "yuv" else image
    result = np.stack([function(plane) for plane in planes])
    return mix(result, RGB_FROM_YUV) if channels == "yuv" else result


class ChannelFilter(Operator):
    """Base of the operators that filter planes: luma unless told otherwise in params."""

    channels: Channels
