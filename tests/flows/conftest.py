"""One real Prefect API server for all tests of flows."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import _server, cli


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that lives as long as the tests; this process's Prefect uses it."""
    home = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setattr(_server, "HOME", tmp_path_factory.mktemp("prefect"))
        with _server.api_server() as url:
            for name, value in _server.environment(url).items():
                patch.setenv(name, value)
            with temporary_settings({PREFECT_API_URL: url}):
                yield url
    os.chdir(home)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `rawmill` with its arguments where we are; returns its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rawmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        streams = capsys.readouterr()
        return int(end.value.code or 0), streams.out, streams.err

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with git and DVC, as the working directory."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "config", "core.analytics", "false"], check=True)
    return tmp_path
