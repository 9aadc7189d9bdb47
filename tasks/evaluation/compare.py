"""Sets of features set against each other, all of one size, in one scale, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.distances import frechet, kernel_distance
from tasks.evaluation.intervals import half_sampling
from tasks.evaluation.manifold import fidelity, two_sets
from tasks.evaluation.params import EvaluateParams
from tasks.rng import generator

Features = NDArray[np.float64]
Groups = NDArray[np.int64]
METRICS = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage")
RANGES = {
    "frechet": (0.0, np.inf),
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
    "density": (0.0, np.inf),
    "coverage": (0.0, 1.0),
}
"""What a metric can be; the ends of an interval are cut to it."""

PAIRS = (
    ("synthetic", "real_test"),
    ("synthetic", "real_train"),
    ("real_train", "real_test"),
    ("real_train_half", "real_train_other_half"),
    ("blurred", "real_test"),
    ("shuffled_pixels", "real_test"),
    ("gaussian_noise", "real_test"),
    ("uniform_noise", "real_test"),
)
"""(candidate, reference), the question first and then the baselines from best to worst."""


CONTRASTS = (
    ("synthetic", "real_train"),
    ("gaussian_noise", "real_train"),
    ("synthetic", "blurred"),
    ("synthetic", "gaussian_noise"),
)
"""(candidate, other): by how much farther from held-out tissue the first is than the second."""


@dataclass(frozen=True)
class Sample:
    """Features (n, d) and, for each row, a number shared by rows that depend on each other (n,)."""

    features: Features
    groups: Groups

    def take(self, rows: NDArray[np.int64]) -> "Sample":
        """The sample of `rows`."""
        return Sample(self.features[rows], self.groups[rows])


def normalised(sets: Mapping[str, Sample], reference: str) -> dict[str, Sample]:
    """All sets shifted and scaled alike, so that `reference` has mean 0 and mean variance 1 over its features.

    One factor for all features: their directions and ratios stay, and distances no longer depend on the
    arbitrary scale of a network's last layer.
    """
    features = sets[reference].features
    centre, scale = features.mean(axis=0), np.sqrt(features.var(axis=0).mean())
    return {name: Sample((s.features - centre) / scale, s.groups) for name, s in sets.items()}


def equal_sets(sets: Mapping[str, Sample], params: EvaluateParams) -> dict[str, Sample]:
    """Every set cut to one size at random, and two halves of `real_train` of that size that share no group.

    The size is that of the smallest set, of the smaller half, or `max_tiles`: finite-sample bias differs with n, so
    that only equal sizes compare.
    """
    halves = two_sets(sets["real_train"].groups, params.seed, "halves")
    n = min(*(len(s.groups) for s in sets.values()), *map(len, halves), params.max_tiles)
    orders = {name: generator(params.seed, name, "selection").permutation(len(s.groups)) for name, s in sets.items()}
    cut = {name: s.take(np.sort(orders[name][:n])) for name, s in sets.items()}
    for name, rows in zip(("real_train_half", "real_train_other_half"), halves, strict=True):
        order = generator(params.seed, name, "selection").permutation(len(rows))
        cut[name] = sets["real_train"].take(rows[np.sort(order[:n])])
    return cut


def principal(features: Features, dimensions: int) -> Features:
    """The directions (d, r) of greatest variance of `features` (n, d), r = min(dimensions, n, d), orthonormal.

    Fréchet's distance is taken of what `features @ principal` sees, so that few tiles still carry a covariance.
    """
    return np.linalg.svd(features - features.mean(axis=0), full_matrices=False)[2][:dimensions].T


def compare(candidate: Sample, reference: Sample, basis: Features, params: EvaluateParams, item: str) -> dict[str, Any]:
    """All of `METRICS` of `candidate` against `reference`, each with its interval; see `half_sampling`.

    Fréchet's distance is that of the features times `basis` (d, r); the others see all of them.
    """
    k = params.neighbours

    def statistic(rows: Groups, others: Groups) -> list[float]:
        fake, real = candidate.features[rows], reference.features[others]
        shares = fidelity(real, fake, k)
        return [frechet(real @ basis, fake @ basis), kernel_distance(real, fake), *vars(shares).values()]

    groups = candidate.groups, reference.groups
    estimates = half_sampling(statistic, groups, params.draws, params.confidence, params.seed, item)
    documents = {name: e.document() for name, e in zip(METRICS, estimates, strict=True)}
    for name, (least, most) in RANGES.items():
        documents[name] = {k: None if v is None else min(max(v, least), most) for k, v in documents[name].items()}
    return documents


def comparisons(sets: Mapping[str, Sample], basis: Features, params: EvaluateParams) -> list[dict[str, Any]]:
    """One entry for each of `PAIRS`, from sets of equal size."""
    return [
        {
            "candidate": candidate,
            "reference": reference,
            "tiles": len(sets[candidate].groups),
            **compare(sets[candidate], sets[reference], basis, params, f"{candidate} {reference}"),
        }
        for candidate, reference in PAIRS
    ]


def contrasts(sets: Mapping[str, Sample], basis: Features, params: EvaluateParams) -> list[dict[str, Any]]:
    """One entry for each of `CONTRASTS`: Fréchet(candidate, test) - Fréchet(other, test) with its interval.

    Both distances of a draw see the same half of the held-out tiles, so that what they share cancels: two intervals
    may overlap and the difference still be told from 0.
    """
    return [
        {
            "candidate": first,
            "other": second,
            "reference": "real_test",
            "frechet": _difference(sets, first, second, basis, params),
        }
        for first, second in CONTRASTS
    ]


def _difference(
    sets: Mapping[str, Sample], first: str, second: str, basis: Features, params: EvaluateParams
) -> dict[str, Any]:
    trio = [sets[name] for name in (first, second, "real_test")]
    one, two, real = (sample.features @ basis for sample in trio)

    def statistic(ours: Groups, theirs: Groups, test: Groups) -> list[float]:
        return [frechet(one[ours], real[test]) - frechet(two[theirs], real[test])]

    groups, item = [sample.groups for sample in trio], f"{first} less {second}"
    return half_sampling(statistic, groups, params.draws, params.confidence, params.seed, item)[0].document()
