"""Gamma correction: linear light to display values, v^(1/gamma) (thesis A, eq. 3.20: 2.2)."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tasks.isp.operator import Operator, Place, Plane


def encode(image: Plane, gamma: float) -> Plane:
    """`image` in [0, 1], any shape, to the power 1/`gamma`; also in [0, 1]."""
    return np.power(image, np.float32(1 / gamma))


class Gamma(Operator):
    """RGB (3, y, x) in [0, 1], encoded; must follow an operator whose values lie there."""

    name: ClassVar[str] = "gamma"
    needs_unit_range: ClassVar[bool] = True
    gives_unit_range: ClassVar[bool] = True
    gamma: Annotated[float, Field(gt=0)]

    def apply(self, image: Plane, place: Place) -> Plane:
        return encode(image, self.gamma)
