"""Networks by name: image encoders that end in pooled features, and the segmenter's U-Net.

Batch normalisation, whose statistics are fixed once trained: features do not depend on what else is in a batch,
and a tile keeps its absolute colour, which normalisation within a tile (group, instance) would take away.
"""

from itertools import pairwise

import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.resnet import ResNet
from torch import nn

from tasks.evaluation.params import Network


class Residual(nn.Module):
    """Two 3x3 convolutions, the first with stride 2, beside a 1x1 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.last = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) to (n, outputs, y/2, x/2)."""
        inner = self.second(torch.relu(self.norm(self.first(x))))
        return torch.relu(self.last(inner) + self.skip(x))


class ResidualEncoder(nn.Module):
    """A stem of stride 2 and one residual block a further width; features are the spatial mean."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        pairs = pairwise(widths)
        self.blocks = nn.Sequential(*(Residual(a, b) for a, b in pairs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, y, x) in [-1, 1] to features (n, widths[-1])."""
        return torch.mean(self.blocks(self.stem(x)), dim=(2, 3))


def encoder(network: Network) -> tuple[nn.Module, int]:
    """The encoder that `network` names, with freshly drawn weights, and how many features it gives.

    `residual` takes the stem's and the blocks' widths; `resnet18` (He et al. 2016) its four stages'.
    """
    if network.name == "residual":
        return ResidualEncoder(network.widths), network.widths[-1]
    if network.name == "resnet18":
        layers, stages = [2, 2, 2, 2], list(network.widths)
        net = ResNet("basic", layers, stages, 2, 3, conv1_t_size=7, conv1_t_stride=2, feed_forward=False)
        return net, network.widths[-1]
    raise ValueError(f"{network.name} is not an encoder")


def segmenter(network: Network, classes: int) -> nn.Module:
    """A U-Net from (n, 3, y, x) in [-1, 1] to class scores (n, classes, y, x); sides of 32 or more."""
    if network.name != "basic_unet":
        raise ValueError(f"{network.name} is not a segmenter")
    return BasicUNet(spatial_dims=2, in_channels=3, out_channels=classes, features=network.widths, norm="batch")


def projector(features: int, outputs: int) -> nn.Module:
    """The two-layer head of MoCo v2 (Chen et al. 2020), used in training only."""
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, outputs))
