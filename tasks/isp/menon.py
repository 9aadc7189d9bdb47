"""Menon-Andriani-Calvagno demosaicing: green along the smoother direction, then colour differences.

D. Menon, S. Andriani, G. Calvagno, "Demosaicing with directional filtering and a posteriori decision", IEEE
Trans. Image Processing 16 (2007) 132-141: the decision over a 5x5 window, and the paper's refining step
(thesis A, table 3.2 "me"). Equal directions count as rows.
"""

from dataclasses import dataclass
from typing import ClassVar

from tasks.isp.arrays import Array, namespace
from tasks.isp.bayer import HALF, QUARTER, THIRD, Channel, Neighbour, Quads, demosaic, demosaic_into
from tasks.isp.operator import Domain, Operator, Place, Plane
from tasks.isp.scratch import Take

HALO_PX = 8
"""Green and its decision reach 4 px, red and blue at green 5 and at each other 6; refining adds 2."""

Pair = tuple[Array, Array]


@dataclass(frozen=True)
class _Green:
    """Green at the sites r and b, and whether it was taken along the row there."""

    r: Array
    b: Array
    row_r: Array
    row_b: Array


def _curvature(plane: Array, near: Neighbour, dy: int, dx: int) -> Array:
    """What a green mean lacks, from the own colour: a quarter of its negated second difference."""
    return (2 * plane - near(-dy, -dx) - near(dy, dx)) * QUARTER


def _activity(quads: Quads, difference: Pair, dy: int, dx: int) -> Pair:
    """At the sites (r, b): gradients along (dy, dx) of the colour `difference`, summed over a 5x5 window.

    The own colour's gradients weigh 3 on the line and 1 two lines off, the other colour's 1 (paper, eq. 5-6).
    """
    near = [quads.near(plane) for plane in difference]
    gradient = [abs(d - n(dy, dx)) for d, n in zip(difference, near, strict=True)]
    near_r, near_b = (quads.near(g) for g in gradient)
    pairs = gradient[0] + near_r(-dy, -dx), gradient[1] + near_b(-dy, -dx)
    beside_r, beside_b = (quads.near(p) for p in pairs)
    at_r = 3 * pairs[0] + beside_r(-dx, -dy) + beside_r(dx, dy) + near_b(-1, -1) + near_b(-dy, -dx)
    at_b = 3 * pairs[1] + beside_b(-dx, -dy) + beside_b(dx, dy) + gradient[0] + near_r(dx, dy)
    return at_r, at_b


def _directions(quads: Quads) -> tuple[Pair, Pair]:
    """Green at (r, b) by rows, and by columns."""
    near_r, near_g1, near_g2, near_b = (quads.near(p) for p in (quads.r, quads.g1, quads.g2, quads.b))
    row_r = (near_g1(0, -1) + quads.g1) * HALF + _curvature(quads.r, near_r, 0, 1)
    row_b = (quads.g2 + near_g2(0, 1)) * HALF + _curvature(quads.b, near_b, 0, 1)
    column_r = (near_g2(-1, 0) + quads.g2) * HALF + _curvature(quads.r, near_r, 1, 0)
    column_b = (quads.g1 + near_g1(1, 0)) * HALF + _curvature(quads.b, near_b, 1, 0)
    return (row_r, row_b), (column_r, column_b)


def _green(quads: Quads) -> _Green:
    """Green along rows or columns, wherever the colour difference changes less."""
    rows, columns = _directions(quads)
    along = _activity(quads, (quads.r - rows[0], quads.b - rows[1]), 0, 1)
    across = _activity(quads, (quads.r - columns[0], quads.b - columns[1]), 1, 0)
    row_r, row_b = across[0] >= along[0], across[1] >= along[1]
    where = namespace(quads.r).where
    return _Green(where(row_r, rows[0], columns[0]), where(row_b, rows[1], columns[1]), row_r, row_b)


