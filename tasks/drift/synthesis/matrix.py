"""The matrices of drift synthesis as a document: cells, rankings, stars, drops (thesis A, fig. 3.5, 3.6, A.1-A.5).

Every number but `test` is of validation groups: each fold's model on its own. The conclusions that compare models
are drawn only where intervals bear them; see `NOTES`.
"""

from typing import Any

import numpy as np

from tasks.drift.metric import Numbers
from tasks.drift.params import ScoringParams
from tasks.drift.statistics import Cell, difference, folds, groups, interval, quotient, sign
from tasks.drift.synthesis.score import corruptions, data_models
from tasks.drift.synthesis.tally import Tally, best_shares

NOTES = (
    "A cell is the mean over cross-validation folds, each fold's model scored on its own groups, with sample standard "
    "deviation and Student-t interval. Folds share training tiles: variances are corrected for it (Nadeau and Bengio "
    "2003), and the intervals stay approximate.",
    "All trainings share one seed: initial weights and the order of tiles are one draw. What another draw would change "
    "is in no interval.",
    "Rankings and stars choose by these cells. `test` holds the scores on the groups that chose nothing and trained "
    "nothing: report those for what was chosen. Their intervals are Student's t over those groups (jackknife), of "
    "these very models; one group has none.",
    "best_share is the share of bootstrap resamples of whole groups in which a training data model is best; with few "
    "groups it moves in large steps.",
    "A star is told apart where its paired difference to each rival has an interval above 0, of some width, and "
    "best_share reaches the confidence. Where it is not, another training data model may be as good, or the few folds "
    "are alike and do not say how sure the choice is.",
    "Averages over data models include the model's own; averages over corruptions in rankings include identity. "
    "Drops compare the own data model with all others, and identity with the corruptions alone.",
    "The worst pair is the largest of many drops, so its size is too large by chance; it shows what can happen.",
    "Corruptions are laid over finished views and are not what a camera does: a drop under them predicts no drop "
    "under another data model, and the ratio of the two drops is one of these settings, not of nature. It has an "
    "interval (Fieller's, over folds) only where the drop under data models is told from 0.",
)


def document(tally: Tally, test: Tally | None, params: ScoringParams, confidence: float, seed: int) -> dict[str, Any]:
    """`matrix.json` of trained models without its heading; `test` is the tally of the held-out groups."""
    own, by = parts(tally, params)
    orders = {"data_models": columns(own), "corruptions": {s: columns(part) for s, part in by.items()}}
    ranked = {
        "data_models": ranking(own, params, confidence, seed),
        "corruptions": {s: ranking(part, params, confidence, seed) for s, part in by.items()},
    }
    return {
        "matrix": cells(own, confidence),
        "corrupted": {s: cells(part, confidence) for s, part in by.items()},
        "test": None if test is None else held_out(test.pick(own.conditions), confidence),
        "rankings": {**ranked, "columns": orders},
        "stars": {
            "data_models": stars_of(own, params, confidence, seed),
            "corruptions": {s: stars_of(part, params, confidence, seed) for s, part in by.items()},
        },
        "drops": {**drops(own, by, confidence), "top3_shared": shared_top(ranked)},
        "notes": list(NOTES),
    }


def parts(tally: Tally, params: ScoringParams) -> tuple[Tally, dict[str, Tally]]:
    """What is scored under data models, and by severity what is under identity and the corruptions."""
    severities = params.severities if params.corruptions else ()
    by = {str(s): [c for c in corruptions(params) if c.severity in (0, s)] for s in severities}
    return tally.pick(data_models(params)), {s: tally.pick(conditions) for s, conditions in by.items()}


def cells(tally: Tally, confidence: float) -> list[list[Cell]]:
    """Of each row and condition the spread over members."""
    return [[interval(folds(cell), confidence) for cell in row.T] for row in tally.of_members()]


def held_out(tally: Tally, confidence: float) -> dict[str, Any]:
    """Means over the folds' models on the test groups, with intervals over those groups where there are several."""
    return {"matrix": over_groups(tally, confidence), "groups": len(tally.groups), "tiles": tally.tiles}


def over_groups(tally: Tally, confidence: float) -> list[list[Cell]]:
    """Of each row and condition the members' mean with its interval over groups."""
    means, without = tally.mean(), tally.without_each()
    rows, columns = means.shape
    return [[interval(groups(means[r, c], without[:, r, c]), confidence) for c in range(columns)] for r in range(rows)]


