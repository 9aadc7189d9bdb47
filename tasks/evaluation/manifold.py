"""Fidelity and coverage from nearest neighbours in a feature space.

Improved precision and recall: Kynkäänniemi et al., NeurIPS 2019 (thesis A, eq. 5.10-5.12). Density and
coverage: Naeem et al., ICML 2020. The k-th nearest neighbour of a point of a set never counts the point
itself. Distances are Euclidean, in float64, computed in blocks so that memory is a block by a set.

Are synthetic tiles copies of training tiles? Distances to originals, calibrated inside the training tiles' own law.

Synthetic tiles follow the training slides, so tiles of any other slide are the wrong null: a mere shift between
slides would look like copying. The training tiles are therefore parted by whole spatial blocks into two sets. How
near the tiles of one set come to those of the other is the null; the synthetic tiles are held against that same
other set, so that law, size and density are alike. Then the sets change places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import fisher_exact

from tasks.evaluation.params import EvaluateParams
from tasks.rng import generator

Features = NDArray[np.float64]
Rows = NDArray[np.int64]
BLOCK_ROWS = 1024


def _blocks(rows: Features, columns: Features) -> Iterator[tuple[slice, Features]]:
    for start in range(0, len(rows), BLOCK_ROWS):
        window = slice(start, start + BLOCK_ROWS)
        yield window, cdist(rows[window], columns)


def radii(features: Features, k: int) -> Features:
    """Distance from each of n points (n, d) to its k-th nearest other point: (n,). Needs 1 <= k < n."""
    if not 1 <= k < len(features):
        raise ValueError(f"k = {k} needs more than {k} points, got {len(features)}")
    out = np.empty(len(features))
    for window, distances in _blocks(features, features):
        distances[np.arange(len(distances)), np.arange(window.start, window.start + len(distances))] = -1.0
        out[window] = np.partition(distances, k, axis=1)[:, k]
    return out


@dataclass(frozen=True)
class Fidelity:
    """Four shares: precision, recall and coverage in [0, 1], density >= 0 (1 where the laws are equal)."""

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(real: Features, fake: Features, k: int) -> Fidelity:
    """Precision, recall, density and coverage of `fake` (m, d) against `real` (n, d).

    * precision: share of fake points within the k-NN ball of at least one real point (eq. 5.11)
    * recall: share of real points within the k-NN ball of at least one fake point (eq. 5.12)
    * density: mean number of real balls that hold a fake point, over k
    * coverage: share of real balls that hold at least one fake point
    """
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    recalled = np.empty(len(real), bool)
    covered = np.empty(len(real), bool)
    balls = np.zeros(len(fake), np.int64)
    for window, distances in _blocks(real, fake):
        recalled[window] = (distances <= fake_radii[None, :]).any(axis=1)
        inside = distances <= real_radii[window, None]
        covered[window] = inside.any(axis=1)
        balls += inside.sum(axis=0)
    return Fidelity(
        precision=float((balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls.mean() / k),
        coverage=float(covered.mean()),
    )


def nearest(queries: Features, references: Features, k: int) -> tuple[NDArray[np.int64], Features]:
    """The k nearest of `references` (n, d) for each of `queries` (m, d): indices and distances (m, k), nearest first.

    Ties go to the lower index.
    """
    if not 1 <= k <= len(references):
        raise ValueError(f"k = {k} needs at least {k} references, got {len(references)}")
    index = np.empty((len(queries), k), np.int64)
    distance = np.empty((len(queries), k))
    for window, distances in _blocks(queries, references):
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        index[window] = order
        distance[window] = np.take_along_axis(distances, order, axis=1)
    return index, distance


def two_sets(groups: Rows, seed: int, item: str) -> tuple[Rows, Rows]:
    """Rows of two sets that part `groups` (n,), each whole; a coin for each pair of groups with successive numbers.

    Blocks are numbered slide by slide, so that both sets get the same share of every slide.
    """
    members = np.unique(groups, return_inverse=True)[1]
    pairs = (int(members.max()) + 2) // 2
    coin = generator(seed, item, "two sets").integers(0, 2, pairs)
    first = (members + coin[members // 2]) % 2 == 0
    return np.flatnonzero(first), np.flatnonzero(~first)


def copy_ratios(queries: Features, originals: Features, k: int) -> Features:
    """Distance of each query to its nearest original over that original's own distance to its k-th neighbour.

    A copy comes out near 0, an independent draw of the same law near 1, wherever the originals lie dense or thin.
    Where originals coincide (radius 0), a query on them gets 0 and any other infinity.
    """
    index, distance = nearest(queries, originals, 1)
    near, scale = distance[:, 0], radii(originals, k)[index[:, 0]]
    far = np.where(near > 0, np.inf, 0.0)
    return np.asarray(np.divide(near, scale, out=far, where=scale > 0))


def copy_test(synthetic: Features, originals: Features, groups: Rows, params: EvaluateParams) -> dict[str, Any]:
    """Are synthetic tiles (m, d) nearer to training tiles (n, d) than training tiles of other blocks are?

    `groups` (n,) numbers the spatial blocks of the training tiles. Against each of the `two_sets`, what lies below
    the `alarm_quantile` of the other set's ratios is flagged: an order statistic, for which Fisher's exact test is
    exact where tiles are independent. `p_value` is twice the smaller of the two directions (Bonferroni). Keys:
    `flagged` of `tiles` synthetic tiles in either look; `heldout_flagged` of `heldout_tiles` training tiles held
    back from the set they are looked at against; `expected` synthetic tiles flagged by chance; `detectable`, see
    there. Weak on few tiles: a clean result is no proof.
    """
    sets, k = two_sets(groups, params.seed, "copies"), params.neighbours
    nulls = [copy_ratios(originals[held], originals[kept], k) for held, kept in (sets, sets[::-1])]
    thresholds = [float(np.quantile(null, params.alarm_quantile, method="higher")) for null in nulls]
    looks = [copy_ratios(synthetic, originals[kept], k) < t for kept, t in zip(sets[::-1], thresholds, strict=True)]
    tiles, sizes = len(synthetic), [len(null) for null in nulls]
    chance = [int((null < t).sum()) for null, t in zip(nulls, thresholds, strict=True)]
    tests = [p_value(int(f.sum()), tiles, c, n) for f, c, n in zip(looks, chance, sizes, strict=True)]
    return {
        "thresholds": thresholds,
        "flagged": int((looks[0] | looks[1]).sum()),
        "tiles": tiles,
        "heldout_flagged": sum(chance),
        "heldout_tiles": sum(sizes),
        "expected": float(tiles * sum(c / n for c, n in zip(chance, sizes, strict=True))),
        "median_ratio": float(np.median(copy_ratios(synthetic, originals, k))),
        "heldout_median_ratio": float(np.median(np.concatenate(nulls))),
        "p_value": min(1.0, 2 * min(tests)),
        "detectable": detectable(tiles, chance, sizes, 1 - params.confidence),
    }


def p_value(flagged: int, tiles: int, chance: int, held_back: int) -> float:
    """Fisher's one-sided p that `flagged` of `tiles` is more often than `chance` of `held_back`."""
    table = [[flagged, tiles - flagged], [chance, held_back - chance]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def detectable(tiles: int, chance: Sequence[int], held_back: Sequence[int], alpha: float) -> float | None:
    """Smallest share in (0, 1] of copies among `tiles` that the test is sure to find at `alpha`; None where none is.

    A copy is flagged in one look, that at its original's set; of x + y - 1 copies, x lie in one or y in the other.
    """
    enough = [
        next((c for c in range(1, tiles + 1) if p_value(c, tiles, flagged, n) < alpha / 2), None)
        for flagged, n in zip(chance, held_back, strict=True)
    ]
    copies = sum(c - 1 for c in enough if c is not None) + 1
    return None if None in enough or copies > tiles else copies / tiles
