"""Tone curve: display values through a monotone curve given by points. Not part of the thesis's data models.

Between points a straight line, or the cubic of F. N. Fritsch, J. Butland, "A method for constructing local monotone
piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5 (1984) 300-304, which never overshoots (SciPy's PCHIP).
"""

import functools
import itertools
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from tasks.isp.arrays import Array, like, namespace
from tasks.isp.operator import Operator, Place, Plane

Unit = Annotated[float, Field(ge=0, le=1)]
Points = tuple[tuple[Unit, Unit], ...]
Kind = Literal["linear", "cubic"]


def _monotone(points: Points) -> Points:
    steps = list(itertools.pairwise(points))
    ends = len(points) >= 2 and points[0][0] == 0 and points[-1][0] == 1
    if not ends or any(b[0] - a[0] < 1e-3 or b[1] < a[1] for a, b in steps):
        raise ValueError("points (in, out) from in = 0 to in = 1, each 0.001 or more further right and none lower")
    return points


@functools.lru_cache(maxsize=32)
def segments(points: Points, kind: Kind) -> NDArray[np.float64]:
    """(5, segments): where each begins, and the factors of t^3, t^2, t and 1 for a value t beyond that."""
    x, y = np.array(points).T
    if kind == "linear":
        nothing = np.zeros(len(x) - 1)
        return np.stack([x[:-1], nothing, nothing, np.diff(y) / np.diff(x), y[:-1]])
    from scipy.interpolate import PchipInterpolator

    return np.vstack([x[:-1], PchipInterpolator(x, y).c])


def curve(image: Array, table: Array) -> Array:
    """`image` in [0, 1], any shape, through the `segments` in `table`; also in [0, 1]."""
    parts = like(table, image)
    # The beginnings in memory of their own: torch warns of strides.
    inner = like(table[0, 1:].copy(), image)
    begin, cube, square, slope, start = parts[:, namespace(image).searchsorted(inner, image, side="right")]
    t = image - begin
    return (((cube * t + square) * t + slope) * t + start).clip(0, 1)


class ToneCurve(Operator):
    """RGB (…, 3, y, x) in [0, 1], each value through the curve; must follow an operator whose values lie there."""

    name: ClassVar[str] = "tone_curve"
    needs_unit_range: ClassVar[bool] = True
    gives_unit_range: ClassVar[bool] = True
    points: Annotated[Points, AfterValidator(_monotone)]
    """(in, out), both in [0, 1]."""
    kind: Kind

    def apply(self, image: Array, place: Place) -> Array:
        return curve(image, segments(self.points, self.kind))

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import curve

        curve(image, segments(self.points, self.kind).astype(np.float32), out)
