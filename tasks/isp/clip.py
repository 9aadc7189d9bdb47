"""Clip to [0, 1] (thesis A, eq. 3.19)."""

from typing import ClassVar

from tasks.isp.arrays import Array
from tasks.isp.operator import Operator, Place, Plane


def clip(image: Array) -> Array:
    """`image`, any shape, with values below 0 set to 0 and above 1 to 1. Its slope is 0 outside."""
    return image.clip(0, 1)


class Clip(Operator):
    """RGB (…, 3, y, x) in [0, 1]."""

    name: ClassVar[str] = "clip"
    gives_unit_range: ClassVar[bool] = True

    def apply(self, image: Array, place: Place) -> Array:
        return clip(image)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import clip

        clip(image, out)
