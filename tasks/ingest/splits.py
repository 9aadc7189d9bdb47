"""Splits by group: whole smears, frames, slides or patients on one side, spread evenly by label.

Greedy: the test groups are those whose labels together look most like all labels; the others go, largest
and most uneven first, to the fold that stays most even (the rule of scikit-learn's StratifiedGroupKFold).
Nothing is drawn, ties go by name, so the order of the input does not matter.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.ingest.params import IngestParams

Counts = dict[str, NDArray[np.float64]]
Place = tuple[str, int]
"""("train" | "test", fold), fold -1 for test."""


def check_groups(where: str, groups: set[str], params: IngestParams) -> None:
    """Raise `InputError` where `groups` cannot be split as the params ask."""
    if not isinstance(params.test_groups, int):
        lost = sorted(set(params.test_groups) - groups)
        if lost:
            wrong = f"no usable file of the test group {lost[0]!r}"
            raise InputError(fault(where, wrong, f"one of {', '.join(sorted(groups))}", "mend test_groups"))
    test = params.test_groups if isinstance(params.test_groups, int) else len(set(params.test_groups))
    if test + params.folds > len(groups):
        expected = f"{test} for the test and one for each of {params.folds} folds"
        raise InputError(fault(where, f"{len(groups)} groups", expected, "lower folds or test_groups"))


def split(group_labels: Mapping[str, Sequence[str]], params: IngestParams) -> dict[str, Place]:
    """Where each group goes; `group_labels` are the labels of its tiles, one a tile, empty for unknown."""
    counts = _counts(group_labels)
    asked = params.test_groups
    test = list(_alike(counts, asked)) if isinstance(asked, int) else sorted(set(asked) & counts.keys())
    training = {name: count for name, count in counts.items() if name not in test}
    return {**dict.fromkeys(test, ("test", -1)), **{g: ("train", k) for g, k in _folds(training, params.folds).items()}}


def _counts(group_labels: Mapping[str, Sequence[str]]) -> Counts:
    """How many tiles of each label a group has, as a vector over all labels."""
    names = sorted({label for labels in group_labels.values() for label in labels})
    return {
        group: np.array([sum(label == name for label in group_labels[group]) for name in names], float)
        for group in sorted(group_labels)
    }


def _alike(counts: Counts, number: int) -> list[str]:
    """`number` groups, taken one by one, whose shares of the labels are nearest to those of all groups."""
    total = sum(counts.values(), np.zeros(len(next(iter(counts.values()), []))))
    wanted = total / max(total.sum(), 1)
    chosen: list[str] = []
    held = np.zeros_like(total)
    for _ in range(number):
        rest = [g for g in counts if g not in chosen]
        best = min(
            rest, key=lambda g: (float(np.abs((held + counts[g]) / max((held + counts[g]).sum(), 1) - wanted).sum()), g)
        )
        chosen.append(best)
        held = held + counts[best]
    return chosen


def _folds(counts: Counts, folds: int) -> dict[str, int]:
    """A fold for each group; every fold gets one as long as there are enough groups."""
    order = sorted(counts, key=lambda g: (-float(np.std(counts[g])), -float(counts[g].sum()), g))
    total = sum(counts.values(), np.zeros(len(next(iter(counts.values()), []))))
    held = np.zeros((folds, len(total)))
    members = [0] * folds
    out: dict[str, int] = {}
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        empty = [k for k in range(folds) if not members[k]]
        allowed = empty if len(empty) >= left else range(folds)
        out[group] = min(allowed, key=lambda k: _unevenness(held, total, counts[group], k, members[k]))
        held[out[group]] += counts[group]
        members[out[group]] += 1
    return out


def _unevenness(
    held: NDArray[np.float64], total: NDArray[np.float64], count: NDArray[np.float64], fold: int, members: int
) -> tuple[float, float, int, int]:
    """How uneven the folds' shares of each label are once `count` joins `fold`; then size, groups, number."""
    after = held.copy()
    after[fold] += count
    shares = after / np.maximum(total, 1)
    return round(float(shares.std(axis=0).mean()), 12), float(after[fold].sum()), members, fold
