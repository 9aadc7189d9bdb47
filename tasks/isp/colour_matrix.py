"""Colour matrix: camera RGB to linear sRGB, pixel by pixel (thesis A, eq. 3.11)."""

from typing import Any, ClassVar

import numpy as np

from tasks.isp.arrays import Array, like, namespace
from tasks.isp.operator import Operator, Place, Plane


def mix(image: Array, matrix: Any) -> Array:
    """`matrix` (3, 3) times each pixel of `image` (…, 3, y, x).

    Sums run in a fixed order and not through BLAS, whose last bit depends on sizes and processors.
    """
    red, green, blue = (image[..., channel, :, :] for channel in range(3))
    return namespace(image).stack([red * a + green * b + blue * c for a, b, c in like(matrix, image)], -3)


class ColourMatrix(Operator):
    """RGB (…, 3, y, x) through the calibration's 3x3 matrix."""

    name: ClassVar[str] = "colour_matrix"

    def apply(self, image: Array, place: Place) -> Array:
        return mix(image, place.calibration.colour_matrix)

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import mix

        mix(image, np.asarray(place.calibration.colour_matrix, np.float32), out)
