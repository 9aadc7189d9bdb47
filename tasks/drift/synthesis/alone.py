"""The one-row matrix of a given model: the same form, its intervals over groups instead of folds."""

from typing import Any

import numpy as np

from tasks.drift.params import ScoringParams
from tasks.drift.synthesis.matrix import parts
from tasks.drift.synthesis.tally import Cell, Numbers, Tally, percentile, ratio

ALONE = (
    "One model is given, so nothing is spread over folds: intervals are percentiles of bootstrap resamples of whole "
    "groups, and n counts groups. They say nothing about another training.",
    "All tiles are scored; where the model was trained on some of them, its scores are too good.",
    "What the model was trained on is not known: drops are taken from the first data model named, its reference, and "
    "the corruptions are laid over that one's views.",
)


def document(tally: Tally, params: ScoringParams, confidence: float, seed: int) -> dict[str, Any]:
    """`matrix.json` of one given model without its heading. No rankings and no stars: there is nothing to choose."""
    own, by = parts(tally, params)
    return {
        "matrix": [cells(own, params, confidence, seed)],
        "corrupted": {s: [cells(part, params, confidence, seed)] for s, part in by.items()},
        "test": None,
        "rankings": None,
        "stars": None,
        "drops": drops(own, by, params, confidence, seed),
        "notes": list(ALONE),
    }


def cells(tally: Tally, params: ScoringParams, confidence: float, seed: int) -> list[Cell]:
    """Of each condition the metric with the percentile interval over groups."""
    values, draws = _values(tally), tally.resampled(params.resamples, seed)[:, 0]
    return [percentile(v, draws[:, c], len(tally.groups), confidence) for c, v in enumerate(values)]


def _values(tally: Tally) -> Numbers:
    return np.asarray(tally.of_members()[0, 0])


def drops(own: Tally, by: dict[str, Tally], params: ScoringParams, confidence: float, seed: int) -> dict[str, Any]:
    """From the reference to the other data models, from identity to the corruptions, and the drops' ratio."""
    found: dict[str, Any] = {"data_models": _drop(own, params, confidence, seed), "corruptions": {}, "ratio": {}}
    mild = _fall(_values(own)[None])[0]
    for severity, part in by.items():
        found["corruptions"][severity] = _drop(part, params, confidence, seed)
        draws = [_fall(t.resampled(params.resamples, seed)[:, 0]) for t in (part, own)]
        value = float(_fall(_values(part)[None])[0] / mild) if mild > 0 else None
        found["ratio"][severity] = ratio(draws[0], draws[1], value, confidence)
    return {**found, "top3_shared": None}


def _fall(values: Numbers) -> Numbers:
    """The first condition less the mean of the others, along the last axis."""
    return np.asarray(values[..., 0] - values[..., 1:].mean(axis=-1))


def _drop(tally: Tally, params: ScoringParams, confidence: float, seed: int) -> dict[str, Cell]:
    values, draws = _values(tally), tally.resampled(params.resamples, seed)[:, 0]
    drawn = {"same": draws[:, 0], "other": draws[:, 1:].mean(axis=1), "drop": _fall(draws)}
    found = {"same": values[0], "other": values[1:].mean(), "drop": _fall(values[None])[0]}
    return {n: percentile(float(found[n]), drawn[n], len(tally.groups), confidence) for n in found}
