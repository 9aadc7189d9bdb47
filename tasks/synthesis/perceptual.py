"""Perceptual distance: how far apart pictures are for a frozen encoder (Zhang et al., CVPR 2018, without linear fit).

The encoder is any that `tasks.evaluation.models` reads (safetensors, an architecture named in its `model.json`); by
default the pipeline's own, trained without labels on the same tiles. Features of each stage are scaled to unit length
along their channels, and their squared distances summed over channels and averaged over places and stages.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from tasks.evaluation import models

EPSILON = 1e-6


class Perceptual(nn.Module):
    """The distance, with its frozen encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.kept: list[Tensor] = []
        for stage in stages(encoder):
            stage.register_forward_hook(lambda module, inputs, output: self.kept.append(output))

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Outputs of the stages for pictures (n, 3, y, x) in [-1, 1], each of unit length along its channels."""
        self.kept.clear()
        self.encoder(pictures)
        found = [kept.float() for kept in self.kept]
        self.kept.clear()
        return [f * torch.rsqrt(f.square().sum(1, keepdim=True) + EPSILON) for f in found]

    def forward(self, back: Tensor, pictures: Tensor) -> Tensor:
        """The mean distance, a scalar; gradients reach `back` alone."""
        with torch.no_grad():
            wanted = self.features(pictures)
        pairs = zip(self.features(back), wanted, strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in pairs]).mean()


def stages(encoder: nn.Module) -> list[nn.Module]:
    """The parts of an encoder after which features are compared: those that halve the sides."""
    if hasattr(encoder, "stem"):
        return [encoder.stem, *encoder.blocks.children()]  # type: ignore[list-item, union-attr]
    return [getattr(encoder, f"layer{k}") for k in (1, 2, 3, 4)]


def load(folder: Path) -> Perceptual:
    """The distance of the encoder in `folder`. Raises `InputError` where it is none, `LineageError` for bad weights."""
    return Perceptual(models.load_extractor(folder, 1).network)
