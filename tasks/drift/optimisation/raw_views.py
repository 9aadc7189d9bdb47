"""Raw values as three channels, without any processing (thesis A, 3.3.3 "Raw and data models")."""

import numpy as np
import torch
from torch import Tensor

from tasks.contracts import Pattern
from tasks.drift.mosaics import Mosaics
from tasks.isp.parametrised import HALO_PX
from tasks.learn.data import Examples, Picked, area_mean


def half_size(mosaics: Tensor, pattern: Pattern) -> Tensor:
    """Mosaics (n, y, x), sides even, to (n, 3, y/2, x/2): of each quad its red, the mean of its two greens, its blue.

    No black level, white balance, colour matrix or gamma; values keep their scale.
    """
    sites = [mosaics[:, i // 2 :: 2, i % 2 :: 2] for i in range(4)]
    planes = [[site for site, letter in zip(sites, pattern, strict=True) if letter == colour] for colour in "RGB"]
    return torch.stack([torch.stack(plane).mean(0) for plane in planes], 1)


def examples(mosaics: Mosaics, input_px: int) -> Examples:
    """All `mosaics` as raw channels of `input_px`, by area where that is not half their side."""
    inner = mosaics.pixels[:, HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
    views = half_size(torch.from_numpy(inner), mosaics.calibration.pattern)
    sized = area_mean(views, input_px)
    return Examples(mosaics.ids, Picked(sized.numpy(), np.arange(len(mosaics.ids))), mosaics.truth, mosaics.whole)
