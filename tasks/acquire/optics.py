"""The point-spread function of a lens, as a Gaussian that fits the core of an Airy disc."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

AIRY_SIGMA_OVER_DIAMETER = 0.42 / 2.44
"""Gaussian sigma over first-zero diameter of an Airy disc: sigma = 0.42 lambda N (Zhang et al., "Gaussian
approximations of fluorescence microscope point-spread function models", Applied Optics 46, 2007, for the
2-D paraxial widefield PSF: 0.21 lambda / NA), diameter = 2.44 lambda N."""

FWHM_OVER_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
REACH = 4.0
"""The kernel ends after so many sigmas; what lies beyond (6e-5) is given back by the normalisation."""


def sigma_from_diameter(diameter_um: float, pixel_um: float) -> float:
    """Sigma in pixels of an Airy disc whose first zero has the given diameter."""
    return AIRY_SIGMA_OVER_DIAMETER * diameter_um / pixel_um


def sigma_from_fwhm(fwhm_um: float, pixel_um: float) -> float:
    """Sigma in pixels of a PSF of the given full width at half maximum, both measured in object space."""
    return fwhm_um / FWHM_OVER_SIGMA / pixel_um


def kernel(sigma_px: float) -> NDArray[np.float64]:
    """The 1-D factor of the PSF, float64, odd length, sum exactly 1 up to rounding; [1] for sigma 0."""
    radius = int(np.ceil(REACH * sigma_px))
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (x / max(sigma_px, 1e-12)) ** 2)
    return np.asarray(weights / weights.sum())


def blur(scene: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """`scene` (..., y, x) convolved with the PSF; the border mirrors, so that a flat scene stays flat."""
    weights = kernel(sigma_px)
    rows = correlate1d(scene, weights, axis=-2, mode="mirror")
    return np.asarray(correlate1d(rows, weights, axis=-1, mode="mirror"), dtype=np.float32)
