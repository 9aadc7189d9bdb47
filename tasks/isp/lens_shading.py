"""Lens shading: a gain that grows with the distance from the frame's centre makes up for the light lost there.

The polynomial of the opcode FixVignetteRadial in Adobe's Digital Negative (DNG) specification:
g = 1 + k0 r^2 + k1 r^4 + k2 r^6 + k3 r^8 + k4 r^10, with r = 1 at the corner of the frame. Not part of the thesis's
data models.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Finite
from tasks.isp.arrays import Array, like
from tasks.isp.border import mirror_indices
from tasks.isp.operator import Domain, Operator, Place, Plane, margin_px

Line = NDArray[np.float64]


def squares(shape: tuple[int, ...], place: Place) -> tuple[Line, Line]:
    """For an array (y, x) at `place`: parts (y) and (x) of r^2, the squared distance from the frame's centre.

    r^2 is 1 at the outermost samples of the corners. Beyond its border the frame, and so its gain, goes on as its
    mirror image. Raises ValueError where `place` does not know the frame.
    """
    if place.frame_px is None:
        raise ValueError("lens_shading needs to know the size of the frame; expected a place with `frame_px`")
    corner = sum((side - 1) ** 2 for side in place.frame_px) / 4
    height, width = place.frame_px
    return _line(place.y_px, shape[0], height) / corner, _line(place.x_px, shape[1], width) / corner


def _line(start: int, count: int, side: int) -> Line:
    """Squared distances (px) from the centre of an axis of `side` samples."""
    distance = mirror_indices(start, start + count, side) - (side - 1) / 2
    squared: Line = np.square(distance, dtype=np.float64)
    return squared


def gains(down: Line, across: Line, k: tuple[float, ...]) -> NDArray[np.float64]:
    """The gain (y, x) from the parts `down` (y) and `across` (x) of r^2, in float64 by Horner's rule."""
    r2 = down[:, None] + across
    gain = np.zeros_like(r2)
    for factor in reversed(k):
        gain = (gain + factor) * r2
    return gain + 1


class LensShading(Operator):
    """Mosaic (…, y, x) without black level, times the gain of each sample. In a store of crops each is a frame."""

    name: ClassVar[str] = "lens_shading"
    domain: ClassVar[Domain] = "mosaic"
    k: tuple[Finite, Finite, Finite, Finite, Finite]

    def apply(self, image: Array, place: Place) -> Array:
        return image * like(gains(*squares(tuple(image.shape[-2:]), place), self.k), image)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import shade

        lines = squares(out.shape, place.inside(margin_px(image, out)))
        shade(image, *lines, np.array(self.k), out)
