"""Unsharp mask: the plane plus what a Gaussian takes from it (thesis A, eq. 3.16; scikit-image `unsharp_mask`).

scikit-image clips the result to [0, 1], or to [-1, 1] when any pixel of the whole image is negative, unless
`preserve_range` is set. That rule would make a pixel depend on one far away; here clipping is an operator.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tasks.isp.luma import ChannelFilter, crop, filtered
from tasks.isp.operator import Place, Plane
from tasks.isp.separable import correlate, gaussian_radius_px, gaussian_weights


def unsharp(plane: Plane, sigma_px: float, amount: float, truncate: float) -> Plane:
    """`plane` + `amount` (`plane` - Gaussian of it), for (y, x); the Gaussian's radius less on each side."""
    weights = gaussian_weights(sigma_px, truncate)
    inner = crop(plane, len(weights) - 1)
    detail = inner - correlate(plane, weights)
    detail *= np.float32(amount)
    detail += inner
    return detail


class UnsharpMask(ChannelFilter):
    """RGB (3, y, x), sharpened on its `channels`; `radius_px` is the Gaussian's standard deviation."""

    name: ClassVar[str] = "unsharp_mask"
    radius_px: Annotated[float, Field(gt=0, le=32)]
    amount: float
    truncate: Annotated[float, Field(gt=0, le=8)]

    @property
    def halo_px(self) -> int:
        return gaussian_radius_px(self.radius_px, self.truncate)

    def apply(self, image: Plane, place: Place) -> Plane:
        def function(plane: Plane) -> Plane:
            return unsharp(plane, self.radius_px, self.amount, self.truncate)

        return filtered(image, self.channels, function, self.halo_px)
