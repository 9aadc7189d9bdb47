"""Theta~ in units of what is plausible: theta~ = theta_stat + scale * u, with each u in [-1, 1].

The set Theta of thesis A, eq. 3.33, is that box. One unit is the largest change that still is a camera of this kind,
so that one step of the optimiser, and one radius of a range, means alike in every group:

| group         | unit                    | why so much and no more                                           |
|---------------|-------------------------|-------------------------------------------------------------------|
| black_level   | 1/16 of full scale      | pedestals of sensors lie between 0 and 1/16 (12 bits: 256 of 4095)  |
| demosaic      | a weight of 1/4         | the smallest weight of the bilinear kernels: a neighbour left out   |
| white_balance | the gain itself         | from none to double; daylight to tungsten is about a factor of 2    |
| colour_matrix | its row's largest entry | an entry near 0 has no scale of its own; its row has                |
| sharpening    | a weight of 1           | the kernel's own neighbour weight: from none to double              |
| blur          | a weight of 1/4         | as the weights beside the centre of Gaussians wider than 0.5 px     |
| gamma         | 1.2                     | from 2.2 down to linear light, and as far up                        |

Nothing breaks inside: gamma stays at 1 or above, gains at 0 or above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.isp.parametrised import GROUPS, Parametrised

UNITS = {
    "black_level": "share of full scale",
    "demosaic": "weight",
    "white_balance": "gain",
    "colour_matrix": "entry",
    "sharpening": "weight",
    "blur": "weight",
    "gamma": "exponent's inverse",
}
FIXED = {"black_level": 1 / 16, "demosaic": 0.25, "sharpening": 1.0, "blur": 0.25, "gamma": 1.2}
SMALL = 9
"""Groups of at most so many parameters have a range for each of them as well."""
POSITIONS = ("top left", "top right", "bottom left", "bottom right")


@dataclass(frozen=True)
class Space:
    """The box of `groups` around theta-stat, flat: `initial` and `scale` (p,) float32, in the order of `groups`, on the
    model's device."""

    groups: tuple[str, ...]
    initial: Tensor
    scale: Tensor
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.initial.numel()

    def offset(self, group: str) -> int:
        """Where the parameters of `group` begin."""
        return sum(self.sizes[: self.groups.index(group)])

    def theta(self, u: Tensor) -> Tensor:
        """The parameters (p,) at `u`; at 0 they are theta-stat to the bit."""
        return self.initial + self.scale * u.to(self.initial.device)

    def place(self, model: Parametrised, u: Tensor) -> None:
        """Set the groups of `model` to theta~ at `u` (p,)."""
        self.place_theta(model, self.theta(u))

    def place_theta(self, model: Parametrised, theta: Tensor) -> None:
        """Set the groups of `model` to the parameters `theta` (p,)."""
        values = torch.split(theta, list(self.sizes))
        with torch.no_grad():
            for name, part in zip(self.groups, values, strict=True):
                parameter = model.get_parameter(name)
                parameter.copy_(part.view_as(parameter))

    def slope(self, model: Parametrised) -> Tensor:
        """The gradients that stand in `model`, (p,), with respect to u."""
        found = []
        for name in self.groups:
            parameter = model.get_parameter(name)
            gradient = parameter.grad
            found.append((torch.zeros_like(parameter) if gradient is None else gradient).reshape(-1))
        return torch.cat(found) * self.scale


def space(model: Parametrised, groups: Sequence[str]) -> Space:
    """The box of `groups` around the present parameters of `model`, which are theta-stat. KeyError for no group."""
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise KeyError(f"no group {unknown[0]} of theta; expected some of {', '.join(GROUPS)}")
    present = [model.get_parameter(name).detach().clone() for name in groups]
    scales = [_scale(name, values).reshape(-1) for name, values in zip(groups, present, strict=True)]
    initial = torch.cat([values.reshape(-1) for values in present])
    return Space(tuple(groups), initial, torch.cat(scales), tuple(values.numel() for values in present))


def _scale(name: str, values: Tensor) -> Tensor:
    if name == "white_balance":
        return values.abs()
    if name == "colour_matrix":
        return values.abs().amax(dim=1, keepdim=True).expand_as(values)
    return torch.full_like(values, FIXED[name])


def names(group: str, pattern: str) -> tuple[str, ...]:
    """What the parameters of a small group are called; none of others. `pattern` is the mosaic's, such as RGGB."""
    if group == "black_level":
        return tuple(f"{where} ({colour})" for where, colour in zip(POSITIONS, pattern, strict=True))
    if group == "white_balance":
        return ("red", "green", "blue")
    if group == "colour_matrix":
        return tuple(f"{out} from {into}" for out in ("red", "green", "blue") for into in ("red", "green", "blue"))
    return ("gamma",) if group == "gamma" else ()
