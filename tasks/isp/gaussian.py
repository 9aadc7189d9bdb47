"""Gaussian denoising (thesis A, eq. 3.17: sigma 0.5 px; cut at 4 sigma it spans 5x5, appendix A.1's K_BLUR)."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tasks.isp.arrays import Array
from tasks.isp.luma import ChannelFilter
from tasks.isp.operator import Plane
from tasks.isp.separable import correlate, gaussian_radius_px, gaussian_weights


def blur(plane: Array, sigma_px: float, truncate: float) -> Array:
    """`plane` (…, y, x) under a Gaussian of sum 1 cut at `truncate` sigma; its radius less on each side."""
    return correlate(plane, gaussian_weights(sigma_px, truncate))


class Gaussian(ChannelFilter):
    """RGB (…, 3, y, x), blurred on its `channels`."""

    name: ClassVar[str] = "gaussian"
    sigma_px: Annotated[float, Field(gt=0, le=32)]
    truncate: Annotated[float, Field(gt=0, le=8)]

    @property
    def halo_px(self) -> int:
        return gaussian_radius_px(self.sigma_px, self.truncate)

    def plane(self, plane: Array) -> Array:
        return blur(plane, self.sigma_px, self.truncate)

    def plane_into(self, plane: Plane, out: Plane) -> None:
        from tasks.isp.compiled.planes import gaussian

        weights = np.asarray(gaussian_weights(self.sigma_px, self.truncate), np.float32)
        gaussian(plane, weights, False, 0.0, out)
