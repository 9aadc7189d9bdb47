"""What stands beside the weights and scores: `matrix.json`, figures, and what is told to the tracker."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift.corruptions import IDENTITY, corrupt
from tasks.drift.params import ScoringParams
from tasks.drift.synthesis import alone, figures, matrix
from tasks.drift.synthesis.chance import chance
from tasks.drift.synthesis.inputs import Inputs
from tasks.drift.synthesis.score import corruptions, data_models
from tasks.drift.synthesis.tally import Tally, tally
from tasks.drift.synthesis.worst import worst
from tasks.learn.data import Floats
from tasks.learn.scores import main_metric
from tasks.lineage.digest import pretty
from tasks.output import Job

Document = dict[str, Any]


def gather(job: Job, files: Sequence[str]) -> pd.DataFrame:
    """All items' scores as one table, written as `scores.parquet`."""
    whole = pa.concat_tables([pq.read_table(job.content / name) for name in files])
    with storage_faults(job.out):
        pq.write_table(whole, job.content / "scores.parquet")
    table: pd.DataFrame = whole.to_pandas()
    return table


def trained(scores: pd.DataFrame, inputs: Inputs, scoring: ScoringParams) -> Document:
    """`matrix.json` of models that were trained on each data model."""
    counted = {role: _tally(scores, inputs, scoring, scoring.data_models, role) for role in ("validation", "test")}
    whole, test = counted["validation"], counted["test"]
    if whole is None:
        raise RuntimeError("no validation scores")
    level, seed = inputs.params.confidence, inputs.params.train.seed
    heading = _heading(inputs, scoring, whole, scoring.data_models, whole.members, None)
    found = matrix.document(whole, test, scoring, level, seed)
    worst_pairs = _worst(scores, whole, inputs, scoring, None)
    return {**heading, "chance": _chance(scores, inputs), **found, "worst": worst_pairs}


def given(scores: pd.DataFrame, inputs: Inputs, scoring: ScoringParams, row: str, reference: str) -> Document:
    """`matrix.json` of one given model."""
    whole = _tally(scores, inputs, scoring, (row,), "validation")
    if whole is None:
        raise RuntimeError("no scores")
    found = alone.document(whole, scoring, inputs.params.confidence)
    heading = _heading(inputs, scoring, whole, (row,), (), reference)
    worst_pairs = _worst(scores, whole, inputs, scoring, reference)
    return {**heading, "chance": _chance(scores, inputs), **found, "worst": worst_pairs}


def _chance(scores: pd.DataFrame, inputs: Inputs) -> float:
    return chance(scores[scores["role"] == "validation"], inputs.table, inputs.params)


def _tally(
    scores: pd.DataFrame, inputs: Inputs, scoring: ScoringParams, rows: Sequence[str], role: str
) -> Tally | None:
    part = scores[scores["role"] == role]
    conditions = [*data_models(scoring), *corruptions(scoring)]
    return None if part.empty else tally(part, inputs.params, rows, conditions)


def _heading(
    inputs: Inputs,
    scoring: ScoringParams,
    whole: Tally,
    rows: Sequence[str],
    folds: Sequence[str],
    reference: str | None,
) -> Document:
    return {
        "task": inputs.params.task,
        "main": main_metric(inputs.params),
        "confidence": inputs.params.confidence,
        "seed": inputs.params.train.seed,
        "resamples": scoring.resamples,
        "folds": [int(fold.removeprefix("fold")) for fold in folds],
        "groups": len(whole.groups),
        "tiles": whole.tiles,
        "rows": list(rows),
        "reference": reference,
        "data_models": list(scoring.data_models),
        "corruptions": [IDENTITY, *scoring.corruptions],
        "severities": list(scoring.severities),
        "shown_severity": scoring.shown_severity,
    }


def _worst(
    scores: pd.DataFrame, whole: Tally, inputs: Inputs, scoring: ScoringParams, reference: str | None
) -> Document:
    own, by = matrix.parts(whole, scoring)
    table = scores[scores["role"] == "validation"]
    shown = by.get(str(scoring.shown_severity))
    tested = {"data_models": own, "corruptions": shown and shown.pick(shown.conditions[1:])}
    return {
        n: t and worst(table, own, t, inputs.params, reference, inputs.params.confidence) for n, t in tested.items()
    }


def publish(
    job: Job,
    found: Document,
    inputs: Inputs,
    models: Sequence[str],
    curves: Mapping[str, tuple[tuple[int, float], ...]],
) -> Record:
    """Write `matrix.json` and the figures, and publish."""
    with storage_faults(job.out):
        (job.content / "matrix.json").write_bytes(pretty(found))
    drawn = _figures(job.content / "figures", found, inputs)
    names = [f.relative_to(job.content).as_posix() for f in drawn]
    return output.publish(job, metrics=scalars(found), curves=curves, figures=names, models=models)


def scalars(found: Document) -> dict[str, float]:
    """The few numbers of `matrix.json` that are followed from run to run."""
    drops = found["drops"]
    parts = {"data_models": drops["data_models"]}
    parts |= {f"corruptions_{s}": cells for s, cells in drops["corruptions"].items()}
    values = {f"{n}_{what}_{found['main']}": cell["mean"] for n, cells in parts.items() for what, cell in cells.items()}
    ratios = {f"ratio_of_drops_{s}": entry["value"] for s, entry in drops["ratio"].items()}
    return {name: float(v) for name, v in {**values, **ratios}.items() if v is not None}


def _figures(folder: Path, found: Document, inputs: Inputs) -> list[Path]:
    made = [figures.matrices(folder / "matrix.png", found, found["shown_severity"])]
    others = [s for s in found["severities"] if s != found["shown_severity"] and found["corrupted"]]
    made += [figures.matrices(folder / f"matrix-severity{s}.png", found, s) for s in others]
    made.append(figures.drops(folder / "drops.png", found))
    shown: dict[str, Callable[[Document, int], Floats]] = {
        "data_models": lambda w, row: inputs.windows(w["test"])[row],
        "corruptions": lambda w, row: _corrupted(inputs, w, row),
    }
    ids = list(inputs.table["tile_id"])
    for name, view in shown.items():
        if (w := found["worst"][name]) is not None:
            row = ids.index(w["tile"])
            pair = np.array(inputs.windows(w["train"])[row]), np.array(view(w, row))
            made.append(figures.pair(folder / f"worst-{name.replace('_', '-')}.png", *pair, w, found))
    return made


def _corrupted(inputs: Inputs, w: Document, row: int) -> Floats:
    views = np.array(inputs.windows(w["train"])[row : row + 1])
    corrupted: Floats = corrupt(w["test"], w["severity"], views, inputs.params.train.seed, [w["tile"]])[0]
    return corrupted
