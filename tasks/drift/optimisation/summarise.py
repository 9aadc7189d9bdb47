"""The last part of drift optimisation: tables, the document and figures over all folds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift.optimisation import figures, notes
from tasks.drift.optimisation.cases import SETTINGS, Case, cases_of
from tasks.drift.optimisation.statistics import Facts, document, points_of
from tasks.drift.params import OptimisationParams
from tasks.learn.checkpoint import read_tensors
from tasks.learn.scores import main_metric
from tasks.lineage.digest import pretty
from tasks.output import Job


def history_of(facts: Facts) -> pa.Table:
    """One row a value: `setting`, `intensity`, `fold`, `epoch`, `step` (of the optimiser), `metric`, `value`."""
    rows = []
    for item in sorted(facts):
        case, fold = Case.of(item)
        steps = int(facts[item]["steps_per_epoch"])
        for epoch, metric, value in facts[item]["history"]:
            place = {"setting": case.setting, "intensity": case.intensity, "fold": fold}
            rows.append({**place, "epoch": epoch, "step": epoch * steps, "metric": metric, "value": float(value)})
    return pa.Table.from_pylist(rows)


def tiles_of(facts: Facts) -> pa.Table:
    """Each tile that each fold's weights were made or judged with: `tile_id`, `role`, `fold`."""
    rows = sorted(
        {
            (Case.of(item)[1], role, tile)
            for item, fact in facts.items()
            for role, tiles in fact["roles"].items()
            for tile in tiles
        }
    )
    return pa.table({"tile_id": [r[2] for r in rows], "role": [r[1] for r in rows], "fold": [r[0] for r in rows]})


def groups_of(facts: Facts, intensity: str, table: pd.DataFrame) -> dict[str, int]:
    """How many groups the tiles of each role are of, over all folds of the cases of an intensity."""
    named = dict(zip(table["tile_id"], table["group"], strict=True))
    found: dict[str, set[str]] = {"validation": set(), "test": set()}
    for item, fact in facts.items():
        if Case.of(item)[0].intensity == intensity:
            for role, groups in found.items():
                groups |= {named[tile] for tile in fact["roles"].get(role, ())}
    return {role: len(groups) for role, groups in found.items()}


def publish(job: Job, params: OptimisationParams, tables: Mapping[str, pd.DataFrame]) -> Record:
    """Write what stands beside the weights, and publish; `tables` are the tiles' by intensity."""
    facts = output.facts(job, job.items)
    counts = {
        "tiles": {name: len(table) for name, table in tables.items()},
        "groups": len(set().union(*(table["group"] for table in tables.values()))),
    }
    folds = len({Case.of(item)[1] for item in facts})
    judged = {name: groups_of(facts, name, table) for name, table in tables.items()}
    found = document(facts, params, judged, notes.of(params, folds)) | counts
    with storage_faults(job.out):
        pq.write_table(history_of(facts), job.content / "history.parquet")
        pq.write_table(tiles_of(facts), job.content / "tiles.parquet")
        (job.content / "optimisation.json").write_bytes(pretty(found))
    return output.publish(
        job,
        metrics=dict(_scalars(found)),
        curves=_curves(facts, main_metric(params)),
        figures=[file.relative_to(job.content).as_posix() for file in _figures(job, params, found)],
        models=[f"models/{case.row}/fold{fold}.safetensors" for case, fold in map(Case.of, sorted(facts))],
    )


def _scalars(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for setting in found["settings"]:
        for what in ("average", "final", "test"):
            for part in ("mean", "sd"):
                if (value := setting[what][part]) is not None:
                    yield f"{setting['setting']}_{setting['intensity']}_{what}_{found['main']}_{part}", value


def _curves(facts: Facts, metric: str) -> dict[str, tuple[tuple[int, float], ...]]:
    curves = {}
    for item, fact in sorted(facts.items()):
        losses = [(int(e), float(v)) for e, name, v in fact["history"] if name == "train_loss"]
        curves[f"{item}/train_loss"] = tuple(losses)
        curves[f"{item}/validation_{metric}"] = tuple(sorted(points_of(fact, metric).items()))
    return curves


def _figures(job: Job, params: OptimisationParams, found: Mapping[str, Any]) -> list[Path]:
    folder, made = job.content / "figures", []
    made.append(figures.curves(folder / "curves.png", found))
    for name, exposure in params.intensities.items():
        samples = _samples(job, [case for case in cases_of(params) if case.intensity == name])
        title = f"intensity {name} ({exposure:g}), models of the first fold"
        made.append(figures.processed(folder / f"processed-{name}.png", samples, title))
        if params.task == "segmentation":
            made.append(figures.masks(folder / f"masks-{name}.png", samples["learned"], title))
    return made


def _samples(job: Job, cases: Sequence[Case]) -> dict[str, figures.Samples]:
    """What the first fold's models of `cases` were shown and saw, by setting."""
    found = {case.setting: read_tensors(job.content / "samples" / f"{case.row}.safetensors") for case in cases}
    return {
        setting: {name: t.numpy() for name, t in found[setting].items()} for setting in SETTINGS if setting in found
    }
