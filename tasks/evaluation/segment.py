"""Training of the segmenter: views with their masks, and a loss that unknown pixels do not enter."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tasks.evaluation.augment import labelled_view
from tasks.evaluation.networks import segmenter
from tasks.evaluation.params import SegmenterParams
from tasks.evaluation.training import batch_rows
from tasks.learn.determinism import seeded
from tasks.rng import generator, seed_for

Tiles = NDArray[np.uint8]
UNKNOWN = -1


def class_weights(masks: Tiles, classes: int) -> Tensor:
    """Weights (classes,) proportional to 1 / sqrt(pixels of the class), mean 1 over the classes that occur.

    A class that does not occur weighs 0. `masks` (n, y, x) hold 0..classes, 0 unknown.
    """
    counts = np.zeros(classes + 1)
    for mask in masks:
        counts += np.bincount(mask.ravel(), minlength=classes + 1)
    shares = counts[1:]
    weights = np.divide(1.0, np.sqrt(shares), out=np.zeros(classes), where=shares > 0)
    return torch.from_numpy(weights / weights[shares > 0].mean()).float()


def loss(scores: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy in nats over known pixels; 0 where none is known.

    `scores` (n, classes, y, x); `truth` (n, y, x) int64 in 0..classes, 0 unknown; `weights` (classes,).
    """
    target = truth - 1
    total = functional.cross_entropy(scores, target, weights, ignore_index=UNKNOWN, reduction="sum")
    known = target != UNKNOWN
    return total / weights[target[known]].sum().clamp(min=torch.finfo(total.dtype).eps)


class Lessons:
    """The loss of a step on its own batch of annotated tiles."""

    def __init__(self, pictures: Tiles, masks: Tiles, classes: int, params: SegmenterParams) -> None:
        self.pictures, self.masks, self.params = pictures, masks, params
        self.weights = class_weights(masks, classes)
        with seeded(seed_for(params.training.seed, "segmenter", "weights")):
            self.network: nn.Module = segmenter(params.network, classes)

    def loss(self, step: int) -> Tensor:
        """Loss of `step`; the views are drawn from tasks.rng keyed by it."""
        training = self.params.training
        rng = generator(training.seed, f"step {step}", "views")
        rows = batch_rows(len(self.pictures), training.batch_tiles, training.seed, step)
        pairs = [labelled_view(self.pictures[r], self.masks[r], self.params.augmentation, rng) for r in rows]
        views = torch.from_numpy(np.stack([view for view, _ in pairs]))
        truth = torch.from_numpy(np.stack([mask for _, mask in pairs]).astype(np.int64))
        return loss(self.network(views), truth, self.weights)
