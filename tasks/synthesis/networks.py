"""The two networks, built from their frozen architecture, initialised without global random state, and stored.

A model folder holds `weights.safetensors` (float32) and `model.json`; nothing is unpickled.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.blocks.selfattention import SABlock
from monai.networks.blocks.spatialattention import SpatialAttentionBlock
from monai.networks.nets.autoencoderkl import AutoencoderKL
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tasks.errors import InputError, ParamsError, fault
from tasks.learn.determinism import device_of, seeded
from tasks.lineage.digest import pretty
from tasks.params import P, Params, parse
from tasks.rng import generator
from tasks.synthesis.params import AutoencoderArchitecture, DenoiserArchitecture

WEIGHTS = "weights.safetensors"
MODEL = "model.json"


class Autoencoder(nn.Module):
    """AutoencoderKL (Rombach et al., CVPR 2022) without attention, behind an optional space-to-depth stem.

    With a linear path (Chen et al., "Deep compression autoencoder", ICLR 2025, have the like without parameters)
    the mean is down(x) + encoder(x) and the picture up(z) + decoder(z); `up` sees 3 x 3 latent
    pixels, so that blocks meet.
    """

    def __init__(self, architecture: AutoencoderArchitecture) -> None:
        super().__init__()
        self.patch_px = architecture.patch_px
        depth = 3 * architecture.patch_px**2
        self.net = AutoencoderKL(
            2,
            depth,
            depth,
            num_res_blocks=architecture.blocks_per_level,
            channels=architecture.channels,
            attention_levels=(False,) * len(architecture.channels),
            latent_channels=architecture.latent_channels,
            norm_num_groups=architecture.norm_groups,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        self.factor = architecture.factor
        self.down: nn.Conv2d | None = None
        self.up: nn.Conv2d | None = None
        if architecture.linear_path:
            channels, depth = architecture.latent_channels, 3 * self.factor**2
            self.down = nn.Conv2d(3, channels, self.factor, stride=self.factor)
            self.up = nn.Conv2d(channels, depth, 3, padding=1, padding_mode="replicate")

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (n, c, h/f, w/f) for pictures (n, 3, h, w) in [-1, 1]."""
        mean, sigma = self.net.encode(functional.pixel_unshuffle(pictures, self.patch_px))
        return (mean if self.down is None else mean + self.down(pictures)), sigma

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, h, w), about [-1, 1], for latents (n, c, h/f, w/f)."""
        pictures = functional.pixel_shuffle(self.net.decode(latents), self.patch_px)
        return pictures if self.up is None else pictures + functional.pixel_shuffle(self.up(latents), self.factor)

    def forward(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (n, 3, h, w) given back through a noisy latent, its mean and deviation (n, c, h/f, w/f); float32.

        `noise` is that of the reparameterised sample, of the latents' shape (Kingma and Welling 2014).
        """
        mean, sigma = self.encode(pictures)
        return self.decode(mean + sigma * noise).float(), mean.float(), sigma.float()

    def begin_linear(self, path: "LinearPath", noise: float) -> None:
        """Set the linear path, the deviation of the latents' noise, and silence the convolutions' last layers."""
        assert self.down is not None and self.up is not None
        net: Any = self.net
        with torch.no_grad():
            for layer, weight, bias in ((self.down, path.into, path.into_bias), (self.up, path.back, path.back_bias)):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))  # type: ignore[union-attr]
            for block in (net.quant_conv_mu, net.quant_conv_log_sigma, net.decoder.blocks[-1]):
                block.conv.weight.zero_()
                block.conv.bias.zero_()
            net.quant_conv_log_sigma.conv.bias.fill_(2 * math.log(noise))


@dataclass(frozen=True)
class LinearPath:
    """Weights of `down` (c, 3, f, f) and of `up` (3 f f, c, 3, 3) with their biases, float32."""

    into: NDArray[np.float32]
    into_bias: NDArray[np.float32]
    back: NDArray[np.float32]
    back_bias: NDArray[np.float32]


