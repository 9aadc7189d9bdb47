"""The last part of the stage `learn`: tables, metrics and figures over all folds."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.learn import figures, metrics, scores
from tasks.learn.data import Examples, roles
from tasks.learn.params import LearnParams
from tasks.learn.predict import probabilities, read_model
from tasks.lineage.digest import pretty
from tasks.output import Job

Facts = Mapping[str, Mapping[str, Any]]
History = list[tuple[str, int, str, float]]


def _history(facts: Facts) -> History:
    return [(fold, int(s), str(m), float(v)) for fold in sorted(facts) for s, m, v in facts[fold]["history"]]


def _write_history(path: Path, history: History) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("fold", "step", "metric", "value"))
    writer.writerows((fold, step, metric, repr(value)) for fold, step, metric, value in history)
    path.write_text(text.getvalue(), encoding="utf-8")


def _write_tiles(path: Path, facts: Facts) -> None:
    """`tiles.parquet`: each tile that each fold's weights were made or judged with."""
    rows = sorted(
        (int(fold.removeprefix("fold")), role, tile)
        for fold, fact in facts.items()
        for role, tiles in fact["roles"].items()
        for tile in tiles
    )
    columns = {"tile_id": [r[2] for r in rows], "role": [r[1] for r in rows], "fold": [r[0] for r in rows]}
    pq.write_table(pa.table(columns), path)


def pooled(facts: Facts, role: str) -> metrics.Counts:
    """Confusion counts (k, k) of `role` summed over the folds."""
    matrices = [facts[fold]["confusion"][role] for fold in sorted(facts)]
    return np.asarray(np.asarray(matrices, dtype=np.int64).sum(axis=0), dtype=np.int64)


def _of_role(facts: Facts, role: str, params: LearnParams) -> dict[str, Any]:
    matrices = {fold: np.asarray(facts[fold]["confusion"][role], dtype=np.int64) for fold in sorted(facts)}
    classes = {fold: metrics.per_class(matrix, params.classes) for fold, matrix in matrices.items()}
    return {
        "folds": {fold: facts[fold]["headline"][role] for fold in sorted(facts)},
        "summary": metrics.summary([facts[fold]["headline"][role] for fold in sorted(facts)], params.confidence),
        "classes": {
            name: metrics.summary([classes[fold][name] for fold in sorted(facts)], params.confidence)
            for name in params.classes
        },
        "confusion": pooled(facts, role).tolist(),
    }


def document(facts: Facts, params: LearnParams) -> dict[str, Any]:
    """`metrics.json`: per role the folds' numbers, their spread, per-class spreads and the summed confusion."""
    return {
        "task": params.task,
        "classes": list(params.classes),
        "main": scores.main_metric(params),
        "confidence": params.confidence,
        "rules": metrics.RULES,
        "roles": {role: _of_role(facts, role, params) for role in scores.SCORED},
    }


def publish(job: Job, params: LearnParams, table: pd.DataFrame, tiles: Examples, facts: Facts) -> Record:
    """Write what stands beside the weights, and publish; `facts` are the receipts' by fold."""
    history, found = _history(facts), document(facts, params)
    with storage_faults(job.out):
        _write_history(job.content / "history.csv", history)
        _write_tiles(job.content / "tiles.parquet", facts)
        (job.content / "metrics.json").write_bytes(pretty(found))
    drawn = _figures(job, params, table, tiles, facts, history)
    scalars = {
        f"{role}_{name}_{part}": value
        for role in scores.SCORED
        for name, spread in found["roles"][role]["summary"].items()
        for part in ("mean", "sd")
        if (value := spread[part]) is not None
    }
    return output.publish(
        job,
        metrics=scalars,
        curves=_curves(history),
        figures=[f.relative_to(job.content).as_posix() for f in drawn],
        models=[f"{fold}.safetensors" for fold in sorted(facts)],
    )


def _curves(history: History) -> dict[str, tuple[tuple[int, float], ...]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for fold, step, metric, value in history:
        curves.setdefault(f"{fold}/{metric}", []).append((step, value))
    return {name: tuple(points) for name, points in sorted(curves.items())}


def _figures(
    job: Job, params: LearnParams, table: pd.DataFrame, tiles: Examples, facts: Facts, history: History
) -> list[Path]:
    folder, main = job.content / "figures", scores.main_metric(params)
    unit = "tiles" if params.task == "classification" else "pixels"
    title = f"validation {unit}, each by the fold that did not see it"
    made = [
        figures.confusion_matrix(folder / "confusion.png", pooled(facts, "validation"), params.classes, title),
        figures.learning_curves(folder / "curves.png", history, main),
    ]
    if params.task == "segmentation":
        made.append(_overlay(job, params, table, tiles))
    return made


def _overlay(job: Job, params: LearnParams, table: pd.DataFrame, tiles: Examples) -> Path:
    """The test tiles with most foreground (ties by id), as the first fold's model sees them."""
    first = int(job.items[0].removeprefix("fold"))
    rows = roles(table, first)["test"] or roles(table, first)["validation"]
    rows = sorted(rows, key=lambda i: (-int((tiles.truth[i] > 0).sum()), tiles.ids[i]))[: params.figure_tiles]
    chosen = tiles.pick(rows)
    model, _ = read_model(job.content, first)
    views = chosen.views[:]
    predicted = probabilities(model, views).argmax(axis=1)
    return figures.overlays(job.content / "figures" / "overlays.png", views, chosen.truth, predicted, chosen.ids)
