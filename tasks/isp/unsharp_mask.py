"""Unsharp mask: the plane plus what a Gaussian takes from it (thesis A, eq. 3.16; scikit-image `unsharp_mask`).

scikit-image clips the result to [0, 1], or to [-1, 1] when any pixel of the whole image is negative, unless
`preserve_range` is set. That rule would make a pixel depend on one far away; here clipping is an operator.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tasks.isp.arrays import Array
from tasks.isp.luma import ChannelFilter
from tasks.isp.operator import Plane, crop
from tasks.isp.separable import correlate, gaussian_radius_px, gaussian_weights


def unsharp(plane: Array, sigma_px: float, amount: float, truncate: float) -> Array:
    """`plane` + `amount` (`plane` - Gaussian of it), for (…, y, x); the Gaussian's radius less on each side."""
    weights = gaussian_weights(sigma_px, truncate)
    inner = crop(plane, len(weights) - 1)
    return (inner - correlate(plane, weights)) * amount + inner


class UnsharpMask(ChannelFilter):
    """RGB (…, 3, y, x), sharpened on its `channels`; `radius_px` is the Gaussian's standard deviation."""

    name: ClassVar[str] = "unsharp_mask"
    radius_px: Annotated[float, Field(gt=0, le=32)]
    amount: float
    truncate: Annotated[float, Field(gt=0, le=8)]

    @property
    def halo_px(self) -> int:
        return gaussian_radius_px(self.radius_px, self.truncate)

    def plane(self, plane: Array) -> Array:
        return unsharp(plane, self.radius_px, self.amount, self.truncate)

    def plane_into(self, plane: Plane, out: Plane) -> None:
        from tasks.isp.compiled.planes import gaussian

        weights = np.asarray(gaussian_weights(self.radius_px, self.truncate), np.float32)
        gaussian(plane, weights, True, self.amount, out)
