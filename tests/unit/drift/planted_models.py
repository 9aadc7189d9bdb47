"""Networks that read one thing of a view and nothing else: known truth for what drifts must do to them."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Reader(nn.Module):
    """Logits (+r, -r) of what a subclass reads; the one weight trains, but no drift is judged by its size."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(1.0))

    def forward(self, views: Tensor) -> Tensor:
        read = self.read(views) * self.size.exp()
        return torch.stack([read, -read], dim=1)

    def read(self, views: Tensor) -> Tensor:
        raise NotImplementedError


class Colour(Reader):
    """Mean red against that of the training views, which the standardisation puts at 0: WARM is above."""

    def read(self, views: Tensor) -> Tensor:
        return 10 * views[:, 0].mean(dim=(1, 2))


class Shape(Reader):
    """Share of a tile that is darker in green than the middle between its ends: WARM has the large disc.

    Gains and offsets of a channel move its ends alike, so they change nothing. The average spares it sharpening's
    overshoot and some noise.
    """

    def read(self, views: Tensor) -> Tensor:
        green = functional.avg_pool2d(views[:, 1:2], 5, stride=1).flatten(1)
        ends = torch.quantile(green, torch.tensor([0.01, 0.99]), dim=1)
        dark = (green < ends.mean(0)[:, None]).float().mean(1)
        return 10 * (dark - 0.13)


class Bright(nn.Module):
    """Logits (n, 2, y, x): what is brighter than the middle between a tile's ends is foreground."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(1.0))

    def forward(self, views: Tensor) -> Tensor:
        grey = views.mean(1)
        ends = torch.quantile(grey.flatten(1), torch.tensor([0.02, 0.98]), dim=1).mean(0)
        read = (grey - ends[:, None, None]) * self.size.exp()
        return torch.stack([-read, read], dim=1)


def colour() -> nn.Module:
    return Colour()


def shape() -> nn.Module:
    return Shape()


def bright() -> nn.Module:
    return Bright()


def small() -> nn.Module:
    """A network that does learn, and fast."""
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
