"""Distances between two laws from samples of features: Fréchet's, and the kernel distance (squared MMD).

Fréchet: Dowson and Landau 1982; Heusel et al., NeurIPS 2017. Kernel: Binkowski et al., ICLR 2018. Both in
float64. The Fréchet distance of finite samples is biased upwards by about 1/n: compare equal n only; the
kernel distance is unbiased and may be negative.
"""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]


def _root_factor(features: Features) -> Features:
    """R with R^T R = the unbiased covariance of `features` (n, d): the triangle of a QR of the centred rows."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def frechet(a: Features, b: Features) -> float:
    """Squared Fréchet distance of the Gaussians fitted to `a` (n, d) and `b` (m, d), both n, m >= 2.

    |mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2), where the last trace is the nuclear norm of
    R_a R_b^T for any S = R^T R: no matrix square root, exact for singular covariances (n < d) too.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a covariance needs 2 points or more, got {len(a)} and {len(b)}")
    root_a, root_b = _root_factor(a), _root_factor(b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    shift = a.mean(axis=0) - b.mean(axis=0)
    return float(shift @ shift + (root_a**2).sum() + (root_b**2).sum() - 2 * cross)


def _kernel(a: Features, b: Features) -> Features:
    return np.asarray((a @ b.T / a.shape[1] + 1.0) ** 3)


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased squared MMD of `a` (n, d) and `b` (m, d), n, m >= 2, under the kernel (x.y / d + 1)^3."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"the unbiased estimate needs 2 points or more, got {n} and {m}")
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    mean_a = (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
    mean_b = (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(mean_a + mean_b - 2 * _kernel(a, b).mean())
