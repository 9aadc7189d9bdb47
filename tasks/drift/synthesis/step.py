"""Stage `drift_synthesis`: a task model per data model and fold, scored under every data model and corruption.

An item is `<data model>/fold<k>`. Seeds, order of batches and augmentations are the same for all data models, so
that nothing but the views differs (thesis A, 3.3.1). Layout of the output: `tasks.drift.models`, and `scores/`,
`scores.parquet`, `matrix.json`, `figures/`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift import models
from tasks.drift.params import SynthesisParams
from tasks.drift.synthesis import inputs, score, summary
from tasks.drift.synthesis.inputs import Inputs
from tasks.learn.checkpoint import write_tensors
from tasks.learn.data import Augmented, Examples, Picked, channel_statistics, check_classes, roles
from tasks.learn.determinism import on_device, one_thread, stated
from tasks.learn.losses import loss
from tasks.learn.networks import Standardised, network_of
from tasks.learn.own_code import own_code
from tasks.learn.train import Row, fit
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan
from tasks.output import Job
from tasks.params import parse


def prepare(raw: Path, views: Mapping[str, Path], out: Path, params: SynthesisParams, repair: str) -> Job:
    """Check the raw store and a variant store per data model of the params, and open the staging place.

    Raises `LineageError` for a store that is not what its recipe says, `ParamsError` where a data model has no
    store, `InputError` for tiles that cannot be learnt from or differ between data models.
    """
    wanted = params.scoring.data_models
    found = inputs.entries(raw, views, wanted, out)
    paths = {"raw": raw, **{f"{inputs.VIEWS}{name}": views[name] for name in wanted}}
    opened = inputs.open_inputs(paths, params, params.intensity, out)
    check_classes(views[wanted[0]] / "tiles.parquet", opened.table, params)
    items = [f"{name}/{member}" for name in wanted for member in models.members_of(opened.table)]
    own, values = own_code(params.architecture, out), params.model_dump(mode="json")
    found, notes = [*found, *own.inputs], {**stated(params.device), **own.notes}
    plan = Plan("drift_synthesis", out.name, found, values, __name__, repair, params.train.seed, notes)
    return output.start(out, plan, items, partial(_lay_out, params=params))


def _lay_out(content: Path, params: SynthesisParams) -> None:
    (content / "model.json").write_bytes(pretty({"params": params.model_dump(mode="json")}))
    for name in params.scoring.data_models:
        for folder in ("models", "scores"):
            (content / folder / name).mkdir(parents=True)


def _open(job: Job) -> tuple[SynthesisParams, Inputs]:
    params = parse(SynthesisParams, job.plan["params"], job.out)
    opened = inputs.open_inputs(output.inputs(job), params, params.intensity, job.staging / "cache")
    return params, opened


def process(job: Job, item: str) -> None:
    """Train and score one model (`item` is `<data model>/fold<k>`), resuming from its checkpoint where one is."""
    with on_device(job.plan["notes"]["device"]):
        data_model, member = item.split("/")
        params, opened = _open(job)
        model, history = _train(job, item, params, opened)
        weights = models.weights(job.content, data_model, member)
        write_tensors(weights, model.state_dict())
        file = job.content / _scores(item)
        with storage_faults(file):
            pq.write_table(_score(item, params, opened, model), file)
        output.mark_done(job, item, [weights, file], {"history": history})


def _score(item: str, params: SynthesisParams, opened: Inputs, model: nn.Module) -> pa.Table:
    """The test groups confirm what was chosen among data models; corruptions choose nothing, and are not theirs."""
    data_model, member = item.split("/")
    plain = [(how.name, how) for how in score.data_models(params.scoring)]
    corrupted = [(data_model, how) for how in score.corruptions(params.scoring)]
    tables = []
    for role, rows in models.scored_rows(opened.table, member).items():
        if not rows:
            continue
        tiles = score.tiles_of(opened, {role: rows})
        tests = [*plain, *corrupted] if role == "validation" else plain
        scored = score.score(model, tiles, tests, params.train.seed)
        tables.append(score.score_table(data_model, member, tiles, scored))
    return pa.concat_tables(tables)


def _scores(item: str) -> str:
    return f"scores/{item}.parquet"


def _train(job: Job, item: str, params: SynthesisParams, opened: Inputs) -> tuple[Standardised, tuple[Row, ...]]:
    data_model, member = item.split("/")
    rows = roles(opened.table, int(member.removeprefix("fold")))["train"]
    views = Picked(opened.views(data_model), np.arange(len(opened.table)))
    part = Examples(tuple(opened.table["tile_id"]), views, opened.truth(), None).pick(rows)
    model = network_of(params)
    model.measure(*channel_statistics(part.views))
    source = Augmented(part, params.augment, params.train.seed)
    place = job.staging / "checkpoint" / item
    return model, fit(model, source, partial(loss, params.loss), params.train, member, place)


def finish(job: Job) -> Record:
    """Gather the scores into tables, matrices and figures, and publish."""
    with one_thread():
        facts = output.facts(job, job.items)
        params, opened = _open(job)
        scores = summary.gather(job, [_scores(item) for item in job.items])
        found = summary.trained(scores, opened, params.scoring)
        weights = [f"models/{item}.safetensors" for item in job.items]
        losses = {f"{item}/train_loss": _losses(facts[item]["history"]) for item in job.items}
        return summary.publish(job, found, opened, weights, losses)


def _losses(history: Sequence[Row]) -> tuple[tuple[int, float], ...]:
    return tuple((int(epoch), float(value)) for epoch, metric, value in history if metric == "train_loss")
