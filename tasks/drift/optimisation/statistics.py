"""From the folds' histories and scores to curves, averages and paired differences with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.drift.optimisation.cases import Case, cases_of
from tasks.drift.params import OptimisationParams
from tasks.drift.statistics import Cell, difference, folds, interval, sign
from tasks.learn.scores import main_metric

Facts = Mapping[str, Mapping[str, Any]]
"""What the items' receipts say, by item."""
Points = dict[int, float]
"""Validation metric by epoch."""

Groups = Mapping[str, Mapping[str, int]]
"""By intensity how many groups (smears, frames, slides) the tiles of each role are of, over all folds."""

DIFFERENCES = {"average": "", "final": ", last epoch", "test": ", test tiles"}
"""What is compared between settings, and how `what` says so."""


def points_of(fact: Mapping[str, Any], metric: str) -> Points:
    """The validation values of one fold by epoch."""
    return {int(e): float(v) for e, name, v in fact["history"] if name == f"validation_{metric}"}


def folds_of(facts: Facts, case: Case) -> dict[int, Mapping[str, Any]]:
    """The facts of a case by fold."""
    found = {Case.of(item)[1]: fact for item, fact in facts.items() if Case.of(item)[0] == case}
    return {fold: found[fold] for fold in sorted(found)}


def values_of(facts: Facts, case: Case, metric: str, what: str) -> dict[int, float]:
    """One number a fold: the `average` over the validation points, the `final` one, or that of the `test` tiles.
    Folds without one are left out."""
    found: dict[int, float | None] = {}
    for fold, fact in folds_of(facts, case).items():
        points = points_of(fact, metric)
        if what == "test":
            found[fold] = fact["headline"]["test"][metric]
        elif points:
            found[fold] = points[max(points)] if what == "final" else float(np.mean(list(points.values())))
    return {fold: value for fold, value in found.items() if value is not None}


def curve(facts: Facts, case: Case, metric: str, confidence: float) -> list[dict[str, Any]]:
    """The spread over the folds at each validation point; `step` is the optimiser's, the folds' mean, rounded."""
    own = folds_of(facts, case).values()
    points = [points_of(fact, metric) for fact in own]
    steps = float(np.mean([fact["steps_per_epoch"] for fact in own]))
    epochs = sorted({epoch for fold in points for epoch in fold})
    return [
        {"epoch": e, "step": round(e * steps), **interval(folds([fold[e] for fold in points if e in fold]), confidence)}
        for e in epochs
    ]


def _summary(facts: Facts, case: Case, params: OptimisationParams) -> dict[str, Any]:
    metric, confidence = main_metric(params), params.confidence
    whole = [v for fact in folds_of(facts, case).values() for v in points_of(fact, metric).values()]
    cells = {
        what: _cell(list(values_of(facts, case, metric, what).values()), confidence)
        for what in ("average", "final", "test")
    }
    return {
        "setting": case.setting,
        "intensity": case.intensity,
        "exposure": params.intensities[case.intensity],
        "curve": curve(facts, case, metric, confidence),
        **cells,
        "sd_over_points_and_folds": float(np.std(whole, ddof=1)) if len(whole) > 1 else None,
    }


def _cell(values: Sequence[float], confidence: float) -> Cell:
    """The interval over folds, of which none may have a value."""
    if not values:
        return {"mean": None, "sd": None, "low": None, "high": None, "n": 0.0}
    return interval(folds(values), confidence)


def paired(first: Mapping[int, float], second: Mapping[int, float], confidence: float) -> Cell:
    """The spread of `first` - `second`, two shares, over the folds that both have."""
    shared = sorted(set(first) & set(second))
    if not shared:
        return _cell([], confidence)
    return difference(folds([first[fold] - second[fold] for fold in shared]), confidence)


def _differences(facts: Facts, params: OptimisationParams, groups: Groups) -> list[dict[str, Any]]:
    """Paired differences, told apart where the interval leaves out 0 and its tiles are of two groups or more: models
    that agree on one smear tell nothing of other smears."""
    found, metric = [], main_metric(params)
    for name in params.intensities:
        pairs = [("learned", "frozen"), ("direct", "frozen")]
        for (first, second), what in ((p, w) for p in pairs for w in DIFFERENCES):
            if first == "direct" and name not in params.raw_intensities:
                continue
            sides = [values_of(facts, _case(params, s, name), metric, what) for s in (first, second)]
            value = paired(sides[0], sides[1], params.confidence)
            judged = groups[name]["test" if what == "test" else "validation"]
            named = {"intensity": name, "what": f"{first} - {second}{DIFFERENCES[what]}", "on": what}
            told = judged > 1 and sign(value) != 0
            found.append({**named, "groups": judged, "value": value, "told_apart": told})
    return found


def _case(params: OptimisationParams, setting: str, intensity: str) -> Case:
    return next(c for c in cases_of(params) if (c.setting, c.intensity) == (setting, intensity))


def _theta(facts: Facts, params: OptimisationParams) -> dict[str, dict[str, list[float]]]:
    """Final theta by intensity and group, the mean over the folds."""
    out = {}
    for case in cases_of(params):
        if case.setting == "learned":
            folds = [fact["theta"] for fact in folds_of(facts, case).values()]
            out[case.intensity] = {g: np.mean([f[g] for f in folds], axis=0).tolist() for g in folds[0]}
    return out


def document(facts: Facts, params: OptimisationParams, groups: Groups, notes: Sequence[str]) -> dict[str, Any]:
    """`optimisation.json`."""
    cases = cases_of(params)
    frozen = next(fact["theta"] for item, fact in sorted(facts.items()) if Case.of(item)[0].setting == "frozen")
    return {
        "task": params.task,
        "main": main_metric(params),
        "confidence": params.confidence,
        "seed": params.train.seed,
        "folds": sorted({Case.of(item)[1] for item in facts}),
        "groups_learned": list(params.groups),
        "settings": [_summary(facts, case, params) for case in cases],
        "differences": _differences(facts, params, groups),
        "theta": _theta(facts, params),
        "theta_initial": frozen,
        "notes": list(notes),
    }
