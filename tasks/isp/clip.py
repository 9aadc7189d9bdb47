"""Clip to [0, 1] (thesis A, eq. 3.19)."""

from typing import ClassVar

import numpy as np

from tasks.isp.operator import Operator, Place, Plane


def clip(image: Plane) -> Plane:
    """`image`, any shape, with values below 0 set to 0 and above 1 to 1."""
    return np.minimum(np.maximum(image, np.float32(0)), np.float32(1))


class Clip(Operator):
    """RGB (3, y, x) in [0, 1]."""

    name: ClassVar[str] = "clip"
    gives_unit_range: ClassVar[bool] = True

    def apply(self, image: Plane, place: Place) -> Plane:
        return clip(image)
