"""Drift optimisation: task models trained with a learned and a frozen data model, and on raw values.

An item is one fold of a setting at an intensity, "learned-low/fold0". Layout of the output:

    model.json                          the params
    models/<case>/fold<k>.safetensors   task models, as `tasks.drift.models` reads them
    theta/learned-<intensity>/fold<k>.safetensors   the learned data models
    predictions/<case>/fold<k>.parquet  scored tiles
    samples/<case>.safetensors          the shown tiles through the first fold's models
    tiles.parquet, history.parquet, optimisation.json, figures/
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tasks import output
from tasks.contracts import Record
from tasks.drift import models, mosaics
from tasks.drift.mosaics import Mosaics
from tasks.drift.optimisation import shown, summarise
from tasks.drift.optimisation.cases import Case, cases_of, seen_params, tables_of
from tasks.drift.optimisation.joint import theta_of
from tasks.drift.optimisation.training import SHOWN, Trained, predicted, train
from tasks.drift.params import OptimisationParams
from tasks.learn import data, scores
from tasks.learn.checkpoint import write_tensors
from tasks.learn.determinism import on_device, one_thread, stated
from tasks.learn.own_code import own_code
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.params import parse


def prepare(raw: Path, out: Path, params: OptimisationParams, repair: str) -> Job:
    """Check the raw store `raw` and open the staging place.

    Raises `LineageError` for a store that is not what its recipe says, `InputError` for tiles that cannot be learnt
    from, `ParamsError` where it has no tile of an intensity.
    """
    inputs = [artefact("raw", raw, out)]
    tables = tables_of(raw, params)
    for case in cases_of(params):
        _seen(case, tables[case.intensity], params)
    folds = data.folds_of(next(iter(tables.values())))
    items = [case.item(fold) for case in cases_of(params) for fold in folds]
    own, values = own_code(params.architecture, out), params.model_dump(mode="json")
    inputs, notes = [*inputs, *own.inputs], {**stated(params.device), **own.notes}
    plan = Plan("drift_optimisation", out.name, inputs, values, __name__, repair, params.train.seed, notes)
    return output.start(out, plan, items, lambda content: _lay_out(content, params))


def _seen(case: Case, table: pd.DataFrame, params: OptimisationParams) -> OptimisationParams:
    return seen_params(params, case, int(table["height_px"].min()))


def _lay_out(content: Path, params: OptimisationParams) -> None:
    (content / "model.json").write_bytes(pretty({"params": params.model_dump(mode="json")}))
    for case in cases_of(params):
        for kind in ("models", "predictions", *(["theta"] if case.setting == "learned" else [])):
            (content / kind / case.row).mkdir(parents=True)
    (content / "samples").mkdir()


def _open(job: Job) -> tuple[OptimisationParams, Path]:
    """The params and the raw store; `LineageError` where another one took its place since the plan was made."""
    return parse(OptimisationParams, job.plan["params"], job.out), output.inputs(job)["raw"]


def process(job: Job, item: str) -> None:
    """Train and score the model of one item, resuming from its checkpoint where one is."""
    with on_device(job.plan["notes"]["device"]):
        params, raw = _open(job)
        case, fold = Case.of(item)
        table = tables_of(raw, params)[case.intensity]
        seen = _seen(case, table, params)
        parts = _parts(raw, table, fold, seen)
        trained = train(case, seen, parts, fold, job.staging / "checkpoint" / case.row / f"fold{fold}")
        predictions = job.content / "predictions" / case.row / f"fold{fold}.parquet"
        facts = scores.judge(predictions, trained.model, trained.parts, seen)
        roles = {role: list(part.ids) for role, part in parts.items() if role != SHOWN}
        files = [*_write(job, case, fold, trained), predictions]
        output.mark_done(job, item, files, {**facts, **_course(trained), "roles": roles})


def _parts(raw: Path, table: pd.DataFrame, fold: int, params: OptimisationParams) -> dict[str, Mosaics]:
    every = mosaics.load(raw, table, params)
    rows = data.roles(table, fold) | {SHOWN: shown.rows(table, every.truth, params)}
    return {role: every.pick(indices) for role, indices in rows.items()}


def _write(job: Job, case: Case, fold: int, trained: Trained) -> list[Path]:
    """Weights, theta, and of the first fold the shown tiles."""
    files = [models.weights(job.content, case.row, f"fold{fold}")]
    write_tensors(files[0], trained.model.task_state())
    if trained.model.data_model is not None and case.setting == "learned":
        files.append(job.content / "theta" / case.row / f"fold{fold}.safetensors")
        write_tensors(files[-1], theta_of(trained.model.data_model))
    if fold == Case.of(job.items[0])[1]:
        files.append(job.content / "samples" / f"{case.row}.safetensors")
        write_tensors(files[-1], _samples(trained))
    return files


def _samples(trained: Trained) -> dict[str, torch.Tensor]:
    tiles = trained.parts[SHOWN]
    views = {"views": torch.from_numpy(tiles.views[:])}
    if trained.first is None:
        return views
    truth = torch.from_numpy(tiles.truth.astype(np.uint8))
    return {**views, "truth": truth, "first": trained.first, "last": predicted(trained.model, tiles)}


def _course(trained: Trained) -> dict[str, Any]:
    model = trained.model.data_model
    theta = {} if model is None else {k: v.reshape(-1).tolist() for k, v in theta_of(model).items()}
    return {"history": trained.history, "steps_per_epoch": trained.steps_per_epoch, "theta": theta}


def finish(job: Job) -> Record:
    """Gather the folds' facts into tables, the document and figures, and publish."""
    with one_thread():
        params, raw = _open(job)
        return summarise.publish(job, params, tables_of(raw, params))
