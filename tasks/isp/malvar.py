"""Malvar-He-Cutler demosaicing: bilinear plus a gain-weighted Laplacian of the colour that is there.

H. S. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
images", ICASSP 2004, fig. 2: alpha = 1/2, beta = 5/8, gamma = 3/4 (thesis A, table 3.2 "ma").
"""

from typing import ClassVar

from tasks.isp.arrays import Array
from tasks.isp.bayer import EIGHTH, Channel, Neighbour, Quads, demosaic, demosaic_into
from tasks.isp.operator import Domain, Operator, Place, Plane

HALO_PX = 2


def _sides(near: Neighbour) -> tuple[Array, Array]:
    """Sums of the neighbours of the same site: left + right, above + below."""
    return near(0, -1) + near(0, 1), near(-1, 0) + near(1, 0)


def _at_green(green: Array, pair: Array, diagonal: Array, same: Array, across: Array) -> Array:
    """A colour at a green site: `pair` are its two samples, `same` green lies behind them, `across` does not."""
    return (5 * green + 4 * pair - same - diagonal + 0.5 * across) * EIGHTH


def kernel(quads: Quads) -> tuple[Channel, Channel, Channel]:
    """Red, green and blue at the sites r, g1, g2, b; right inside a margin of one quad."""
    r, g1, g2, b = quads.r, quads.g1, quads.g2, quads.b
    near_r, near_g1, near_g2, near_b = (quads.near(p) for p in (r, g1, g2, b))
    row_r, column_r = _sides(near_r)
    row_b, column_b = _sides(near_b)
    plus_r, plus_b = row_r + column_r, row_b + column_b
    green_r = (4 * r + 2 * (near_g1(0, -1) + g1 + near_g2(-1, 0) + g2) - plus_r) * EIGHTH
    green_b = (4 * b + 2 * (g2 + near_g2(0, 1) + g1 + near_g1(1, 0)) - plus_b) * EIGHTH
    across, along = r + near_r(0, 1), b + near_b(0, -1)
    red_b = (6 * b + 2 * (across + quads.near(across)(1, 0)) - 1.5 * plus_b) * EIGHTH
    blue_r = (6 * r + 2 * (along + quads.near(along)(-1, 0)) - 1.5 * plus_r) * EIGHTH
    red_g, blue_g = _both_at_green(quads, near_g1, near_g2, (across, r + near_r(1, 0)), (b + near_b(-1, 0), along))
    return (r, *red_g, red_b), (green_r, g1, g2, green_b), (blue_r, *blue_g, b)


def _both_at_green(
    quads: Quads,
    near_g1: Neighbour,
    near_g2: Neighbour,
    red_pairs: tuple[Array, Array],
    blue_pairs: tuple[Array, Array],
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Red and blue at (g1, g2); red lies beside g1 and above and below g2, blue the other way round."""
    row_1, column_1 = _sides(near_g1)
    row_2, column_2 = _sides(near_g2)
    diagonal_1 = near_g2(-1, 0) + near_g2(-1, 1) + quads.g2 + near_g2(0, 1)
    diagonal_2 = near_g1(0, -1) + quads.g1 + near_g1(1, -1) + near_g1(1, 0)
    red_1 = _at_green(quads.g1, red_pairs[0], diagonal_1, row_1, column_1)
    red_2 = _at_green(quads.g2, red_pairs[1], diagonal_2, column_2, row_2)
    blue_1 = _at_green(quads.g1, blue_pairs[0], diagonal_1, column_1, row_1)
    blue_2 = _at_green(quads.g2, blue_pairs[1], diagonal_2, row_2, column_2)
    return (red_1, red_2), (blue_1, blue_2)


class Malvar(Operator):
    """Mosaic (…, y, x) to RGB (…, 3, y, x)."""

    name: ClassVar[str] = "malvar"
    domain: ClassVar[Domain] = "demosaic"

    @property
    def halo_px(self) -> int:
        return HALO_PX

    def apply(self, image: Array, place: Place) -> Array:
        return demosaic(image, place, kernel, HALO_PX)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.malvar import malvar

        demosaic_into(image, out, place, lambda quads, columns, rgb, _: malvar(quads, columns, rgb), HALO_PX)
