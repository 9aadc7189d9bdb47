"""One real Prefect API server for all tests of flows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import _server


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
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with git and DVC, as the working directory."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "config", "core.analytics", "false"], check=True)
    return tmp_path
