import getpass
import json
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tasks.contracts import Record
from tasks.errors import LineageError
from tasks.lineage import ledger
from tasks.lineage.code import PROJECT

PLAN = {"stage": "develop", "name": "bi,s,me.zarr"}


def record() -> Record:
    return Record(Path("data/variants/drone/bi,s,me.zarr"), "r" * 64, "d" * 64)


def test_a_run_is_written_once_and_read_back(tmp_path: Path) -> None:
    began = time.time() - 2.5
    file = ledger.append(tmp_path / "runs", record(), PLAN, began=began, flow_run="f", mlflow_run="m")
    (entry,) = ledger.read(tmp_path / "runs")
    assert json.loads(file.read_bytes()) == asdict(entry)
    assert (entry.stage, entry.output, entry.recipe, entry.root) == (
        "develop",
        record().path.as_posix(),
        "d" * 64,
        "r" * 64,
    )
    assert (entry.flow_run, entry.mlflow_run) == ("f", "m")
    assert 2.5 <= entry.duration_s < 60
    assert entry.began.endswith("+00:00")
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [file.name], "nothing partial stays"


def test_no_line_is_replaced(tmp_path: Path) -> None:
    ledger.append(tmp_path, record(), PLAN, began=1.0)
    with pytest.raises(FileExistsError):
        ledger.append(tmp_path, record(), PLAN, began=1.0)
    assert len(list(tmp_path.iterdir())) == 1


def test_lines_come_oldest_first(tmp_path: Path) -> None:
    for began in (30.0, 10.0, 20.0):
        ledger.append(tmp_path, record(), PLAN, began=began)
    assert [e.began[17:19] for e in ledger.read(tmp_path)] == ["10", "20", "30"]


def test_the_commit_is_git_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    head = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    found = ledger.commit()
    assert (found or "").rstrip("+") == head.stdout.strip()
    monkeypatch.setattr(ledger, "PROJECT", tmp_path)
    assert ledger.commit() is None


def test_it_names_no_user(tmp_path: Path) -> None:
    file = ledger.append(tmp_path, record(), PLAN, began=1.0)
    names = set(json.loads(file.read_bytes()))
    assert not {"user", "login", "email"} & names
    assert f"/{getpass.getuser()}/" not in file.read_text(encoding="utf-8")


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"stage": 1}', encoding="utf-8")
    with pytest.raises(LineageError, match=r"x\.json: not a line of the ledger"):
        ledger.read(tmp_path)
