"""Noise schedules and the deterministic sampler step of denoising diffusion.

Forward process (thesis A, algorithm 1): z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) eps, with a_t the product of
(1 - beta) up to step t = 0 … T-1. Sampling: DDIM with eta = 0 (Song et al., "Denoising diffusion implicit
models", ICLR 2021, eq. 12); the last step goes to a = 1, that is, to the estimate of z_0 itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Epsilon = Callable[[Tensor, Tensor, int], Tensor]
"""(z (n, c, h, w), condition (n, k, h, w), t) -> predicted noise like z."""


def retained(schedule: str, timesteps: int) -> NDArray[np.float64]:
    """a_t for t = 0 … timesteps-1, float64, strictly decreasing within (0, 1).

    `linear`: beta from 1e-4 to 0.02 (Ho et al. 2020); `scaled_linear`: sqrt(beta) linear from sqrt(8.5e-4) to
    sqrt(0.012) (Rombach et al. 2022); both stretched by 1000 / timesteps so that the end does not depend on
    their number. `cosine`: Nichol and Dhariwal 2021, eq. 17, beta at most 0.999.
    """
    kept = np.cumprod(1 - betas(schedule, timesteps))
    return np.asarray(kept, np.float64)


def betas(schedule: str, timesteps: int) -> NDArray[np.float64]:
    """The variances added at each step, float64 (timesteps,). Raises ValueError for an unknown schedule."""
    stretch = 1000 / timesteps
    if schedule == "linear":
        found = stretch * np.linspace(1e-4, 0.02, timesteps)
    elif schedule == "scaled_linear":
        found = stretch * np.linspace(math.sqrt(8.5e-4), math.sqrt(0.012), timesteps) ** 2
    elif schedule == "cosine":
        curve = np.cos((np.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * np.pi / 2) ** 2
        found = 1 - curve[1:] / curve[:-1]
    else:
        raise ValueError(f"unknown schedule {schedule!r}")
    return np.asarray(np.minimum(found, 0.999), np.float64)


@dataclass(frozen=True)
class Step:
    """One sampling step: the network is asked at timestep `t`; `a` and `a_next` are retained signal powers."""

    t: int
    a: float
    a_next: float


def ddim_steps(a: NDArray[np.float64], steps: int) -> list[Step]:
    """`steps` evenly spaced steps from t = T-1 down; the last ends at a_next = 1, so that none is left out.

    Raises ValueError where `steps` exceeds the number of training timesteps.
    """
    if not 1 <= steps <= len(a):
        raise ValueError(f"{steps} sampling steps, expected 1 to {len(a)}")
    ts = [int(t) for t in np.rint(np.linspace(len(a) - 1, 0, steps + 1)[:-1])]
    powers = [float(a[t]) for t in ts] + [1.0]
    return [Step(t, powers[k], powers[k + 1]) for k, t in enumerate(ts)]


def add_noise(z0: Tensor, noise: Tensor, a: Tensor) -> Tensor:
    """z_t from latents (n, c, h, w), standard normal noise of that shape and a (n,)."""
    a = a.view(-1, 1, 1, 1)
    return a.sqrt() * z0 + (1 - a).sqrt() * noise


def ddim(z: Tensor, epsilon: Tensor, step: Step) -> Tensor:
    """z at the next noise level from z and the predicted noise; any shape, element by element."""
    z0 = (z - math.sqrt(1 - step.a) * epsilon) / math.sqrt(step.a)
    return math.sqrt(step.a_next) * z0 + math.sqrt(1 - step.a_next) * epsilon


def epsilon_of(output: Tensor, z: Tensor, a: Tensor, prediction: str) -> Tensor:
    """The predicted noise from a network's last layer.

    `epsilon`: the layer itself. `velocity` (Salimans and Ho 2022): the layer is v = sqrt(a) eps - sqrt(1-a) z_0,
    so that eps = sqrt(1-a) z + sqrt(a) v. `a` is (n,).
    """
    if prediction == "epsilon":
        return output
    a = a.view(-1, 1, 1, 1)
    return (1 - a).sqrt() * z + a.sqrt() * output


def at(a: NDArray[np.float64], t: NDArray[np.int64]) -> Tensor:
    """a_t as float32 (n,) for integer timesteps (n,)."""
    return torch.from_numpy(a[t].astype(np.float32))
