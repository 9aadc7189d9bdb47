"""Median denoising over a square window (thesis A, eq. 3.17: size 3).

The median of 3x3 is exact by minima and maxima alone: sort the columns, then the median of (greatest low, middle
mid, least high). N. Devillard, "Fast median search: an ANSI C implementation", 1998, gives the network's idea.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator
from scipy import ndimage

from tasks.isp.arrays import Array, namespace
from tasks.isp.luma import ChannelFilter
from tasks.isp.operator import Plane, crop


def _median_3(plane: Array) -> Array:
    xp = namespace(plane)
    least, most = xp.minimum, xp.maximum

    def middle(a: Array, b: Array, c: Array) -> Array:
        return most(least(a, b), least(most(a, b), c))

    above, here, below = plane[..., :-2, :], plane[..., 1:-1, :], plane[..., 2:, :]
    less, more = least(above, here), most(above, here)
    low, rest = least(less, below), most(less, below)
    mid, high = least(rest, more), most(rest, more)
    floor = most(most(low[..., :-2], low[..., 1:-1]), low[..., 2:])
    roof = least(least(high[..., :-2], high[..., 1:-1]), high[..., 2:])
    return middle(floor, middle(mid[..., :-2], mid[..., 1:-1], mid[..., 2:]), roof)


def _median_any(plane: Array, size_px: int) -> Array:
    if isinstance(plane, np.ndarray):
        window = (1,) * (plane.ndim - 2) + (size_px, size_px)
        return crop(ndimage.median_filter(plane, size=window, mode="mirror"), size_px // 2)
    windows = plane.unfold(-2, size_px, 1).unfold(-2, size_px, 1)
    return windows.flatten(-2).median(-1).values


def median(plane: Array, size_px: int) -> Array:
    """The median of each `size_px` x `size_px` window of `plane` (…, y, x); `size_px // 2` less on each side."""
    return _median_3(plane) if size_px == 3 else _median_any(plane, size_px)


def _odd(size_px: int) -> int:
    if size_px < 3 or size_px > 31 or size_px % 2 == 0:
        raise ValueError("a window has an odd side from 3 to 31 px")
    return size_px


class Median(ChannelFilter):
    """RGB (…, 3, y, x), median-filtered on its `channels`."""

    name: ClassVar[str] = "median"
    size_px: Annotated[int, AfterValidator(_odd)]

    @property
    def halo_px(self) -> int:
        return self.size_px // 2

    def plane(self, plane: Array) -> Array:
        return median(plane, self.size_px)

    def plane_into(self, plane: Plane, out: Plane) -> None:
        from tasks.isp.compiled.planes import median_3

        if self.size_px == 3:
            median_3(plane, out)
        else:
            super().plane_into(plane, out)
