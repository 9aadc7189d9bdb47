"""The semi-supervised denoiser: thesis A, algorithm 1, on unit-variance latents.

Each tile of a batch is, with probability p_unconditional, an unlabelled tile under the null condition, else a
labelled tile with its mask. The thesis's eq. 5.7 writes the null case for u >= p_unc, its text calls p_unc "the
probability of switching from the conditional to the unconditional setting"; we follow the text. At the thesis's
own value, 0.5, both are the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.rng import generator, normal
from tasks.synthesis import conditioning, networks
from tasks.synthesis.params import DenoiserModel, DenoiserParams
from tasks.synthesis.schedule import Epsilon, add_noise, at, epsilon_of, retained
from tasks.synthesis.tiles import oriented


@dataclass(frozen=True)
class Data:
    """What the denoiser is trained on. `unlabelled` and `labelled` are rows of the two stacks."""

    latents: NDArray[np.float32]
    """(tile, orientation, c, y, x), each orientation encoded by itself."""
    conditions: NDArray[np.float32]
    """(tile, k, y, x)"""
    unlabelled: NDArray[np.int64]
    labelled: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """One step of algorithm 1, before the network."""

    z0: Tensor
    condition: Tensor
    noise: Tensor
    t: NDArray[np.int64]


def draw_batch(data: Data, params: DenoiserParams, step: int) -> Batch:
    """Tiles, conditions, timesteps and noise of a step: a function of the seed and the step's number only."""
    draw = generator(params.seed, f"step/{step}", "batch")
    size = params.fit.batch
    free = draw.random(size) < params.p_unconditional
    rows = np.where(free, draw.choice(data.unlabelled, size), draw.choice(data.labelled, size))
    turns = draw.integers(data.latents.shape[1], size=size)
    t = draw.integers(params.diffusion.timesteps, size=size)
    z0 = np.stack([data.latents[row, turn] for row, turn in zip(rows, turns, strict=True)])
    null = conditioning.null(data.conditions.shape[1] - 2, *z0.shape[2:])
    told = [null if f else oriented(data.conditions[row], turn) for f, row, turn in zip(free, rows, turns, strict=True)]
    noise = normal(z0.shape, params.seed, f"step/{step}", "noise")
    return Batch(torch.from_numpy(z0), torch.from_numpy(np.stack(told)), torch.from_numpy(noise), t)


def loss(network: networks.Denoiser, batch: Batch, a: NDArray[np.float64], prediction: str) -> Tensor:
    """Mean squared error of the predicted noise, a scalar (algorithm 1, line 5)."""
    power = at(a, batch.t)
    z = add_noise(batch.z0, batch.noise, power)
    output = network(z, batch.condition, torch.from_numpy(batch.t))
    return (epsilon_of(output, z, power, prediction) - batch.noise).pow(2).mean()


def held_out_losses(
    network: networks.Denoiser, data: Data, params: DenoiserParams, a: NDArray[np.float64]
) -> dict[str, float]:
    """Loss on held-out labelled tiles with their own mask, with another tile's mask and with none.

    Timesteps are spread evenly over the tiles; noise is the same for the three, so that the differences are the
    masks' doing: a network that listens has own < null < other.
    """
    count = len(data.latents)
    t = np.arange(count, dtype=np.int64) * params.diffusion.timesteps // count
    z0 = torch.from_numpy(np.array(data.latents[:, 0]))
    noise = torch.from_numpy(normal(tuple(z0.shape), params.seed, "held-out", "noise"))
    own = np.array(data.conditions)
    null = np.broadcast_to(conditioning.null(own.shape[1] - 2, *own.shape[2:]), own.shape).copy()
    told = {"own_mask": own, "other_mask": np.roll(own, count // 2, axis=0), "null": null}
    with torch.inference_mode():
        return {
            f"held_out_loss_{name}": float(
                loss(network, Batch(z0, torch.from_numpy(c), noise, t), a, params.diffusion.prediction)
            )
            for name, c in told.items()
        }


@dataclass(frozen=True)
class Model:
    """A trained denoiser: the noise predictor, its schedule, and what it says of itself."""

    epsilon: Epsilon
    retained: NDArray[np.float64]
    about: DenoiserModel


def predictor(network: networks.Denoiser, a: NDArray[np.float64], prediction: str) -> Epsilon:
    """The network as the sampler sees it, without gradients."""

    def epsilon(z: Tensor, condition: Tensor, t: int) -> Tensor:
        ts = np.full(len(z), t, np.int64)
        with torch.inference_mode():
            return epsilon_of(network(z, condition, torch.from_numpy(ts)), z, at(a, ts), prediction)

    return epsilon


def load(folder: Path) -> Model:
    """The denoiser in a model folder. Raises `InputError` where it is none, or its weights do not fit."""
    about = networks.read_model(folder, DenoiserModel)
    channels = conditioning.channels(len(about.classes))
    network = networks.denoiser(about.architecture, about.latent_channels, channels)
    networks.load_weights(network, folder)
    a = retained(about.diffusion.schedule, about.diffusion.timesteps)
    return Model(predictor(network, a, about.diffusion.prediction), a, about)
