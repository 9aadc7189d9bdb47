"""Black level: each site of the mosaic loses the camera's offset there (thesis A, eq. 3.6)."""

from typing import ClassVar

import numpy as np

from tasks.contracts import FULL_SCALE_DN
from tasks.isp.arrays import Array
from tasks.isp.operator import Domain, Operator, Place, Plane, lines, repeated, sites


def subtract(mosaic: Array, level: Array) -> Array:
    """`mosaic` (…, y, x) less `level` (2, 2), which repeats from the upper left corner; values may fall below 0."""
    return mosaic - repeated(level, mosaic)


class BlackLevel(Operator):
    """Mosaic (…, y, x), full scale 1, less the calibration's black level in DN / 65535."""

    name: ClassVar[str] = "black_level"
    domain: ClassVar[Domain] = "mosaic"

    def apply(self, image: Array, place: Place) -> Array:
        level = np.divide(place.calibration.black_level_dn, FULL_SCALE_DN)
        return subtract(image, sites(level, place))

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import subtract

        level = np.divide(place.calibration.black_level_dn, FULL_SCALE_DN)
        subtract(image, lines(sites(level, place), image), out)
