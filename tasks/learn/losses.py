"""Losses over logits with a class axis second, of operations that are deterministic on a GPU as well.

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
    likelihood = functional.log_softmax(logits, 1)
    # Not functional.cross_entropy, nor gather or scatter: with maps of pixels those add atomically on a GPU.
    return -torch.where(_is_true(logits, truth), likelihood, 0).sum(1).mean()


def _is_true(logits: Tensor, truth: Tensor) -> Tensor:
    """Bool of the shape of `logits`: at the true class."""
    classes = torch.arange(logits.shape[1], device=truth.device)
    return truth[:, None] == classes.view(-1, *[1] * (logits.ndim - 2))


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice of the classes above 0, pooled over the batch's pixels (Milletari et al., 3DV 2016).

    Per class 2 sum(p g) / (sum p^2 + sum g), averaged over the classes; in [0, 1]. `logits` (n, k, y, x), `truth`
    (n, y, x) int64. A class without truth or prediction counts as right.
    """
    wanted = _is_true(logits, truth)
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


def mean_of_tiles(params: LossParams, logits: Tensor, truth: Tensor) -> Tensor:
    """`loss` of each tile by itself, a mean over them: it does not depend on how tiles are put into batches, as `loss`
    does, whose Dice pools the pixels of a batch."""
    tiles = zip(torch.split(logits, 1), torch.split(truth, 1), strict=True)
    return torch.stack([loss(params, *tile) for tile in tiles]).mean()
