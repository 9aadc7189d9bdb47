"""Forward processes of denoising diffusion, what a network's last layer stands for, and the steps of a sampler.

Forward process: z_t = alpha_t z_0 + sigma_t eps, t = 0 ... T-1. Variance-preserving schedules have alpha^2 + sigma^2
= 1 (thesis A, algorithm 1); `flow` has alpha + sigma = 1 (rectified flow: Liu et al., ICLR 2023).

Every sampler here takes one linear step on the whole canvas, from z and the predicted z_0:

    z' = keep z + clean (z_0 + extrapolate (z_0 - z_0 of the step before)) + fresh n,    n ~ N(0, 1)

DDIM (Song et al., "Denoising diffusion implicit models", ICLR 2021, eq. 12), eta its share of fresh noise;
DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), which extrapolates in lambda = log(alpha / sigma); and, for a flow, DDIM
with eta = 0 is Euler's step. The last step goes to sigma = 0, so that none is left out.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.errors import ParamsError, fault
from tasks.synthesis.params import DiffusionParams

Denoise = Callable[[Tensor, Tensor, int], Tensor]
"""(z (n, c, h, w), condition (n, k, h, w), t) -> the predicted z_0, like z."""
A = TypeVar("A", Tensor, NDArray[np.float32])


@dataclass(frozen=True)
class Process:
    """A forward process: `signal` alpha_t and `noise` sigma_t, float64 (T,), and what the last layer predicts."""

    signal: NDArray[np.float64]
    noise: NDArray[np.float64]
    prediction: str

    def at(self, t: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """alpha and sigma as float32 (n, 1, 1, 1) for timesteps (n,)."""
        alpha, sigma = (torch.from_numpy(v[t].astype(np.float32)).view(-1, 1, 1, 1) for v in (self.signal, self.noise))
        return alpha, sigma


def forward_process(params: DiffusionParams) -> Process:
    """The forward process that `params` describe."""
    if params.schedule == "flow":
        noise = np.arange(1, params.timesteps + 1) / params.timesteps
        return Process(1 - noise, noise, params.prediction)
    kept = retained(params.schedule, params.timesteps)
    return Process(np.sqrt(kept), np.sqrt(1 - kept), params.prediction)


def retained(schedule: str, timesteps: int) -> NDArray[np.float64]:
    """alpha_t^2 for t = 0 ... timesteps-1, float64, strictly decreasing within (0, 1).

    `linear`: beta from 1e-4 to 0.02 (Ho et al. 2020); `scaled_linear`: sqrt(beta) linear from sqrt(8.5e-4) to
    sqrt(0.012) (Rombach et al. 2022); both stretched by 1000 / timesteps so that the end does not depend on
    their number. `cosine`: Nichol and Dhariwal 2021, eq. 17, beta at most 0.999.
    """
    return np.asarray(np.cumprod(1 - betas(schedule, timesteps)), np.float64)


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


def add_noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """z_t from latents and standard normal noise (n, c, h, w), alpha and sigma of `Process.at`."""
    return alpha * z0 + sigma * noise


def clean_of(output: Tensor, z: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    """The predicted z_0 from a network's last layer.

    `epsilon`: the layer is eps. `velocity` (Salimans and Ho 2022): alpha eps - sigma z_0. `flow`: eps - z_0.
    """
    if prediction == "epsilon":
        return (z - sigma * output) / alpha
    return (alpha * z if prediction == "velocity" else z) - sigma * output


def noise_of(output: Tensor, z: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    """The predicted eps from a network's last layer; see `clean_of`."""
    if prediction == "epsilon":
        return output
    return (sigma * z if prediction == "velocity" else z) + alpha * output


@dataclass(frozen=True)
class Step:
    """One sampling step: the network is asked at timestep `t`; the others are the factors of the linear step."""

    t: int
    keep: float
    clean: float
    fresh: float
    extrapolate: float


def plan_steps(process: Process, steps: int, solver: str, eta: float) -> list[Step]:
    """`steps` evenly spaced steps of `ddim` or `dpm_solver_pp` from t = T-1 down to sigma = 0.

    Timesteps are "trailing" (Lin et al., WACV 2024), so that sampling starts at the noise that was trained last.
    DPM-Solver++ is of the first order in its first and last step. Raises ValueError where `steps` exceeds the number of
    training timesteps.
    """
    if not 1 <= steps <= len(process.signal):
        raise ValueError(f"{steps} sampling steps, expected 1 to {len(process.signal)}")
    ts = [round(len(process.signal) * (1 - k / steps)) - 1 for k in range(steps)]
    levels = [(float(process.signal[t]), float(process.noise[t])) for t in ts] + [(1.0, 0.0)]
    pairs = list(itertools.pairwise(levels))
    ahead = [0.0, *(_extrapolate(*before, *pair) for before, pair in itertools.pairwise(pairs))]
    ahead = ahead if solver == "dpm_solver_pp" else [0.0] * steps
    return [_step(t, *pair, eta, far) for t, pair, far in zip(ts, pairs, ahead, strict=True)]


def check_steps(where: str, steps: int, diffusion: DiffusionParams) -> None:
    """Raises `ParamsError`, which names the key `where`, for more sampling steps than training timesteps."""
    if steps > diffusion.timesteps:
        most = f"1 to {diffusion.timesteps}, the denoiser's timesteps"
        raise ParamsError(fault(where, f"{steps} sampling steps", most, "take fewer"))


def _step(t: int, now: tuple[float, float], then: tuple[float, float], eta: float, extrapolate: float) -> Step:
    """Deterministic but for `fresh`, eta times the deviation of the true posterior (Song et al. 2021, eq. 16)."""
    (alpha, sigma), (alpha_next, sigma_next) = now, then
    fresh = eta * sigma_next * math.sqrt(max(0.0, 1 - (alpha * sigma_next / (alpha_next * sigma)) ** 2))
    keep = math.sqrt(sigma_next**2 - fresh**2) / sigma
    return Step(t, keep, alpha_next - alpha * keep, fresh, extrapolate)


def _extrapolate(
    before: tuple[float, float], now: tuple[float, float], _: tuple[float, float], then: tuple[float, float]
) -> float:
    """h / (2 h of the step before), h the step in lambda; 0 where either is infinite, as at the ends of a flow."""
    a, b, c = (math.log(x / y) if x > 0 and y > 0 else math.inf for x, y in (before, now, then))
    return (c - b) / (2 * (b - a)) if math.isfinite(a + b + c) else 0.0


def advance(z: A, z0: A, before: A | None, fresh: A | None, step: Step) -> A:
    """z after `step`, element by element; `before` is the z_0 predicted a step earlier, `fresh` standard normal."""
    ahead = z0 if before is None or step.extrapolate == 0 else z0 + step.extrapolate * (z0 - before)
    moved = step.keep * z + step.clean * ahead
    return moved if fresh is None else moved + step.fresh * fresh
