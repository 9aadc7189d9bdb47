"""Median denoising over a square window (thesis A, eq. 3.17: size 3).

The median of 3x3 is exact by minima and maxima alone: sort the columns, then the median of (greatest low, middle
mid, least high). N. Devillard, "Fast median search: an ANSI C implementation", 1998, gives the network's idea.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator
from scipy import ndimage

from tasks.isp.luma import ChannelFilter, crop, filtered
from tasks.isp.operator import Place, Plane


def _middle(a: Plane, b: Plane, c: Plane) -> Plane:
    """The middle one of three, element by element."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median_3(plane: Plane) -> Plane:
    above, here, below = plane[:-2], plane[1:-1], plane[2:]
    less, more = np.minimum(above, here), np.maximum(above, here)
    low, rest = np.minimum(less, below), np.maximum(less, below)
    mid, high = np.minimum(rest, more), np.maximum(rest, more)
    floor = np.maximum(np.maximum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    roof = np.minimum(np.minimum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
    return _middle(floor, _middle(mid[:, :-2], mid[:, 1:-1], mid[:, 2:]), roof)


def median(plane: Plane, size_px: int) -> Plane:
    """The median of each `size_px` x `size_px` window of `plane` (y, x); `size_px // 2` less on each side."""
    if size_px == 3:
        return _median_3(plane)
    return crop(ndimage.median_filter(plane, size=size_px, mode="mirror"), size_px // 2)


def _odd(size_px: int) -> int:
    if size_px < 3 or size_px > 31 or size_px % 2 == 0:
        raise ValueError("a window has an odd side from 3 to 31 px")
    return size_px


class Median(ChannelFilter):
    """RGB (3, y, x), median-filtered on its `channels`."""

    name: ClassVar[str] = "median"
    size_px: Annotated[int, AfterValidator(_odd)]

    @property
    def halo_px(self) -> int:
        return self.size_px // 2

    def apply(self, image: Plane, place: Place) -> Plane:
        return filtered(image, self.channels, lambda plane: median(plane, self.size_px), self.halo_px)
