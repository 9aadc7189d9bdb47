"""Gaussian denoising (thesis A, eq. 3.17: sigma 0.5 px; cut at 4 sigma it spans 5x5, appendix A.1's K_BLUR)."""

from typing import Annotated, ClassVar

from pydantic import Field

from tasks.isp.luma import ChannelFilter, filtered
from tasks.isp.operator import Place, Plane
from tasks.isp.separable import correlate, gaussian_radius_px, gaussian_weights


def blur(plane: Plane, sigma_px: float, truncate: float) -> Plane:
    """`plane` (y, x) under a Gaussian of sum 1 cut at `truncate` sigma; its radius less on each side."""
    return correlate(plane, gaussian_weights(sigma_px, truncate))


class Gaussian(ChannelFilter):
    """RGB (3, y, x), blurred on its `channels`."""

    name: ClassVar[str] = "gaussian"
    sigma_px: Annotated[float, Field(gt=0, le=32)]
    truncate: Annotated[float, Field(gt=0, le=8)]

    @property
    def halo_px(self) -> int:
        return gaussian_radius_px(self.sigma_px, self.truncate)

    def apply(self, image: Plane, place: Place) -> Plane:
        def function(plane: Plane) -> Plane:
            return blur(plane, self.sigma_px, self.truncate)

        return filtered(image, self.channels, function, self.halo_px)
