"""Colour matrix: camera RGB to linear sRGB, pixel by pixel (thesis A, eq. 3.11)."""

from typing import Any, ClassVar

import numpy as np

from tasks.isp.operator import Operator, Place, Plane


def mix(image: Plane, matrix: Any) -> Plane:
    """`matrix` (3, 3) times each pixel of `image` (3, y, x).

    Sums run in a fixed order and not through BLAS, whose last bit depends on sizes and processors.
    """
    rows = np.asarray(matrix, np.float32)
    result = np.empty_like(image)
    term = np.empty_like(image[0])
    for target, row in zip(result, rows, strict=True):
        np.multiply(image[0], row[0], out=target)
        for plane, weight in zip(image[1:], row[1:], strict=True):
            np.multiply(plane, weight, out=term)
            target += term
    return result


class ColourMatrix(Operator):
    """RGB (3, y, x) through the calibration's 3x3 matrix."""

    name: ClassVar[str] = "colour_matrix"

    def apply(self, image: Plane, place: Place) -> Plane:
        return mix(image, place.calibration.colour_matrix)
