"""Did the mask steer the image? A segmenter trained on real tiles looks at synthetic ones.

Its agreement with each image's own mask is set against its agreement with the masks of other images (what
class frequencies alone give), and against what it reaches on real held-out tiles (the ceiling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Estimate, Permutation, bootstrap, permutation_test
from tasks.evaluation.overlap import confusion, iou, mean_iou

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]


def pair_counts(masks: Sequence[Labels], predicted: Sequence[Labels], classes: int) -> Counts:
    """Confusion of every prediction with every mask: (n predictions, n masks, classes, classes).

    Two of unequal shape are compared where they overlap when their upper left corners meet.
    """
    out = np.zeros((len(predicted), len(masks), classes, classes), np.int64)
    for i, guess in enumerate(predicted):
        for j, mask in enumerate(masks):
            h, w = np.minimum(guess.shape, mask.shape)
            out[i, j] = confusion(mask[:h, :w], guess[:h, :w], classes)
    return out


@dataclass(frozen=True)
class Steering:
    """Mean IoU with own masks (interval over images), with shuffled masks, and the IoU of each class."""

    images: int
    own: Estimate
    shuffled: Permutation
    own_iou: tuple[float, ...]
    shuffled_iou: tuple[float, ...]
    """Per class, over all pairs of an image with another's mask."""

    def document(self, classes: Sequence[str]) -> dict[str, Any]:
        """For JSON."""
        named = {
            name: {c: None if np.isnan(v) else float(v) for c, v in zip(classes, values, strict=True)}
            for name, values in (("own_iou", self.own_iou), ("shuffled_iou", self.shuffled_iou))
        }
        return {"images": self.images, "own": self.own.document(), "shuffled": self.shuffled.document(), **named}


def steering(counts: Counts, draws: int, permutations: int, confidence: float, seed: int, item: str) -> Steering:
    """Own against shuffled masks from `pair_counts` of n >= 2 images (n, n, classes, classes).

    Counts are summed over images before the IoU is taken. Bootstrap over images; permutations of whole masks.
    """
    n = len(counts)
    rows = np.arange(n)
    other = ~np.eye(n, dtype=bool)
    return Steering(
        images=n,
        own=bootstrap(lambda r: mean_iou(counts[r, r].sum(axis=0)), n, draws, confidence, seed, item),
        shuffled=permutation_test(
            lambda order: mean_iou(counts[rows, order].sum(axis=0)), n, permutations, confidence, seed, item
        ),
        own_iou=tuple(iou(counts[rows, rows].sum(axis=0)).tolist()),
        shuffled_iou=tuple(iou(counts[other].sum(axis=0)).tolist()),
    )