def ranking(tally: Tally, params: ScoringParams, confidence: float, seed: int) -> list[dict[str, Any]]:
    """Rows by their mean over all conditions, best first; ties in the order of the rows (thesis A, table A.1)."""
    of_folds = tally.of_members().mean(axis=2)
    shares = best_shares(tally.resampled(params.resamples, seed).mean(axis=2, keepdims=True))[:, 0]
    return [
        {
            "rank": rank,
            "data_model": tally.rows[r],
            **interval(folds(of_folds[r]), confidence),
            "best_share": float(shares[r]),
        }
        for rank, r in enumerate(order(of_folds.mean(axis=1)), 1)
    ]


def order(means: Numbers) -> list[int]:
    """Row numbers by falling mean; ties, to 1e-12, in the order of the rows."""
    return [int(i) for i in np.argsort(-np.round(means, 12), kind="stable")]


def columns(tally: Tally) -> dict[str, list[str]]:
    """Of each condition the rows' names, best first (tables A.2-A.5)."""
    means = tally.of_members().mean(axis=1)
    return {how.name: [tally.rows[r] for r in order(means[:, c])] for c, how in enumerate(tally.conditions)}


def stars_of(tally: Tally, params: ScoringParams, confidence: float, seed: int) -> dict[str, dict[str, Any]]:
    """Of each condition the best row, and whether it is told apart from all others.

    The best of several is claimed only where it beats each rival at the level: then the choice of the best costs no
    confidence (intersection-union test: Berger, Technometrics 1982).
    """
    values, shares = tally.of_members(), best_shares(tally.resampled(params.resamples, seed))
    out = {}
    for c, how in enumerate(tally.conditions):
        best, second, *_ = order(values[:, :, c].mean(axis=1))
        rivals = [r for r in range(len(values)) if r != best]
        ahead = {r: difference(folds(values[best, :, c] - values[r, :, c]), confidence) for r in rivals}
        apart = all(sign(ahead[r]) > 0 for r in rivals) and shares[best, c] >= confidence
        out[how.name] = {
            "train": tally.rows[best],
            "runner_up": tally.rows[second],
            "difference": ahead[second],
            "best_share": float(shares[best, c]),
            "told_apart": bool(apart),
        }
    return out


def drops(own: Tally, by: dict[str, Tally], confidence: float) -> dict[str, Any]:
    """From the model's own view to others, averaged over all rows: by data model, by corruption, and their ratio."""
    same, other = _own_and_others(own.of_members())
    found: dict[str, Any] = {"data_models": _drop(same, other, confidence), "corruptions": {}, "ratio": {}}
    mild = folds(same - other)
    for severity, part in by.items():
        same, other = _first_and_others(part.of_members())
        found["corruptions"][severity] = _drop(same, other, confidence)
        found["ratio"][severity] = quotient(folds(same - other), mild, confidence)
    return found


def _drop(same: Numbers, other: Numbers, confidence: float) -> dict[str, Cell]:
    return {
        "same": interval(folds(same), confidence),
        "other": interval(folds(other), confidence),
        "drop": difference(folds(same - other), confidence),
    }


def _own_and_others(values: Numbers) -> tuple[Numbers, Numbers]:
    """Means of the diagonal and of all else over rows and conditions of (rows, any, conditions), square."""
    own = np.eye(len(values), dtype=bool)
    return values.transpose(1, 0, 2)[:, own].mean(axis=1), values.transpose(1, 0, 2)[:, ~own].mean(axis=1)


def _first_and_others(values: Numbers) -> tuple[Numbers, Numbers]:
    """Means of the first condition and of all others over rows and conditions."""
    return values[:, :, 0].mean(axis=0), values[:, :, 1:].mean(axis=(0, 2))


def shared_top(rankings: dict[str, Any], most: int = 3) -> dict[str, list[str]]:
    """By severity the names among the first `most` under data models and under corruptions (thesis A, 3.3.1)."""
    first = [entry["data_model"] for entry in rankings["data_models"][:most]]
    tops = {s: {entry["data_model"] for entry in ranked[:most]} for s, ranked in rankings["corruptions"].items()}
    return {s: [name for name in first if name in top] for s, top in tops.items()}
