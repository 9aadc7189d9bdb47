"""Black level: each site of the mosaic loses the camera's offset there (thesis A, eq. 3.6)."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import FULL_SCALE_DN
from tasks.isp.operator import Domain, Operator, Place, Plane, sites


def subtract(mosaic: Plane, level: NDArray[np.float32]) -> Plane:
    """`mosaic` (y, x) less `level` (2, 2), which repeats from the upper left corner; values may fall below 0."""
    result = np.empty_like(mosaic)
    for row in (0, 1):
        line = np.resize(level[row], mosaic.shape[1])
        np.subtract(mosaic[row::2], line, out=result[row::2])
    return result


class BlackLevel(Operator):
    """Mosaic (y, x), full scale 1, less the calibration's black level in DN / 65535."""

    name: ClassVar[str] = "black_level"
    domain: ClassVar[Domain] = "mosaic"

    def apply(self, image: Plane, place: Place) -> Plane:
        level = np.divide(place.calibration.black_level_dn, FULL_SCALE_DN)
        return subtract(image, sites(level, place))
