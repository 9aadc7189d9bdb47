"""Intervals of the drift controls: over folds, over groups of tiles, of a quotient; and what an interval tells.

All are Student's t, for folds and groups are few: the percentile bootstrap of three groups covers 0.72 where it says
0.95. Values that are all alike give an interval without width, which tells nothing: a few equal values are no
measure of how much they vary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tasks.learn.metrics import Value

Numbers = NDArray[np.float64]
Cell = dict[str, Value]

ROUNDING = 1e-9
"""Deviations and widths below this are rounding, and taken as none."""


@dataclass(frozen=True)
class Sampled:
    """An estimate, the values (n,) whose scatter says how sure it is, and the estimate's variance as a share of
    theirs; `unit` says what n counts, which alone has a deviation that people may read."""

    estimate: float
    values: Numbers
    share: float
    unit: str

    def covariance(self, other: "Sampled") -> float:
        """Of this estimate and `other`, of the same folds or groups."""
        n = len(self.values)
        spread = (self.values - self.values.mean()) @ (other.values - other.values.mean()) / (n - 1)
        return float(spread) * self.share if abs(spread) > ROUNDING**2 else 0.0


def folds(values: Sequence[float] | Numbers) -> Sampled:
    """The mean of one value a fold. Folds share training tiles, so that the plain variance of their mean, s²/k, is
    too small; it is s² (1/k + n_test/n_train), here 1/k + 1/(k - 1) (Nadeau & Bengio, Machine Learning 52, 2003)."""
    known, k = np.asarray(values, dtype=np.float64), len(values)
    return Sampled(float(known.mean()), known, 1 / k + 1 / (k - 1) if k > 1 else 0.0, "fold")


def groups(whole: float, without: Sequence[float] | Numbers) -> Sampled:
    """An estimate `whole` from all groups and `without` (g,) each of them in turn: the jackknife's pseudo-values
    g whole - (g - 1) without scatter as independent estimates would (Tukey, Annals of Mathematical Statistics 29,
    1958; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, eq. 11.14)."""
    g = len(without)
    return Sampled(float(whole), g * whole - (g - 1) * np.asarray(without, dtype=np.float64), 1 / g, "group")


def interval(of: Sampled, confidence: float, most: float = 1.0, least: float = 0.0) -> Cell:
    """Mean, sample standard deviation (over folds; None over groups, whose pseudo-values nobody measured), Student-t
    interval cut to [least, most], and n. No interval of fewer than two values."""
    n = len(of.values)
    if n < 2:
        return {"mean": of.estimate, "sd": None, "low": None, "high": None, "n": float(n)}
    half = _t(confidence, n) * float(np.sqrt(of.covariance(of)))
    sd = float(np.sqrt(of.covariance(of) / of.share)) if of.unit == "fold" else None
    ends = {"low": max(of.estimate - half, least), "high": min(of.estimate + half, most)}
    return {"mean": of.estimate, "sd": sd, **ends, "n": float(n)}


def difference(of: Sampled, confidence: float) -> Cell:
    """The interval of a difference of two shares, which lies in [-1, 1]."""
    return interval(of, confidence, 1.0, -1.0)


def quotient(above: Sampled, below: Sampled, confidence: float) -> Cell:
    """`value` of above / below, None where the divisor is 0 or less, with Fieller's interval (Fieller, Journal of the
    Royal Statistical Society B 16, 1954). No interval where the divisor is not told from 0: the quotient may then be
    anything."""
    a, b, n = above.estimate, below.estimate, len(above.values)
    found: Cell = {"value": a / b if b > 0 else None, "low": None, "high": None}
    if n < 2 or b <= 0:
        return found
    t2 = _t(confidence, n) ** 2
    lead = b * b - t2 * below.covariance(below)
    if lead <= 0:
        return found
    half = a * b - t2 * above.covariance(below)
    root = float(np.sqrt(max(half * half - lead * (a * a - t2 * above.covariance(above)), 0.0)))
    return {**found, "low": (half - root) / lead, "high": (half + root) / lead}


def _t(confidence: float, n: int) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, n - 1))


def without_width(cell: Mapping[str, Value]) -> bool:
    """Whether there is an interval and it is one point, as that of a few equal values is."""
    low, high = cell["low"], cell["high"]
    return low is not None and high is not None and high - low < ROUNDING


def sign(cell: Mapping[str, Value]) -> int:
    """1 where the interval of a difference lies above 0, -1 where below; else 0, as for none or one without width."""
    low, high = cell["low"], cell["high"]
    if low is None or high is None or without_width(cell):
        return 0
    return int(low > 0) - int(high < 0)
