"""Tracking against a real MLflow store: what a record holds is what people see."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks import output, tracking
from tasks.lineage.recipe import Plan
from tasks.tracking.mlflow_store import client, flat

ROOT = Path(__file__).resolve().parents[3]
PARAMS = {"fit": {"steps": 3, "rates": [0.1, 0.2]}, "name": "ma,s,me", "bi,s,me": 1}
SOURCE = {"role": "raw", "kind": "artefact", "path": "../raw/x.zarr", "recipe": "a" * 64, "root": "b" * 64}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[output.Job, output.Record]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    plan = Plan("learn", "cells", [SOURCE], PARAMS, "tasks.rng", "rawmill repro learn")
    job = output.start(Path("data/models/cells"), plan, ["all"], lambda _: None)
    for name in ("weights.safetensors", "curve.png"):
        (job.content / name).write_bytes(b"x" * 100)
    output.mark_done(job, "all", sorted(job.content.iterdir()))
    curves = {"loss": ((0, 2.0), (1, 1.0), (2, 0.5))}
    record = output.publish(job, {"accuracy": 0.75}, curves, ["curve.png"], ["weights.safetensors"])
    return job, record


def test_a_record_becomes_a_run_with_all_that_it_holds(made: tuple[output.Job, output.Record]) -> None:
    run = client().get_run(tracking.track(*made))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "learn cells"
    assert run.data.params == {"fit.steps": "3", "fit.rates": "[0.1,0.2]", "name": "ma,s,me", "bi_s_me": "1"}
    assert run.data.metrics == {"accuracy": 0.75, "loss": 0.5}
    assert [m.value for m in client().get_metric_history(run.info.run_id, "loss")] == [2.0, 1.0, 0.5]
    dataset = run.inputs.dataset_inputs[0]
    assert dataset.dataset.digest == "b" * 36
    assert {t.key: t.value for t in dataset.tags}["digest"] == "b" * 64
    paths = {f.path for part in ("figures", "model") for f in client().list_artifacts(run.info.run_id, part)}
    assert paths == {"figures/curve.png", "model/weights.safetensors"}


def test_a_model_is_registered_under_its_digests(made: tuple[output.Job, output.Record]) -> None:
    tracking.track(*made)
    tracking.track(*made)
    version = client().get_model_version_by_alias("cells", "candidate")
    assert int(version.version) == 2
    assert version.tags["recipe"] == made[1].recipe
    assert version.tags["trust"] == "candidate"


def test_a_failed_log_ends_its_run_as_failed(
    made: tuple[output.Job, output.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(*_args: object, **_kwargs: object) -> None:
        raise OSError("torn")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", torn)
        with pytest.raises(OSError, match="torn"):
            tracking.track(*made)
    runs = client().search_runs([client().get_experiment_by_name("rawmill").experiment_id])
    assert [r.info.status for r in runs] == ["FAILED"]


def test_processes_that_use_a_new_store_together_do_not_clash(tmp_path: Path) -> None:
    code = (
        "from tasks.tracking.mlflow_store import client, experiment, one_at_a_time\n"
        "with one_at_a_time(): print(experiment(client()))"
    )
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, cwd=tmp_path, env=env, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    ended = [process.communicate(timeout=120) for process in both]
    assert [p.returncode for p in both] == [0, 0], ended
    assert ended[0][0] == ended[1][0]


def test_nested_params_become_dotted_keys() -> None:
    assert dict(flat({"a": {"b": {"c": [1, 2]}}, "d": "x"})) == {"a.b.c": "[1,2]", "d": "x"}


def test_a_drift_output_has_all_its_models_under_its_tasks_name(made: tuple[output.Job, output.Record]) -> None:
    plan = Plan("drift_synthesis", "synthesis", [SOURCE], PARAMS, "tasks.rng", "rawmill repro drift_synthesis")
    job = output.start(Path("data/drift/cells/synthesis"), plan, ["all"], lambda _: None)
    names = [f"models/{row}/fold0.safetensors" for row in ("bi,s,me", "ma,s,me")]
    for name in names:
        (job.content / name).parent.mkdir(parents=True)
        (job.content / name).write_bytes(name.encode())
    output.mark_done(job, "all", [job.content / name for name in names])
    curves = {"ma,s,me/fold0/train_loss": ((1, 2.0), (2, 1.0))}
    run = client().get_run(tracking.track(job, output.publish(job, {"drop": 0.1}, curves, [], names)))
    assert run.info.run_name == "drift_synthesis cells-synthesis"
    assert run.data.metrics == {"drop": 0.1, "ma_s_me/fold0/train_loss": 1.0}
    for row in ("bi,s,me", "ma,s,me"):
        (file,) = client().list_artifacts(run.info.run_id, f"model/models/{row}")
        assert file.path == f"model/models/{row}/fold0.safetensors"
    assert client().get_model_version_by_alias("cells-synthesis", "candidate").tags["trust"] == "candidate"
