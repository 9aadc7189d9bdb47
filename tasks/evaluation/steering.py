"""Did the mask steer the image? A segmenter trained on real tiles looks at synthetic ones.

Its agreement with each image's own mask is set against its agreement with the masks of other images of the same
size (what class frequencies alone give; the same pixels count on both sides), and the gain of the one over the
other against the gain on real held-out tiles (the ceiling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Estimate, Permutation, bootstrap, permutation_test, tails
from tasks.evaluation.overlap import confusion, iou, mean_iou
from tasks.rng import generator

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]
Rows = NDArray[np.int64]


def strata(shapes: Sequence[tuple[int, ...]]) -> Rows:
    """A number for each shape (n,), equal for equal shapes; -1 for a shape that only one has."""
    known = sorted(set(shapes))
    return np.array([known.index(s) if shapes.count(s) > 1 else -1 for s in shapes], np.int64)


def pair_counts(masks: Sequence[Labels], predicted: Sequence[Labels], classes: int) -> Counts:
    """Confusion of every prediction with every mask of its shape: (n predictions, n masks, classes, classes).

    Pairs of unequal shape stay 0: they are never partners.
    """
    out = np.zeros((len(predicted), len(masks), classes, classes), np.int64)
    for i, guess in enumerate(predicted):
        for j, mask in enumerate(masks):
            if guess.shape == mask.shape:
                out[i, j] = confusion(mask, guess, classes)
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
    gain: float
    """Mean IoU with own masks less that with all others'."""
    gain_draws: tuple[float, ...]
    """The same of bootstrap resamples of the images."""

    def document(self, classes: Sequence[str]) -> dict[str, Any]:
        """For JSON, without the draws."""
        named = {
            name: {c: None if np.isnan(v) else float(v) for c, v in zip(classes, values, strict=True)}
            for name, values in (("own_iou", self.own_iou), ("shuffled_iou", self.shuffled_iou))
        }
        gain = None if np.isnan(self.gain) else self.gain
        own, shuffled = self.own.document(), self.shuffled.document()
        return {"images": self.images, "own": own, "shuffled": shuffled, "gain": gain, **named}


def steering(
    counts: Counts, groups: Rows, draws: int, permutations: int, confidence: float, seed: int, item: str
) -> Steering:
    """Own against shuffled masks from `pair_counts` of n images (n, n, classes, classes) of `strata` (n,), no -1.

    Counts are summed over images before the IoU is taken. Bootstrap over images; permutations of whole masks
    within a stratum. Raises `ValueError` for a stratum of one image.
    """
    n = len(counts)
    rows = np.arange(n)
    partners = (groups[:, None] == groups) & ~np.eye(n, dtype=bool)
    own = counts[rows, rows]
    others = np.einsum("ij,ijkl->ikl", partners / np.maximum(partners.sum(axis=1), 1)[:, None], counts)

    def gain(r: Rows) -> float:
        return mean_iou(own[r].sum(axis=0)) - mean_iou(others[r].sum(axis=0))

    rng = generator(seed, item, "gain")
    shuffled = permutation_test(
        lambda order: mean_iou(counts[rows, order].sum(axis=0)), groups, permutations, confidence, seed, item
    )
    return Steering(
        images=n,
        own=bootstrap(lambda r: mean_iou(own[r].sum(axis=0)), n, draws, confidence, seed, item),
        shuffled=shuffled,
        own_iou=tuple(iou(own.sum(axis=0)).tolist()),
        shuffled_iou=tuple(iou(counts[partners].sum(axis=0)).tolist()),
        gain=gain(rows),
        gain_draws=tuple(gain(rng.integers(0, n, n)) for _ in range(draws)),
    )


def ceiling_share(
    gain: float, draws: Sequence[float], ceiling: float, ceiling_draws: Sequence[float], confidence: float
) -> Estimate:
    """Gain on synthetic images over that on real tiles, (own - shuffled) / (real own - real shuffled).

    The interval is that of the ratios of independent bootstrap draws. All NaN where the real gain itself is not
    told from 0: a segmenter that does not see real annotation cannot judge.
    """
    undefined = Estimate(float("nan"), float("nan"), float("nan"))
    over, under = np.asarray(draws, np.float64), np.asarray(ceiling_draws, np.float64)
    if np.isnan([gain, ceiling]).any() or not min(ceiling, tails(under, confidence)[0]) > 0:
        return undefined
    ratios = np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)
    return Estimate(gain / ceiling, *tails(ratios, confidence))
