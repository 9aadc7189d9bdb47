"""Stage `learn`: a task model per cross-validation fold of groups, trained on one variant's views.

Fold k's model is trained on the other folds' training tiles, validated on fold k and scored on the test split;
an item is one fold. Layout of the output: docs/data-model.md, "Models".
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from torch import nn

from tasks import output, store
from tasks.contracts import Record
from tasks.errors import ParamsError, fault
from tasks.learn import data, losses, scores, summarise
from tasks.learn.checkpoint import write_tensors
from tasks.learn.determinism import on_device, one_thread, stated
from tasks.learn.networks import Standardised, network_of
from tasks.learn.own_code import own_code
from tasks.learn.params import LearnParams
from tasks.learn.train import Row, fit
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.params import parse


def prepare(views: Path, masks: Path | None, out: Path, params: LearnParams, repair: str) -> Job:
    """Check the variant store `views` (and the raw store `masks` of a segmentation) and open the staging place.

    Raises `LineageError` for a store that is not what its recipe says, `InputError` for tiles that cannot be
    learnt from, `ParamsError` where the store holds another variant or a segmentation has no `masks`.
    """
    inputs = [artefact("views", views, out)]
    if params.task == "segmentation":
        if masks is None:
            raise ParamsError(fault(views, "no store of masks", "a raw store", "name the raw store"))
        inputs.append(artefact("masks", masks, out))
    _check_variant(views, params)
    table = data.read_table(views, params)
    folds = data.folds_of(table)
    data.check_classes(views / "tiles.parquet", table, params)
    own, values = own_code(params.architecture, out), params.model_dump(mode="json")
    inputs, notes = [*inputs, *own.inputs], {**stated(params.device), **own.notes}
    plan = Plan("learn", out.name, inputs, values, __name__, repair, params.train.seed, notes)
    return output.start(out, plan, [f"fold{k}" for k in folds], partial(_lay_out, params=params))


def _check_variant(views: Path, params: LearnParams) -> None:
    found = store.read_attributes(views)["variant"]
    if found != params.variant:
        raise ParamsError(fault(views, f"variant {found}", params.variant, "name the store of that variant"))


def _lay_out(content: Path, params: LearnParams) -> None:
    (content / "model.json").write_bytes(pretty({"params": params.model_dump(mode="json")}))
    (content / "predictions").mkdir()


def _open(job: Job) -> tuple[LearnParams, pd.DataFrame, data.Examples]:
    """What every item needs: the params, the tiles' table and the tiles at the network's size (a shared cache)."""
    params = parse(LearnParams, job.plan["params"], job.out)
    paths = output.inputs(job)
    table = data.read_table(paths["views"], params)
    cache = job.staging / "cache" / "views.npy"
    return params, table, data.load(paths["views"], paths.get("masks"), table, params, cache)


def process(job: Job, item: str) -> None:
    """Train and score the model of one fold (`item` is "fold<k>"), resuming from its checkpoint where one is."""
    with on_device(job.plan["notes"]["device"]):
        params, table, tiles = _open(job)
        rows = data.roles(table, int(item.removeprefix("fold")))
        parts = {role: tiles.pick(indices) for role, indices in rows.items()}
        model, history = _train(job, item, params, parts)
        weights = job.content / f"{item}.safetensors"
        write_tensors(weights, model.state_dict())
        predictions = job.content / "predictions" / f"{item}.parquet"
        facts = scores.judge(predictions, model, parts, params)
        roles = {role: list(part.ids) for role, part in parts.items()}
        output.mark_done(job, item, [weights, predictions], {**facts, "history": history, "roles": roles})


def _train(
    job: Job, item: str, params: LearnParams, parts: Mapping[str, data.Examples]
) -> tuple[Standardised, tuple[Row, ...]]:
    model = network_of(params)
    model.measure(*data.channel_statistics(parts["train"].views))
    source = data.Augmented(parts["train"], params.augment, params.train.seed)

    def observe(trained: nn.Module, epoch: int) -> list[tuple[str, float]]:
        if epoch % params.validate_every_epochs and epoch != params.train.epochs:
            return []
        return scores.validation(trained, parts["validation"], params)

    place = job.staging / "checkpoint" / item
    return model, fit(model, source, partial(losses.loss, params.loss), params.train, item, place, observe)


def finish(job: Job) -> Record:
    """Gather the folds' facts into metrics, tables and figures, and publish."""
    with one_thread():
        params, table, tiles = _open(job)
        facts = {item: (output.receipt(job, item) or {}).get("facts") for item in job.items}
        missing = [item for item, fact in facts.items() if fact is None]
        if missing:
            raise RuntimeError(f"finish before {missing[0]} is done")
        return summarise.publish(job, params, table, tiles, {k: dict(v or {}) for k, v in facts.items()})
