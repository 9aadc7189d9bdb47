"""The constants of the common corruptions, severities 1 to 5 in order.

Source: D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019, as in the authors' code, hendrycks/robustness,
ImageNet-C/imagenet_c/imagenet_c/corruptions.py. All are for display values in [0, 1].

Not every row grows with the severity, and that is how it was published: saturate drains the colour at 1 and 2 and
floods it from 3 on; elastic shears at 1 and 2 and wrinkles from 3 on.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEVERITIES = (1, 2, 3, 4, 5)

GAUSSIAN_NOISE_SIGMA = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviation of the added noise, display values."""

SHOT_NOISE_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
"""Photons that white stands for."""

IMPULSE_NOISE_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Share of the values that become black or white."""

SPECKLE_NOISE_SIGMA = (0.15, 0.2, 0.35, 0.45, 0.6)
"""Standard deviation of the noise, as a share of the value."""

GAUSSIAN_BLUR_SIGMA_PX = (1.0, 2.0, 3.0, 4.0, 6.0)

CONTRAST_FACTOR = (0.4, 0.3, 0.2, 0.1, 0.05)
"""What is left of the distance from the channel's mean."""

BRIGHTNESS_ADDED = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Added to the V of HSV."""

SATURATE_FACTOR_AND_ADDED = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
"""The S of HSV is multiplied by the first and increased by the second."""

_ZOOM_END_AND_STEP = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))


class Elastic(NamedTuple):
    """Shares of the picture's shorter side.

    The published numbers are 244 times these, 244 standing for the side of 224 px (the authors' own remark in the
    code). Here they are shares of the side at hand; the authors' CIFAR-10-C has the same rule with other shares.
    """

    alpha: float
    sigma: float
    affine: float


ELASTIC = (
    Elastic(2.0, 0.7, 0.1),
    Elastic(2.0, 0.08, 0.2),
    Elastic(0.05, 0.01, 0.02),
    Elastic(0.07, 0.01, 0.02),
    Elastic(0.12, 0.01, 0.02),
)


def zooms(severity: int) -> NDArray[np.float64]:
    """The zoom factors averaged by zoom blur: 12, 16, 11, 13 and 11 of them, from 1.

    Made by the published call of `arange`, whose end is left out except where rounding lets it in (1.11 at severity 1).
    """
    end, step = _ZOOM_END_AND_STEP[severity - 1]
    return np.arange(1, end, step)
