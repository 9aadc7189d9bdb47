"""White level: saturation becomes 1. Not part of the thesis's data models, which end at eq. 3.6; after black level."""

from typing import ClassVar

import numpy as np

from tasks.contracts import FULL_SCALE_DN, Calibration
from tasks.isp.arrays import Array
from tasks.isp.operator import Domain, Operator, Place, Plane, lines, repeated, sites


def divide(mosaic: Array, span: Array) -> Array:
    """`mosaic` (…, y, x) over `span` (2, 2), which repeats from the upper left corner."""
    return mosaic / repeated(span, mosaic)


def span_of(camera: Calibration) -> Array:
    """White level less black level, as a share of full scale: one value a site, in mosaic order."""
    return np.subtract(camera.white_level_dn, camera.black_level_dn) / FULL_SCALE_DN


class WhiteLevel(Operator):
    """Mosaic (…, y, x) without black level, over (white level - black level) in DN / 65535: linear, white = 1."""

    name: ClassVar[str] = "white_level"
    domain: ClassVar[Domain] = "mosaic"

    def apply(self, image: Array, place: Place) -> Array:
        return divide(image, sites(span_of(place.calibration), place))

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import divide

        divide(image, lines(sites(span_of(place.calibration), place), image), out)
