"""The one-row matrix of a given model: the same form, its intervals over groups instead of folds."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.drift.metric import Numbers
from tasks.drift.params import ScoringParams
from tasks.drift.statistics import Cell, Sampled, difference, groups, interval, quotient
from tasks.drift.synthesis.matrix import over_groups, parts
from tasks.drift.synthesis.tally import Tally

ALONE = (
    "One model is given, so nothing is spread over folds: intervals are Student's t over whole groups (jackknife), n "
    "counts groups, and one group gives none. They say nothing about another training.",
    "All tiles are scored; where the model was trained on some of them, its scores are too good.",
    "What the model was trained on is not known: drops are taken from the first data model named, its reference, and "
    "the corruptions are laid over that one's views.",
)


def document(tally: Tally, params: ScoringParams, confidence: float) -> dict[str, Any]:
    """`matrix.json` of one given model without its heading. No rankings and no stars: there is nothing to choose."""
    own, by = parts(tally, params)
    return {
        "matrix": over_groups(own, confidence),
        "corrupted": {s: over_groups(part, confidence) for s, part in by.items()},
        "test": None,
        "rankings": None,
        "stars": None,
        "drops": drops(own, by, confidence),
        "notes": list(ALONE),
    }


def drops(own: Tally, by: dict[str, Tally], confidence: float) -> dict[str, Any]:
    """From the reference to the other data models, from identity to the corruptions, and the drops' ratio."""
    found: dict[str, Any] = {"data_models": _drop(own, confidence), "corruptions": {}, "ratio": {}}
    for severity, part in by.items():
        found["corruptions"][severity] = _drop(part, confidence)
        found["ratio"][severity] = quotient(_over(part, _fall), _over(own, _fall), confidence)
    return {**found, "top3_shared": None}


def _over(tally: Tally, what: Callable[[Numbers], Numbers]) -> Sampled:
    """`what` of the conditions' values, which lie along the last axis, over the groups."""
    return groups(float(what(tally.mean()[0])), what(tally.without_each()[:, 0]))


def _first(values: Numbers) -> Numbers:
    return np.asarray(values[..., 0])


def _others(values: Numbers) -> Numbers:
    return np.asarray(values[..., 1:].mean(axis=-1))


def _fall(values: Numbers) -> Numbers:
    return np.asarray(_first(values) - _others(values))


def _drop(tally: Tally, confidence: float) -> dict[str, Cell]:
    return {
        "same": interval(_over(tally, _first), confidence),
        "other": interval(_over(tally, _others), confidence),
        "drop": difference(_over(tally, _fall), confidence),
    }
