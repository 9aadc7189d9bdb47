"""Training tiles of the three settings: views fixed beforehand, or developed anew under theta in each batch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.drift import mosaics
from tasks.drift.mosaics import Mosaics, views_of
from tasks.isp.parametrised import Parametrised
from tasks.learn import augment
from tasks.learn.augment import Augmentation
from tasks.learn.data import Examples
from tasks.learn.params import AugmentParams, TaskParams

Indices = NDArray[np.int64]


class Tiles(Protocol):
    """Tiles as the task model sees them now."""

    def views(self, indices: Indices) -> Tensor:
        """Views (n, 3, y, x) float32 in [0, 1] of the tiles `indices`."""
        ...

    def examples(self) -> Examples:
        """All of them, detached."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Views that do not change: of a frozen data model, or raw values."""

    tiles: Examples

    def views(self, indices: Indices) -> Tensor:
        picked = self.tiles.views
        return torch.from_numpy(picked.base[picked.rows[indices]])

    def examples(self) -> Examples:
        return self.tiles


@dataclass(frozen=True)
class Developed:
    """Views of mosaics under `model` as it is when asked, with gradients in its free parameters."""

    tiles: Mosaics
    model: Parametrised
    params: TaskParams

    def views(self, indices: Indices) -> Tensor:
        return views_of(self.model, torch.from_numpy(self.tiles.pixels[indices]), self.params.input_px)

    def examples(self) -> Examples:
        return mosaics.examples(self.model, self.tiles, self.params)


def turn(view: Tensor, how: Augmentation) -> Tensor:
    """`tasks.learn.augment.turn` of a tensor (…, y, x), differentiable."""
    flipped = view.flip([axis for axis, flip in ((-2, how.flip_y), (-1, how.flip_x)) if flip])
    return torch.rot90(flipped, how.quarter_turns, (-2, -1))


def light(view: Tensor, how: Augmentation) -> Tensor:
    """`tasks.learn.augment.light` of a tensor, any shape, differentiable; the slope is 0 where it clips."""
    mean = view.mean(dtype=torch.float64).to(view.dtype)
    return (how.brightness * (mean + how.contrast * (view - mean))).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Augmented:
    """A `tasks.learn.train.Source` over `tiles`, augmented per (seed, tile, epoch).

    The views are turned, not the mosaics, whose pattern that would break; light changes after the data model.
    """

    tiles: Tiles
    ids: tuple[str, ...]
    truth: NDArray[np.int64]
    params: AugmentParams
    seed: int

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, indices: Indices, epoch: int) -> tuple[Tensor, Tensor]:
        drawn = [augment.draw(self.params, self.seed, self.ids[i], epoch) for i in indices]
        views = [light(turn(view, how), how) for view, how in zip(self.tiles.views(indices), drawn, strict=True)]
        spatial = self.truth.ndim > 1
        truth = [
            augment.turn(self.truth[i], how) if spatial else self.truth[i]
            for i, how in zip(indices, drawn, strict=True)
        ]
        return torch.stack(views), torch.from_numpy(np.stack(truth))
