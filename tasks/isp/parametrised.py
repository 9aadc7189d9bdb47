"""The parametrised data model (thesis A, eq. 3.22-3.32): the static model bi,s,ga, differentiable in all of theta.

At `static` parameters it equals the static chain on every pixel, borders included (eq. 3.21). Eq. 3.26 prints the
kernels of green and of red and blue exchanged; appendix A.1 (K_G, K_RB) has them right, and so has this module.
K_BLUR of A.1 is a Gaussian of sigma 0.5 px printed to five digits; here it is exact.
"""

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.contracts import FULL_SCALE_DN, Calibration, Pattern
from tasks.isp.black_level import subtract
from tasks.isp.clip import clip
from tasks.isp.colour_matrix import mix
from tasks.isp.gamma import encode
from tasks.isp.luma import Channels, filtered
from tasks.isp.operator import repeated
from tasks.isp.separable import gaussian_weights
from tasks.isp.tensors import continued
from tasks.isp.white_balance import scale

GROUPS = ("black_level", "demosaic", "white_balance", "colour_matrix", "sharpening", "blur", "gamma")
"""theta_1 … theta_7 by name."""

K_G = ((0, 1 / 4, 0), (1 / 4, 1, 1 / 4), (0, 1 / 4, 0))
K_RB = ((1 / 4, 1 / 2, 1 / 4), (1 / 2, 1, 1 / 2), (1 / 4, 1 / 2, 1 / 4))
K_SHARP = ((0, -1, 0), (-1, 5, -1), (0, -1, 0))
SIGMA_PX, TRUNCATE, GAMMA = 0.5, 4.0, 2.2
HALO_PX = 4
"""Demosaicing 1, sharpening 1, blur 2."""


def _table(values: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _blur() -> Tensor:
    centre, *tail = gaussian_weights(SIGMA_PX, TRUNCATE)
    line = _table([[*reversed(tail), centre, *tail]])
    return line.T @ line


def correlate(planes: Tensor, kernel: Tensor) -> Tensor:
    """`planes` (…, y, x) under `kernel` (k, k), correlated, k odd; k // 2 less on each side.

    A sum of shifted planes: with one channel five times as fast as `conv2d` with its gradients, the same on each
    device to the order of the sum, and never in TF32.
    """
    height, width = (side - kernel.shape[0] + 1 for side in planes.shape[-2:])
    offsets = itertools.product(range(kernel.shape[0]), repeat=2)
    terms = (planes[..., y : y + height, x : x + width] * kernel[y, x] for y, x in offsets)
    return functools.reduce(torch.add, terms)


def colour_sites(pattern: Pattern) -> Tensor:
    """Three masks (3, 2, 2), 1 where a colour is sampled."""
    sites = [[float(letter == colour) for letter in pattern] for colour in "RGB"]
    return _table(sites).reshape(3, 2, 2)


class Parametrised(nn.Module):
    """Mosaics (…, y, x), normalised to full scale 1, to views (…, 3, y, x) in [0, 1].

    Parameters, all free at first: `black_level` (4: mosaic order (0,0) (0,1) (1,0) (1,1); share of full scale),
    `demosaic` (3, 3, 3), `white_balance` (3), `colour_matrix` (3, 3), `sharpening` (3, 3), `blur` (5, 5), `gamma` ().
    """

    black_level: nn.Parameter
    demosaic: nn.Parameter
    white_balance: nn.Parameter
    colour_matrix: nn.Parameter
    sharpening: nn.Parameter
    blur: nn.Parameter
    gamma: nn.Parameter
    colours: Tensor

    def __init__(self, pattern: Pattern, channels: Channels, dtype: torch.dtype = torch.float32) -> None:
        """At the published initial values (thesis A, A.1) of a camera that changes nothing."""
        super().__init__()
        self.channels = channels
        self.register_buffer("colours", colour_sites(pattern).to(dtype))
        initial = {
            "black_level": torch.zeros(4),
            "demosaic": _table([*K_RB, *K_G, *K_RB]).reshape(3, 3, 3),
            "white_balance": torch.ones(3),
            "colour_matrix": torch.eye(3),
            "sharpening": _table(K_SHARP),
            "blur": _blur(),
            "gamma": torch.tensor(GAMMA, dtype=torch.float64),
        }
        for name in GROUPS:
            self.register_parameter(name, nn.Parameter(initial[name].to(dtype)))

    def forward(self, mosaic: Tensor) -> Tensor:
        height, width = mosaic.shape[-2:]
        wide = continued(mosaic, (-HALO_PX, height + HALO_PX), (-HALO_PX, width + HALO_PX))
        linear = scale(self._demosaiced(subtract(wide, self.black_level.reshape(2, 2))), self.white_balance)
        image = mix(linear, self.colour_matrix)
        image = filtered(image, self.channels, lambda y: correlate(y, self.sharpening), 1)
        image = filtered(image, self.channels, lambda y: correlate(y, self.blur), 2)
        view: Tensor = encode(clip(image), self.gamma)
        return view

    def _demosaiced(self, mosaic: Tensor) -> Tensor:
        """Each colour's samples among zeros, under its own kernel (eq. 3.25)."""
        planes = (mosaic * repeated(colour, mosaic) for colour in self.colours)
        return torch.stack([correlate(p, kernel) for p, kernel in zip(planes, self.demosaic, strict=True)], -3)


def static(calibration: Calibration, channels: Channels, dtype: torch.dtype = torch.float32) -> Parametrised:
    """The model at theta-stat of a camera: equal to the chain bi,s,ga (eq. 3.21)."""
    model = Parametrised(calibration.pattern, channels, dtype)
    camera = {
        "black_level": _table([calibration.black_level_dn])[0] / FULL_SCALE_DN,
        "white_balance": _table([calibration.white_balance])[0],
        "colour_matrix": _table(calibration.colour_matrix),
    }
    with torch.no_grad():
        for name, values in camera.items():
            model.get_parameter(name).copy_(values)
    return model


def free_only(model: Parametrised, groups: Sequence[str]) -> list[nn.Parameter]:
    """Free the named groups of theta and freeze all others; returns the free ones. Raises KeyError for others."""
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise KeyError(f"no group {', '.join(sorted(unknown))} of theta; expected some of {', '.join(GROUPS)}")
    for name in GROUPS:
        model.get_parameter(name).requires_grad_(name in groups)
    return [model.get_parameter(name) for name in GROUPS if name in groups]
