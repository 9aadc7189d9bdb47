"""`make up` against a real server and worker: the deployments of prefect.yaml are there, and a run completes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import _server

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 240


def await_true(what: str, check) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not check():
        assert time.monotonic() < deadline, f"{what} not within {LIMIT_S} s"
        time.sleep(0.5)


@pytest.fixture
def up(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of the API of a `make up` in a copy of the project whose pipeline is one stage."""
    for name in ("flows", "tasks"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "params.yaml"):
        shutil.copy(ROOT / name, project / name)
    code = "open('made.txt', 'w').write('made')"
    (project / "dvc.yaml").write_text(
        f'stages:\n  make:\n    cmd: {sys.executable} -c "{code}"\n    outs: [made.txt]\n'
    )
    port = _server.free_port()
    url = f"http://127.0.0.1:{port}/api"
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    command = [sys.executable, "-m", "flows.up", "--prefect-port", str(port), "--no-mlflow"]
    with (project / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=project, stdout=log, stderr=log)
    try:
        await_true("make up", lambda: b"Ctrl-C" in (project / "up.log").read_bytes() or process.poll() is not None)
        assert process.poll() is None, (project / "up.log").read_text()
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not _server.answers(url)


@pytest.mark.slow
def test_a_deployed_repro_runs_on_a_worker_and_completes(up: str, project: Path) -> None:
    with get_client(sync_client=True) as client:
        deployments = {d.name: d for d in client.read_deployments()}
        assert set(deployments) == {"nightly", "variant", "drift", "everything"}
        assert [str(s.schedule.cron) for s in deployments["nightly"].schedules] == ["0 2 * * *"]
        assert deployments["drift"].parameters == {"targets": ["drift_report"]}
        run = client.create_flow_run_from_deployment(deployments["nightly"].id)
        await_true("the run's end", lambda: client.read_flow_run(run.id).state.is_final())
        state = client.read_flow_run(run.id).state
    assert state.is_completed(), f"{state}\n{(project / '.prefect' / 'worker.log').read_text()[-4000:]}"
    assert (project / "made.txt").read_text() == "made"
    assert os.path.commonpath([project, Path.cwd()]) == str(project)