def _at_green(quads: Quads, green: Pair) -> tuple[Pair, Pair]:
    """Red and blue at (g1, g2): green plus the mean colour difference of the two samples beside it."""
    red, blue = quads.r - green[0], quads.b - green[1]
    near_red, near_blue = quads.near(red), quads.near(blue)
    red_1, red_2 = (red + near_red(0, 1)) * HALF, (red + near_red(1, 0)) * HALF
    blue_1, blue_2 = (blue + near_blue(-1, 0)) * HALF, (blue + near_blue(0, -1)) * HALF
    return (quads.g1 + red_1, quads.g2 + red_2), (quads.g1 + blue_1, quads.g2 + blue_2)


def _beside(quads: Quads, at_green: Pair, green: _Green) -> Pair:
    """At (r, b): sum of the two values of a quantity known `at_green` along the decided direction."""
    one, two = at_green
    near_one, near_two = quads.near(one), quads.near(two)
    where = namespace(one).where
    at_r = where(green.row_r, near_one(0, -1) + one, near_two(-1, 0) + two)
    at_b = where(green.row_b, two + near_two(0, 1), one + near_one(1, 0))
    return at_r, at_b


def _mean(two: Array, centre: Array) -> Array:
    """The mean of three values, of which `two` are given by their sum."""
    return (two + centre) * THIRD


def _red_less_blue(red: Pair, blue: Pair) -> Pair:
    return red[0] - blue[0], red[1] - blue[1]


def _refine(quads: Quads, green: _Green, red: Pair, blue: Pair, other: Pair) -> tuple[Channel, Channel, Channel]:
    """The paper's refining: each colour difference is averaged over three samples along the direction.

    `red` and `blue` are known at green, `other` is blue at r and red at b.
    """
    greens = (quads.g1, quads.g2)
    red_r, _ = _beside(quads, (red[0] - greens[0], red[1] - greens[1]), green)
    _, blue_b = _beside(quads, (blue[0] - greens[0], blue[1] - greens[1]), green)
    green_r = quads.r - _mean(red_r, quads.r - green.r)
    green_b = quads.b - _mean(blue_b, quads.b - green.b)
    red, blue = _at_green(quads, (green_r, green_b))
    at_r, at_b = _beside(quads, _red_less_blue(red, blue), green)
    blue_r = quads.r - _mean(at_r, quads.r - other[0])
    red_b = quads.b + _mean(at_b, other[1] - quads.b)
    return (quads.r, *red, red_b), (green_r, *greens, green_b), (blue_r, *blue, quads.b)


def directional(quads: Quads) -> tuple[Channel, Channel, Channel]:
    """Red, green and blue at the sites r, g1, g2, b, not refined; right inside a margin of 6 px."""
    channels, _, _ = _directional(quads)
    return channels


def _directional(quads: Quads) -> tuple[tuple[Channel, Channel, Channel], _Green, Pair]:
    green = _green(quads)
    red, blue = _at_green(quads, (green.r, green.b))
    at_r, at_b = _beside(quads, _red_less_blue(red, blue), green)
    other = quads.r - at_r * HALF, quads.b + at_b * HALF
    greens = (green.r, quads.g1, quads.g2, green.b)
    return ((quads.r, *red, other[1]), greens, (other[0], *blue, quads.b)), green, other


def refined(quads: Quads) -> tuple[Channel, Channel, Channel]:
    """As `directional`, refined; right inside a margin of 8 px."""
    (red, _, blue), green, other = _directional(quads)
    return _refine(quads, green, (red[1], red[2]), (blue[1], blue[2]), other)


class Menon(Operator):
    """Mosaic (…, y, x) to RGB (…, 3, y, x); with or without the refining step."""

    name: ClassVar[str] = "menon"
    domain: ClassVar[Domain] = "demosaic"
    refine: bool

    @property
    def halo_px(self) -> int:
        return HALO_PX

    def apply(self, image: Array, place: Place) -> Array:
        return demosaic(image, place, refined if self.refine else directional, HALO_PX)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.menon import menon

        def kernel(quads: Plane, columns: int, channels: Plane, take: Take) -> None:
            menon(quads, columns, channels, take, self.refine)

        demosaic_into(image, out, place, kernel, HALO_PX)
