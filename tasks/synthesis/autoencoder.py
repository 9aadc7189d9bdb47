"""The latent autoencoder: its loss, its latents at unit variance, and how well it gives pictures back.

Pictures are uint8 (c, y, x), seen by the network as x / 127.5 - 1. Latents are (mean - m) / s, m per channel
and s one for all, so that they have unit variance together and a diffusion that starts at N(0, 1) fits them.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.learn.determinism import device_of, one_thread
from tasks.parallel import parallel
from tasks.rng import generator, normal
from tasks.synthesis import linear, networks
from tasks.synthesis.params import AutoencoderModel, AutoencoderParams
from tasks.synthesis.pictures import Stack, chunks, to_network
from tasks.synthesis.tiles import ORIENTATIONS, oriented


def differences(values: Tensor) -> tuple[Tensor, Tensor]:
    """Finite differences along y and x of (n, c, y, x)."""
    return values[:, :, 1:] - values[:, :, :-1], values[:, :, :, 1:] - values[:, :, :, :-1]


def loss(
    back: Tensor, mean: Tensor, sigma: Tensor, pictures: Tensor, kl_weight: float, gradient_weight: float
) -> Tensor:
    """L1 + gradient_weight * L1 of finite differences + kl_weight * KL(N(mean, sigma) || N(0, 1)), a scalar.

    Of the network's `back`, `mean` and `sigma` for `pictures`. Kingma and Welling 2014, eq. 10, for the KL term (mean
    over latent elements).
    """
    edges = sum(
        ((a - b).abs().mean() for a, b in zip(differences(back), differences(pictures), strict=True)),
        start=back.new_zeros(()),
    )
    kl = 0.5 * (mean**2 + sigma**2 - 1 - 2 * sigma.log()).mean()
    return (back - pictures).abs().mean() + gradient_weight * edges + kl_weight * kl


def begin(network: networks.Autoencoder, pictures: Stack, params: AutoencoderParams) -> None:
    """Initialise a network for training on `pictures` (n, 3, y, x)."""
    networks.initialise(network, params.seed)
    architecture = params.architecture
    if architecture.linear_path:
        network.begin_linear(linear.fit_path(pictures, architecture), architecture.first_latent_noise)


def batch(pictures: Stack, params: AutoencoderParams, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """Pictures and latent noise of a training step, or of a part of its rows: a function of the seed, the step's
    number and the part only."""
    draw = generator(params.seed, f"step/{step}", "tiles")
    rows = draw.integers(len(pictures), size=params.fit.batch)[part]
    turns = draw.integers(ORIENTATIONS, size=params.fit.batch)[part]
    tiles = np.stack([oriented(pictures[row], turn) for row, turn in zip(rows, turns, strict=True)])
    factor, channels = params.architecture.factor, params.architecture.latent_channels
    shape = (params.fit.batch, channels, tiles.shape[-2] // factor, tiles.shape[-1] // factor)
    return to_network(tiles), torch.from_numpy(normal(shape, params.seed, f"step/{step}", "latent")[part])


@dataclass(frozen=True)
class Codec:
    """A trained autoencoder with the scale of its latents."""

    network: networks.Autoencoder
    factor: int
    channels: int
    mean: NDArray[np.float32]
    """(c, 1, 1)"""
    std: float

    device: str = "cpu"

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit-variance latents (n, c, y/f, x/f) of pictures (n, 3, y, x)."""
        parts = [(raw_latents(self.network, chunk) - self.mean) / self.std for chunk in chunks(pictures)]
        return np.concatenate(parts)

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pictures (n, 3, y, x), float32, about [-1, 1], of unit-variance latents, each decoded alone, on all cores."""
        return np.concatenate(list(parallel(self._decoded, (one[None] for one in latents))))

    def _decoded(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        with one_thread(), torch.inference_mode():
            raw = torch.from_numpy(latents * self.std + self.mean).to(self.device)
            found: NDArray[np.float32] = self.network.decode(raw).cpu().numpy()
        return found


def raw_latents(network: networks.Autoencoder, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Latent means (n, c, y/f, x/f) before scaling, computed where the network is."""
    place = next(network.parameters()).device
    with torch.inference_mode():
        found: NDArray[np.float32] = network.encode(to_network(pictures).to(place))[0].cpu().numpy()
    return found


def latent_scale(network: networks.Autoencoder, pictures: Stack) -> tuple[NDArray[np.float32], float]:
    """Mean of each latent channel (c, 1, 1) and one standard deviation about them, over `pictures` (n, 3, y, x)."""
    total: NDArray[np.float64] = np.zeros((2, 1))
    count = 0
    for chunk in chunks(pictures):
        found = raw_latents(network, chunk).astype(np.float64)
        total = total + np.stack([found.sum((0, 2, 3)), (found**2).sum((0, 2, 3))])
        count += found[:, 0].size
    mean = total[0] / count
    std = math.sqrt(float(np.mean(total[1] / count - mean**2)))
    return mean[:, None, None].astype(np.float32), std


def load(folder: Path, device: str = "cpu") -> Codec:
    """The autoencoder in a model folder. Raises `InputError` where it is none, or its weights do not fit."""
    model = networks.read_model(folder, AutoencoderModel)
    network = networks.autoencoder(model.architecture)
    networks.load_weights(network, folder)
    mean = np.asarray(model.latent_mean, np.float32)[:, None, None]
    factor, channels = model.architecture.factor, model.architecture.latent_channels
    return Codec(network.to(device_of(device)), factor, channels, mean, model.latent_std, device)
