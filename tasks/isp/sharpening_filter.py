"""Sharpening filter: the plane less its discrete Laplacian, by [0 -1 0; -1 5 -1; 0 -1 0] (thesis A, eq. 3.13)."""

from typing import ClassVar

import numpy as np

from tasks.isp.luma import ChannelFilter, filtered
from tasks.isp.operator import Place, Plane

HALO_PX = 1


def sharpen(plane: Plane) -> Plane:
    """`plane` (y, x) under the kernel; one pixel less on each side; values may leave [0, 1]."""
    centre = plane[1:-1, 1:-1]
    around = plane[:-2, 1:-1] + plane[2:, 1:-1]
    around += plane[1:-1, :-2]
    around += plane[1:-1, 2:]
    result = centre * np.float32(5)
    result -= around
    return result


class SharpeningFilter(ChannelFilter):
    """RGB (3, y, x), sharpened on its `channels`."""

    name: ClassVar[str] = "sharpening_filter"

    @property
    def halo_px(self) -> int:
        return HALO_PX

    def apply(self, image: Plane, place: Place) -> Plane:
        return filtered(image, self.channels, sharpen, HALO_PX)
