"""Scoring a given model, which nobody here trained, under every data model and under corruptions.

An item is a data model. Corruptions are laid over the views of the first one named, the reference: what the model
was trained on is not known.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift.models import GIVEN, read_network, read_task, scored_rows
from tasks.drift.params import ScoringParams
from tasks.drift.synthesis import inputs, score, summary
from tasks.drift.synthesis.inputs import Inputs
from tasks.learn.determinism import on_device, one_thread, stated
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job
from tasks.params import parse

MODEL = "model"


def prepare(model: Path, raw: Path, views: Mapping[str, Path], out: Path, params: ScoringParams, repair: str) -> Job:
    """Check an adopted `model`, the raw store and a variant store per data model, and open the staging place.

    Raises `LineageError` for an input that is not what its recipe says, `ParamsError` where a data model has no
    store, `InputError` for tiles that cannot be scored, such as those of several intensities.
    """
    wanted = params.data_models
    found = [artefact(MODEL, model, out), *inputs.entries(raw, views, wanted, out)]
    task = read_task(model)
    paths = {"raw": raw, **{f"{inputs.VIEWS}{name}": views[name] for name in wanted}}
    inputs.open_inputs(paths, task, None, out)
    values, notes = params.model_dump(mode="json"), stated(task.device)
    plan = Plan("drift_given", out.name, found, values, __name__, repair, task.train.seed, notes)
    return output.start(out, plan, list(wanted), lambda content: (content / "scores").mkdir())


def _open(job: Job) -> tuple[ScoringParams, Path, Inputs]:
    params, paths = parse(ScoringParams, job.plan["params"], job.out), output.inputs(job)
    opened = inputs.open_inputs(paths, read_task(paths[MODEL]), None, job.staging / "cache")
    return params, paths[MODEL], opened


def process(job: Job, item: str) -> None:
    """Score the model under one data model; under the first one also identity and all corruptions."""
    with on_device(job.plan["notes"]["device"]):
        params, model, opened = _open(job)
        tiles = score.tiles_of(opened, scored_rows(opened.table, GIVEN))
        tests = [(item, how) for how in score.data_models(params) if how.name == item]
        if item == job.items[0]:
            tests += [(item, how) for how in score.corruptions(params)]
        scored = score.score(read_network(model, GIVEN, GIVEN), tiles, tests, opened.params.train.seed)
        file = job.content / _scores(item)
        with storage_faults(file):
            pq.write_table(score.score_table(GIVEN, GIVEN, tiles, scored), file)
        output.mark_done(job, item, [file])


def _scores(item: str) -> str:
    return f"scores/{item}.parquet"


def finish(job: Job) -> Record:
    """Gather the scores into the one-row matrix and figures, and publish."""
    with one_thread():
        output.facts(job, job.items)
        params, _, opened = _open(job)
        scores = summary.gather(job, [_scores(item) for item in job.items])
        found = summary.given(scores, opened, params, GIVEN, job.items[0])
        return summary.publish(job, found, opened, [], {})
