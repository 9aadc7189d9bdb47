"""The semi-supervised denoiser: thesis A, algorithm 1, on unit-variance latents.

Each tile of a batch is, with probability p_unconditional, an unlabelled tile under the null condition, else a
labelled tile with its mask. The thesis's eq. 5.7 writes the null case for u >= p_unc, its text calls p_unc "the
probability of switching from the conditional to the unconditional setting"; we follow the text. At the thesis's
own value, 0.5, both are the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.rng import generator, normal
from tasks.synthesis import conditioning, networks
from tasks.synthesis.evaluate import guided
from tasks.synthesis.params import DenoiserModel, DenoiserParams
from tasks.synthesis.pictures import CHUNK
from tasks.synthesis.schedule import Denoise, Process, add_noise, clean_of, forward_process, noise_of
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


class Batch(NamedTuple):
    """One step of algorithm 1, before the network."""

    z0: Tensor
    condition: Tensor
    noise: Tensor
    t: Tensor
    """int64 (n,)"""


def draw_batch(data: Data, params: DenoiserParams, step: int, part: slice = slice(None)) -> Batch:
    """Tiles, conditions, timesteps and noise of a step, or of a part of its rows: a function of the seed, the step's
    number and the part only. Without labelled tiles `params.p_unconditional` must be 1."""
    draw = generator(params.seed, f"step/{step}", "batch")
    size = params.fit.batch
    free = draw.random(size) < params.p_unconditional
    rows = draw.choice(data.unlabelled, size)
    if len(data.labelled):
        rows = np.where(free, rows, draw.choice(data.labelled, size))
    turns = draw.integers(data.latents.shape[1], size=size)
    t = draw.integers(params.diffusion.timesteps, size=size)[part]
    noise = normal((size, *data.latents.shape[2:]), params.seed, f"step/{step}", "noise")[part]
    free, rows, turns = free[part], rows[part], turns[part]
    z0 = np.stack([data.latents[row, turn] for row, turn in zip(rows, turns, strict=True)])
    null = conditioning.null(data.conditions.shape[1] - 2, *z0.shape[2:])
    told = [null if f else oriented(data.conditions[row], turn) for f, row, turn in zip(free, rows, turns, strict=True)]
    return Batch(*(torch.from_numpy(values) for values in (z0, np.stack(told), noise, t)))


def loss(network: nn.Module, batch: Batch, process: Process) -> Tensor:
    """Mean squared error of the predicted noise, a scalar (algorithm 1, line 5); of a flow, that of eps - z_0."""
    alpha, sigma = (values.to(batch.z0.device) for values in process.at(batch.t.cpu().numpy()))
    z = add_noise(batch.z0, batch.noise, alpha, sigma)
    output = network(z, batch.condition, batch.t).float()
    if process.prediction == "flow":
        missed: Tensor = output - (batch.noise - batch.z0)
    else:
        missed = noise_of(output, z, alpha, sigma, process.prediction) - batch.noise
    return missed.pow(2).mean()


def held_out_losses(
    network: networks.Denoiser, data: Data, params: DenoiserParams, process: Process
) -> dict[str, float]:
    """Loss on held-out labelled tiles with their own mask, with another tile's mask and with none.

    With none alone where no tile is labelled.
    Timesteps are spread evenly over the tiles; noise is the same for the three, so that the differences are the
    masks' doing: a network that listens has own < null < other.
    """
    count = len(data.latents)
    t = torch.arange(count) * params.diffusion.timesteps // count
    z0 = torch.from_numpy(np.array(data.latents[:, 0]))
    noise = torch.from_numpy(normal(tuple(z0.shape), params.seed, "held-out", "noise"))
    own = np.array(data.conditions)
    null = np.broadcast_to(conditioning.null(own.shape[1] - 2, *own.shape[2:]), own.shape).copy()
    told = {"null": null}
    if own[:, 1:].any():
        told |= {"own_mask": own, "other_mask": np.roll(own, count // 2, axis=0)}
    batches = {name: Batch(z0, torch.from_numpy(condition), noise, t) for name, condition in told.items()}
    return {f"held_out_loss_{name}": mean_loss(network, batch, process) for name, batch in batches.items()}


def mean_loss(network: nn.Module, batch: Batch, process: Process) -> float:
    """The loss of a batch of any size, without gradients, in parts where the network is."""
    place = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    parts = zip(*(torch.split(values, CHUNK) for values in batch), strict=True)
    with torch.inference_mode():
        total = sum(
            float(loss(network, Batch(*(values.to(place) for values in part)), process)) * len(part[0])
            for part in parts
        )
    return total / len(batch.t)


@dataclass(frozen=True)
class Model:
    """A trained denoiser: it and its forward process as the sampler sees them, and what it says of itself."""

    networks: tuple[Denoise, ...]
    """One, or one on each GPU."""
    process: Process
    about: DenoiserModel

    def guided(self, guidance: float) -> list[Denoise]:
        """The networks with classifier-free guidance of weight `guidance`; one that knows no classes needs none."""
        null = torch.from_numpy(conditioning.null(len(self.about.classes), 1, 1))
        return [guided(network, null, guidance if self.about.classes else 0.0) for network in self.networks]


def predictor(network: networks.Denoiser, process: Process, device: torch.device | str = "cpu") -> Denoise:
    """The network as the sampler sees it, without gradients: gives z_0 on `device`."""

    def denoise(z: Tensor, condition: Tensor, t: int) -> Tensor:
        ts = np.full(len(z), t, np.int64)
        alpha, sigma = (v.to(device) for v in process.at(ts))
        z = z.to(device)
        with torch.inference_mode():
            output = network(z, condition.to(device), torch.from_numpy(ts).to(device))
            return clean_of(output, z, alpha, sigma, process.prediction)

    return denoise


def load(folder: Path, device: str = "cpu") -> Model:
    """The denoiser in a model folder, on the CPU or on every GPU. Raises `InputError` where it is none, or its weights
    do not fit, and `ParamsError` where there is no GPU."""
    about = networks.read_model(folder, DenoiserModel)
    channels = conditioning.channels(len(about.classes))
    forward = forward_process(about.diffusion)
    loaded = []
    for place in networks.devices(device):
        network = networks.denoiser(about.architecture, about.latent_channels, channels)
        networks.load_weights(network, folder)
        loaded.append(predictor(network.to(place), forward, place))
    return Model(tuple(loaded), forward, about)
