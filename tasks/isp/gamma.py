"""Gamma correction: linear light to display values, v^(1/gamma) (thesis A, eq. 3.20: 2.2)."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from tasks.isp.arrays import Array, namespace
from tasks.isp.operator import Operator, Place, Plane


def encode(image: Array, gamma: Any) -> Array:
    """`image` in [0, 1], any shape, to the power 1/`gamma`; also in [0, 1].

    The slope at 0 has no bound; gradients take 0 there, so that a clipped pixel does not make them NaN.
    """
    where = namespace(image).where
    light = image > 0
    return where(light, where(light, image, 1.0) ** (1 / gamma), 0.0)


class Gamma(Operator):
    """RGB (…, 3, y, x) in [0, 1], encoded; must follow an operator whose values lie there."""

    name: ClassVar[str] = "gamma"
    needs_unit_range: ClassVar[bool] = True
    gives_unit_range: ClassVar[bool] = True
    gamma: Annotated[float, Field(gt=0)]

    def apply(self, image: Array, place: Place) -> Array:
        return encode(image, self.gamma)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.power import power

        power(image, 1 / self.gamma, out)
