"""The benchmark of the ingest runs and prints what it promises; its figures are for people, never for a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif("RAWMILL_REAL_DATA" not in os.environ, reason="RAWMILL_REAL_DATA names no folder with the slide")
def test_the_benchmark_of_the_ingest_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingest",
        "--small",
        "--scratch",
        tmp_path,
        "--json",
        tmp_path / "f.json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    everyone = {"floor", "rawmill", "rawmill verify", "ome-zarr", "ome-zarr chunks"}
    assert {what: set(names) for what, names in found.items()} == {
        "slide": everyone | {"rawmill keep"},
        "frames": everyone,
    }
    assert all(one["mpix_per_s"] > 0 and one["peak_mb"] > 0 for names in found.values() for one in names.values())
    assert sum(line.startswith("  rawmill is ") for line in done.stdout.splitlines()) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "f.json"]
