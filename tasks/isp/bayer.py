"""Bayer geometry: a mosaic as four quarter planes on one lattice, and neighbours on it.

All demosaicing is written for RGGB. The other three patterns are RGGB seen in a mirror, so a mosaic of even
sides is flipped to bring red to (0, 0), and the result is flipped back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.contracts import Pattern
from tasks.isp.operator import Place, Plane

HALF, THIRD, QUARTER, EIGHTH = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4), np.float32(1 / 8)

Neighbour = Callable[[int, int], Plane]


@dataclass(frozen=True)
class Quads:
    """The quarter planes of an RGGB mosaic, float32, flattened from (rows, columns).

    In quad (i, j): `r` at (2i, 2j), `g1` right of it, `g2` below it, `b` at (2i+1, 2j+1).
    """

    r: Plane
    g1: Plane
    g2: Plane
    b: Plane
    columns: int

    def near(self, plane: Plane) -> Neighbour:
        """`f(dy, dx)`: `plane` as seen from the quad at that distance, each in {-1, 0, 1}.

        Beyond the array stand zeros or the other end of a row: such values never leave the halo.
        """
        guard, size = self.columns + 1, plane.size
        padded = np.zeros(size + 2 * guard, np.float32)
        padded[guard : guard + size] = plane

        def at(dy: int, dx: int) -> Plane:
            start = guard + dy * self.columns + dx
            return padded[start : start + size]

        return at


def turned(pattern: Pattern, place: Place) -> tuple[slice, slice]:
    """Flips along y and x that bring red of an even-sided mosaic at `place` to (0, 0)."""
    y, x = divmod(pattern.index("R"), 2)
    flip = slice(None, None, -1)
    keep = slice(None)
    return flip if (y + place.y_px) % 2 else keep, flip if (x + place.x_px) % 2 else keep


def split(mosaic: Plane) -> Quads:
    """The quarter planes of an RGGB `mosaic` (y, x) with even sides. Raises ValueError for odd sides."""
    if mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise ValueError(f"a mosaic of {mosaic.shape} has half quads; expected even sides")
    r, g1, g2, b = (np.ascontiguousarray(mosaic[y::2, x::2]).ravel() for y in (0, 1) for x in (0, 1))
    return Quads(r, g1, g2, b, mosaic.shape[1] // 2)


Channel = tuple[Plane, Plane, Plane, Plane]
"""One colour at the sites r, g1, g2, b."""


def join(channels: tuple[Channel, Channel, Channel], columns: int, halo_px: int) -> Plane:
    """Interleave colours known at all four sites to RGB (3, y, x), less an even `halo_px` on each side."""
    margin = halo_px // 2
    rows = channels[0][0].size // columns
    inner = slice(margin, rows - margin), slice(margin, columns - margin)
    image = np.empty((3, 2 * (rows - 2 * margin), 2 * (columns - 2 * margin)), np.float32)
    for target, channel in zip(image, channels, strict=True):
        for site, values in enumerate(channel):
            target[site // 2 :: 2, site % 2 :: 2] = values.reshape(rows, columns)[inner]
    return image


def demosaic(mosaic: Plane, place: Place, kernel: Callable[[Quads], tuple[Channel, ...]], halo_px: int) -> Plane:
    """Run an RGGB `kernel` on a mosaic (y, x) of any pattern; RGB (3, y, x), less `halo_px` on each side."""
    flips = turned(place.calibration.pattern, place)
    quads = split(mosaic[flips])
    red, green, blue = kernel(quads)
    return join((red, green, blue), quads.columns, halo_px)[(slice(None), *flips)]
