"""White balance: a factor a channel makes the illuminant neutral (thesis A, eq. 3.9)."""

from typing import Any, ClassVar

import numpy as np

from tasks.isp.arrays import Array, like
from tasks.isp.operator import Operator, Place, Plane


def scale(image: Array, factors: Any) -> Array:
    """RGB (…, 3, y, x) with each channel times its factor."""
    return image * like(factors, image)[:, None, None]


class WhiteBalance(Operator):
    """RGB (…, 3, y, x) times the calibration's white balance."""

    name: ClassVar[str] = "white_balance"

    def apply(self, image: Array, place: Place) -> Array:
        return scale(image, place.calibration.white_balance)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import scale

        scale(image, np.asarray(place.calibration.white_balance, np.float32), out)
