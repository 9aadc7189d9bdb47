"""Bilinear demosaicing: the mean of the nearest samples of each colour (thesis A, table 3.2 "bi").

Losson, Macaire and Yang, "Comparison of color demosaicing methods", Advances in Imaging and Electron Physics
162 (2010), section 2.1.
"""

from typing import ClassVar

from tasks.isp.arrays import Array
from tasks.isp.bayer import HALF, QUARTER, Channel, Quads, demosaic, demosaic_into
from tasks.isp.operator import Domain, Operator, Place, Plane

HALO_PX = 2


def kernel(quads: Quads) -> tuple[Channel, Channel, Channel]:
    """Red, green and blue at the sites r, g1, g2, b; right inside a margin of one quad."""
    r, g1, g2, b = quads.r, quads.g1, quads.g2, quads.b
    near_r, near_g1, near_g2, near_b = (quads.near(p) for p in (r, g1, g2, b))
    green_r = (near_g1(0, -1) + g1 + near_g2(-1, 0) + g2) * QUARTER
    green_b = (g2 + near_g2(0, 1) + g1 + near_g1(1, 0)) * QUARTER
    across, along = r + near_r(0, 1), b + near_b(0, -1)
    red_b = (across + quads.near(across)(1, 0)) * QUARTER
    blue_r = (along + quads.near(along)(-1, 0)) * QUARTER
    red = (r, across * HALF, (r + near_r(1, 0)) * HALF, red_b)
    blue = (blue_r, (b + near_b(-1, 0)) * HALF, along * HALF, b)
    return red, (green_r, g1, g2, green_b), blue


class Bilinear(Operator):
    """Mosaic (…, y, x) to RGB (…, 3, y, x)."""

    name: ClassVar[str] = "bilinear"
    domain: ClassVar[Domain] = "demosaic"

    @property
    def halo_px(self) -> int:
        return HALO_PX

    def apply(self, image: Array, place: Place) -> Array:
        return demosaic(image, place, kernel, HALO_PX)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.bilinear import bilinear

        demosaic_into(image, out, place, lambda quads, columns, rgb, _: bilinear(quads, columns, rgb), HALO_PX)
