from pathlib import Path

import pytest

from tests.lineage_chain import plant


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted chain's data folder; tests here only read it."""
    return plant(tmp_path_factory.mktemp("planted"))
