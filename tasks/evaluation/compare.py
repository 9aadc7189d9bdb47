"""Sets of features set against each other, all of one size, in one scale, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from tasks.evaluation.distances import frechet, kernel_distance
from tasks.evaluation.intervals import half_sampling
from tasks.evaluation.manifold import fidelity, nearest, radii
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
    """Every set cut to one size at random, and two disjoint halves of `real_train` of that size beside them.

    The size is that of the smallest set, of half of `real_train`, or `max_tiles`: finite-sample bias differs
    with n, so that only equal sizes compare.
    """
    n = min(*(len(s.groups) for s in sets.values()), len(sets["real_train"].groups) // 2, params.max_tiles)
    orders = {name: generator(params.seed, name, "selection").permutation(len(s.groups)) for name, s in sets.items()}
    cut = {name: s.take(np.sort(orders[name][:n])) for name, s in sets.items()}
    whole, order = sets["real_train"], orders["real_train"]
    cut["real_train_half"] = whole.take(np.sort(order[:n]))
    cut["real_train_other_half"] = whole.take(np.sort(order[n : 2 * n]))
    return cut


def compare(candidate: Sample, reference: Sample, params: EvaluateParams, item: str) -> dict[str, Any]:
    """All of `METRICS` of `candidate` against `reference`, each with its interval; see `half_sampling`."""
    k = params.neighbours

    def statistic(rows: Groups, others: Groups) -> list[float]:
        fake, real = candidate.features[rows], reference.features[others]
        shares = fidelity(real, fake, k)
        return [frechet(real, fake), kernel_distance(real, fake), *vars(shares).values()]

    groups = candidate.groups, reference.groups
    estimates = half_sampling(statistic, groups, params.draws, params.confidence, params.seed, item)
    documents = {name: e.document() for name, e in zip(METRICS, estimates, strict=True)}
    for name, (least, most) in RANGES.items():
        documents[name] = {k: None if v is None else min(max(v, least), most) for k, v in documents[name].items()}
    return documents


def comparisons(sets: Mapping[str, Sample], params: EvaluateParams) -> list[dict[str, Any]]:
    """One entry for each of `PAIRS`, from sets of equal size."""
    return [
        {
            "candidate": candidate,
            "reference": reference,
            "tiles": len(sets[candidate].groups),
            **compare(sets[candidate], sets[reference], params, f"{candidate} {reference}"),
        }
        for candidate, reference in PAIRS
    ]


def copy_ratios(queries: Features, originals: Features, k: int) -> Features:
    """Distance of each query to its nearest original over that original's own distance to its k-th neighbour.

    A copy comes out near 0, an independent draw of the same law near 1, wherever the originals lie dense or thin.
    Where originals coincide (radius 0), a query on them gets 0 and any other infinity.
    """
    index, distance = nearest(queries, originals, 1)
    near, scale = distance[:, 0], radii(originals, k)[index[:, 0]]
    far = np.where(near > 0, np.inf, 0.0)
    return np.asarray(np.divide(near, scale, out=far, where=scale > 0))


def copy_test(synthetic: Features, heldout: Features, originals: Features, params: EvaluateParams) -> dict[str, Any]:
    """Are synthetic tiles nearer to training tiles than held-out real tiles are?

    A tile is flagged where its ratio lies below the held-out tiles' `alarm_quantile`; Fisher's exact test asks
    whether synthetic tiles are flagged more often than held-out ones. Weak on few tiles: a clean result is
    no proof.
    """
    found, expected = (copy_ratios(q, originals, params.neighbours) for q in (synthetic, heldout))
    threshold = float(np.quantile(expected, params.alarm_quantile))
    flagged, baseline = int((found < threshold).sum()), int((expected < threshold).sum())
    table = [[flagged, len(found) - flagged], [baseline, len(expected) - baseline]]
    return {
        "threshold": threshold,
        "flagged": flagged,
        "tiles": len(found),
        "heldout_flagged": baseline,
        "heldout_tiles": len(expected),
        "median_ratio": float(np.median(found)),
        "heldout_median_ratio": float(np.median(expected)),
        "p_value": float(fisher_exact(table, alternative="greater").pvalue),
    }
