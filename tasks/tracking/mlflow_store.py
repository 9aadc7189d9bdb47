"""One MLflow run for one finished output: params, metrics, curves, figures, dataset inputs, registered models."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

from tasks.contracts import Record
from tasks.lineage.digest import canonical
from tasks.output import Job

EXPERIMENT = "rawmill"
HOME = Path("data/mlflow")
PARAM_CHARACTERS = 6000
DIGEST_CHARACTERS = 36
"""MLflow's own limits for a param's value and a dataset's digest; the whole digest is kept as a tag."""


def client() -> MlflowClient:
    """A client of MLFLOW_TRACKING_URI, or of the sqlite store below `data/mlflow`."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        uri = f"sqlite:///{(HOME / 'mlflow.db').resolve()}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment(mlflow: MlflowClient) -> str:
    """The id of the experiment, made where it is not there; another process may make it at the same time."""
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    place = (HOME / "artifacts").resolve().as_uri() if local else None
    try:
        return str(mlflow.create_experiment(EXPERIMENT, artifact_location=place))
    except MlflowException:
        other = mlflow.get_experiment_by_name(EXPERIMENT)
        if other is None:
            raise
        return str(other.experiment_id)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Stages that end together take turns at the local store: MLflow's first use migrates it, without a lock."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        yield
        return
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def track(job: Job, record: Record) -> str:
    """Log one run for `record`, made by `job`; returns the MLflow run id."""
    with one_at_a_time():
        return _track(job, record)


def _track(job: Job, record: Record) -> str:
    mlflow = client()
    name = f"{job.plan['stage']} {called(job, record)}"
    run = mlflow.create_run(experiment(mlflow), run_name=name, tags=_tags(job, record))
    try:
        _log(mlflow, run.info.run_id, job, record)
    except BaseException:
        mlflow.set_terminated(run.info.run_id, "FAILED")
        raise
    mlflow.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def called(job: Job, record: Record) -> str:
    """The output's name, with its task's where outputs are called alike for every task, as those of drift."""
    name = str(job.plan["name"])
    return f"{record.path.parent.name}-{name}" if job.plan["stage"].startswith("drift_") else name


def _tags(job: Job, record: Record) -> dict[str, str]:
    return {"stage": job.plan["stage"], "recipe": record.recipe, "root": record.root, "output": str(record.path)}


def _log(mlflow: MlflowClient, run: str, job: Job, record: Record) -> None:
    now = int(time.time() * 1000)
    params = [Param(k, v[:PARAM_CHARACTERS]) for k, v in flat(job.plan["params"])]
    metrics = [Metric(allowed(k), v, now, 0) for k, v in record.metrics.items()]
    metrics += [Metric(allowed(k), v, now, step) for k, curve in record.curves.items() for step, v in curve]
    for i in range(0, max(len(params), len(metrics)), 100):
        mlflow.log_batch(run, metrics=metrics[i : i + 100], params=params[i : i + 100])
    mlflow.log_inputs(run, [dataset(entry) for entry in job.plan["inputs"]])
    for figure in record.figures:
        mlflow.log_artifact(run, str(figure), "figures")
    if record.models:
        register(mlflow, run, called(job, record), record)


def allowed(key: str) -> str:
    """`key` with `_` for what MLflow allows in no name of a param or metric, such as the commas of `ma,s,me`."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in key)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, text) pairs of nested params; lists as JSON. Keys hold only what MLflow allows."""
    for key, value in values.items():
        name = prefix + allowed(key)
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else canonical(value).decode()


def dataset(entry: Mapping[str, Any]) -> DatasetInput:
    """An input entry of a recipe as MLflow's dataset, under our digest (MLflow would hash a sample of it)."""
    digest = entry.get("root") or entry["sha256"]
    source = canonical({k: entry[k] for k in ("kind", "path")}).decode()
    tags = [InputTag("digest", digest), InputTag("mlflow.data.context", entry["role"])]
    name = Path(entry["path"]).name
    return DatasetInput(Dataset(name, digest[:DIGEST_CHARACTERS], "rawmill", source), tags)


def register(mlflow: MlflowClient, run: str, name: str, record: Record) -> None:
    """A new version of the registered model `name`, tagged with its digests, under the alias `candidate`."""
    for model in record.models:
        inside = model.relative_to(record.path).parent.as_posix()  # files of one name lie in folders of their own
        mlflow.log_artifact(run, str(model), f"model/{inside}".removesuffix("/."))
    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{mlflow.get_run(run).info.artifact_uri}/model"
    version = mlflow.create_model_version(
        name, source, run_id=run, tags={"recipe": record.recipe, "root": record.root, "trust": "candidate"}
    )
    mlflow.set_registered_model_alias(name, "candidate", version.version)
