"""Stores of each kind, made once."""

import shutil
from pathlib import Path

import pytest

from tests.proving import KINDS, made


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("stores")
    return {kind: made(base / kind, kind).parent for kind in KINDS}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, originals: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with a store and its sources that a test may spoil."""
    return shutil.copytree(originals[request.param], tmp_path / "copy") / "o.zarr"