class Denoiser(nn.Module):
    """U-Net over the noisy latent and its condition, stacked along the channels."""

    def __init__(self, architecture: DenoiserArchitecture, latent_channels: int, condition_channels: int) -> None:
        super().__init__()
        self.net = DiffusionModelUNet(
            2,
            latent_channels + condition_channels,
            latent_channels,
            num_res_blocks=architecture.blocks_per_level,
            channels=architecture.channels,
            attention_levels=architecture.attention,
            norm_num_groups=architecture.norm_groups,
            num_head_channels=architecture.head_channels,
            use_flash_attention=True,
        )
        if architecture.heads is not None:
            _set_heads(self.net, architecture.heads, architecture.head_channels)

    def forward(self, z: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """The last layer (n, c, h, w) for z of that shape, condition (n, k, h, w) and timesteps (n,)."""
        output: Tensor = self.net(torch.cat([z, condition], 1), t)
        return output


def _set_heads(net: nn.Module, heads: int, head_channels: int) -> None:
    """Give each attention layer this many heads, whatever its channels; MONAI's follow the channels."""
    for block in net.modules():
        if isinstance(block, SpatialAttentionBlock):
            channels = block.norm.num_channels
            block.attn = SABlock(channels, heads, qkv_bias=True, dim_head=head_channels, use_flash_attention=True)


def autoencoder(architecture: AutoencoderArchitecture) -> Autoencoder:
    """A network whose weights are not set yet."""
    with seeded(0):
        return Autoencoder(architecture)


def denoiser(architecture: DenoiserArchitecture, latent_channels: int, condition_channels: int) -> Denoiser:
    """A network whose weights are not set yet."""
    with seeded(0):
        return Denoiser(architecture, latent_channels, condition_channels)


def devices(name: str) -> list[torch.device]:
    """The CPU, or every GPU that is visible for `cuda`. Raises `ParamsError` where PyTorch can use none."""
    first = device_of(name)
    return [first] if first.type == "cpu" else [torch.device("cuda", k) for k in range(torch.cuda.device_count())]


def initialise(network: nn.Module, seed: int) -> None:
    """Draw convolutions and linear layers from U(-b, b), b = fan_in ** -0.5 (PyTorch's own law), layer by layer.

    Each layer has a stream named after it, so that no global state is read. Layers that a network zeroes on
    purpose (the last of a denoiser) stay zero.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and bool(module.weight.any()):
            bound = float(np.prod(module.weight.shape[1:])) ** -0.5
            _draw(module.weight, bound, seed, f"{name}.weight")
            if module.bias is not None:
                _draw(module.bias, bound, seed, f"{name}.bias")


def _draw(parameter: Tensor, bound: float, seed: int, name: str) -> None:
    values = generator(seed, name, "initialise").uniform(-bound, bound, tuple(parameter.shape))
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def save(folder: Path, weights: Mapping[str, Tensor], model: Params) -> list[Path]:
    """Write `weights.safetensors` and `model.json` below `folder`; returns both paths."""
    save_file({name: weights[name].contiguous() for name in sorted(weights)}, folder / WEIGHTS)
    (folder / MODEL).write_bytes(pretty(model.model_dump(mode="json")))
    return [folder / WEIGHTS, folder / MODEL]


def read_model(folder: Path, model: type[P]) -> P:
    """`model.json` of a folder. Raises `InputError` where there is none or it is of another kind."""
    file = folder / MODEL
    try:
        return parse(model, json.loads(file.read_bytes()), file)
    except OSError:
        remedy = "name its folder, or make it with `rawmill train` or `rawmill repro`"
        raise InputError(fault(file, "not there", "a model that rawmill trained", remedy)) from None
    except ValueError:
        raise InputError(fault(file, "not JSON", "a model that rawmill trained", "train it again")) from None
    except ParamsError as error:
        raise InputError(str(error)) from None


def load_weights(network: nn.Module, folder: Path) -> None:
    """Fill `network` from the folder and set it to evaluation. `InputError` where the weights do not fit it."""
    file = folder / WEIGHTS
    try:
        network.load_state_dict(load_file(file))
    except OSError:
        raise InputError(fault(file, "not there", "weights in safetensors", "train it again")) from None
    except (SafetensorError, RuntimeError) as error:
        wrong = " ".join(str(error).split())[:200]
        raise InputError(fault(file, wrong, "weights of the architecture in model.json", "train it again")) from None
    network.eval().requires_grad_(False)
