"""Fidelity and coverage from nearest neighbours in a feature space.

Improved precision and recall: Kynkäänniemi et al., NeurIPS 2019 (thesis A, eq. 5.10-5.12). Density and
coverage: Naeem et al., ICML 2020. The k-th nearest neighbour of a point of a set never counts the point
itself. Distances are Euclidean, in float64, computed in blocks so that memory is a block by a set.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Features = NDArray[np.float64]
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
