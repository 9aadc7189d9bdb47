"""Losses over logits with a class axis second. Pixels or tiles of the class `ignore` do not count."""

import torch
from torch import Tensor
from torch.nn import functional

from tasks.learn.params import LossParams

NOTHING = -1
"""An `ignore` that no class index equals."""


def cross_entropy(logits: Tensor, truth: Tensor, ignore: int = NOTHING) -> Tensor:
    """Mean negative log-likelihood of the true class in nats; 0 where all is ignored.

    `logits` (n, k, ...) float32, `truth` (n, ...) int64 class indices.
    """
    sums = functional.cross_entropy(logits, truth, ignore_index=ignore, reduction="sum")
    return sums / (truth != ignore).sum().clamp(min=1)


def soft_dice(logits: Tensor, truth: Tensor, ignore: int = NOTHING) -> Tensor:
    """1 - soft Dice of the classes above 0, pooled over the batch's pixels (Milletari et al., 3DV 2016).

    Per class 2 sum(p g) / (sum p^2 + sum g), averaged over the classes; in [0, 1]. `logits` (n, k, y, x), `truth`
    (n, y, x) int64. A class without truth or prediction counts as right.
    """
    classes = logits.shape[1]
    known = (truth != ignore).unsqueeze(1)
    wanted = functional.one_hot(truth.clamp(min=0), classes).movedim(-1, 1) * known
    probability = logits.softmax(1) * known
    axes = (0, *range(2, logits.ndim))
    small = torch.finfo(logits.dtype).eps
    both = 2 * (probability * wanted).sum(axes) + small
    either = probability.square().sum(axes) + wanted.sum(axes) + small
    return 1 - (both / either)[1:].mean()


def loss(params: LossParams, logits: Tensor, truth: Tensor, ignore: int = NOTHING) -> Tensor:
    """The weighted sum of the terms that `params` names."""
    total = logits.new_zeros(())
    if params.cross_entropy:
        total = total + params.cross_entropy * cross_entropy(logits, truth, ignore)
    if params.dice:
        total = total + params.dice * soft_dice(logits, truth, ignore)
    return total
