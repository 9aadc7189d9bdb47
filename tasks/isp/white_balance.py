"""White balance: a factor a channel makes the illuminant neutral (thesis A, eq. 3.9)."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tasks.isp.operator import Operator, Place, Plane


def scale(image: Plane, factors: Sequence[float]) -> Plane:
    """RGB (3, y, x) with each channel times its factor."""
    return image * np.asarray(factors, np.float32)[:, None, None]


class WhiteBalance(Operator):
    """RGB (3, y, x) times the calibration's white balance."""

    name: ClassVar[str] = "white_balance"

    def apply(self, image: Plane, place: Place) -> Plane:
        return scale(image, place.calibration.white_balance)
