"""Losses over logits with a class axis second.

Every pixel of a mask counts: value 0 is annotated background, the first class of the params. Masks with unknown
pixels are for `tasks.evaluation`, whose segmenter leaves them out.
"""

import torch
from torch import Tensor
from torch.nn import functional

from tasks.learn.params import LossParams


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean negative log-likelihood of the true class in nats.

    `logits` (n, k, ...) float32, `truth` (n, ...) int64 class indices.
    """
    return functional.cross_entropy(logits, truth)


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice of the classes above 0, pooled over the batch's pixels (Milletari et al., 3DV 2016).

    Per class 2 sum(p g) / (sum p^2 + sum g), averaged over the classes; in [0, 1]. `logits` (n, k, y, x), `truth`
    (n, y, x) int64. A class without truth or prediction counts as right.
    """
    classes = logits.shape[1]
    wanted = functional.one_hot(truth, classes).movedim(-1, 1)
    probability = logits.softmax(1)
    axes = (0, *range(2, logits.ndim))
    small = torch.finfo(logits.dtype).eps
    both = 2 * (probability * wanted).sum(axes) + small
    either = probability.square().sum(axes) + wanted.sum(axes) + small
    return 1 - (both / either)[1:].mean()


def loss(params: LossParams, logits: Tensor, truth: Tensor) -> Tensor:
    """The weighted sum of the terms that `params` names."""
    total = logits.new_zeros(())
    if params.cross_entropy:
        total = total + params.cross_entropy * cross_entropy(logits, truth)
    if params.dice:
        total = total + params.dice * soft_dice(logits, truth)
    return total
