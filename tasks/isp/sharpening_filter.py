"""Sharpening filter: the plane less its discrete Laplacian, by [0 -1 0; -1 5 -1; 0 -1 0] (thesis A, eq. 3.13)."""

from typing import ClassVar

from tasks.isp.arrays import Array
from tasks.isp.luma import ChannelFilter
from tasks.isp.operator import Plane

HALO_PX = 1


def sharpen(plane: Array) -> Array:
    """`plane` (…, y, x) under the kernel; one pixel less on each side; values may leave [0, 1]."""
    above, below, centre = plane[..., :-2, 1:-1], plane[..., 2:, 1:-1], plane[..., 1:-1, 1:-1]
    left, right = plane[..., 1:-1, :-2], plane[..., 1:-1, 2:]
    return centre * 5 - (above + below + left + right)


class SharpeningFilter(ChannelFilter):
    """RGB (…, 3, y, x), sharpened on its `channels`."""

    name: ClassVar[str] = "sharpening_filter"

    @property
    def halo_px(self) -> int:
        return HALO_PX

    def plane(self, plane: Array) -> Array:
        return sharpen(plane)

    def plane_into(self, plane: Plane, out: Plane) -> None:
        from tasks.isp.compiled.planes import sharpen

        sharpen(plane, out)
