"""A table of hostile files, each beside good ones, all in one process: its one line, soon, in little memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hostile_child import table
from tests.faults.hostile_rows import Row

ROOT = Path(__file__).parents[2]
MOST_SECONDS, MOST_MB = 60.0, 500.0  # a guard against hanging, not a measure: most rows take a tenth of a second
TABLE = table()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a user without rights can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def report(place: Path) -> list[dict[str, Any]]:
    """What the child tells: of itself, then of each row that it came to."""
    command = [sys.executable, "-m", "tests.faults.hostile_child", str(ROOT / "params.yaml"), str(place)]
    threads = {"OMP_NUM_THREADS": "1", "RAWMILL_WORKERS": "2"}
    child = subprocess.run(command, cwd=ROOT, env={**os.environ, **threads}, capture_output=True, text=True)
    told = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"it ended at row {len(told)}: {child.stderr[-3000:]}"
    return told


def test_the_table_is_long() -> None:
    assert len(TABLE) > 150
    assert sum(bool(row.names) for row in TABLE.values()) > 120


@pytest.mark.parametrize("name", TABLE)
def test_a_hostile_file(report: list[dict[str, Any]], name: str) -> None:
    row, told = TABLE[name], next(one for one in report if one.get("name") == name)
    assert told["error"] in ("", "BatchError", "InputError", "BadFile"), told["lines"]
    assert told["seconds"] < MOST_SECONDS
    assert told["left"] == []
    assert told["wrong_pixels"] == []
    assert not any("\n" in line for line in told["lines"])
    assert all(row.words in line and line.count("; ") >= 2 for line in told["lines"]), told["lines"]
    if row.cuts:
        check_cuts(told)
    else:
        check_lines(row, told)


def check_cuts(told: dict[str, Any]) -> None:
    """Each cut is refused by name or does not touch a pixel."""
    assert "good" in told["stored"]
    named = [Path(line.split(": ")[0]).stem for line in told["lines"]]
    assert len(named) > 10
    assert sorted([*named, *told["stored"]]) == sorted({*named, *told["stored"]})
    assert len(named) + len(told["stored"]) == told["files"]


def check_lines(row: Row, told: dict[str, Any]) -> None:
    """One line for each of the bad, and all of the others are stored."""
    named = [line.split(": ")[0] for line in told["lines"]]
    assert [n.endswith(f"/{name}") for n, name in zip(sorted(named), sorted(row.names), strict=True)] == [True] * len(
        named
    )
    good = {"good", "good-2"} if row.kind == "crops" else {"good"}
    assert set(told["stored"]) == (set() if row.nothing else {*good, *row.also})


def test_the_whole_table_stays_within_the_memory(report: list[dict[str, Any]]) -> None:
    assert {one["name"]: one["peak_mb"] for one in report[1:] if one["peak_mb"] >= MOST_MB} == {}
