"""White level: saturation becomes 1. Not part of the thesis's data models, which end at eq. 3.6; after black level."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import FULL_SCALE_DN
from tasks.isp.operator import Domain, Operator, Place, Plane, sites


def divide(mosaic: Plane, span: NDArray[np.float32]) -> Plane:
    """`mosaic` (y, x) over `span` (2, 2), which repeats from the upper left corner."""
    result = np.empty_like(mosaic)
    for row in (0, 1):
        line = np.resize(span[row], mosaic.shape[1])
        np.divide(mosaic[row::2], line, out=result[row::2])
    return result


class WhiteLevel(Operator):
    """Mosaic (y, x) without black level, over (white level - black level) in DN / 65535: linear, white = 1."""

    name: ClassVar[str] = "white_level"
    domain: ClassVar[Domain] = "mosaic"

    def apply(self, image: Plane, place: Place) -> Plane:
        camera = place.calibration
        span = np.subtract(camera.white_level_dn, camera.black_level_dn) / FULL_SCALE_DN
        return divide(image, sites(span, place))
