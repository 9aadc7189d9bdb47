"""A slide sixteen times larger needs no more memory."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import hostile_makers

ROOT = Path(__file__).parents[2]
MOST_TIMES = 1.3
MOST_STORE_BYTES = 300 * 2**20


def peak_mb(slide: Path, out: Path) -> float:
    """The most memory of a process that ingests `slide` with two workers."""
    command = [sys.executable, "-m", "tests.faults.memory_child", str(slide), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAWMILL_WORKERS": "2"}
    return float(subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    peaks = {}
    for side in (10_000, 40_000):
        out = tmp_path / f"{side}.zarr"
        peaks[side] = peak_mb(hostile_makers.write_huge(tmp_path / f"{side}.tif", side), out)
        record_property(f"peak_mb_{side}", peaks[side])
        assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) < MOST_STORE_BYTES
    print(f"peak RSS in MB: {peaks}")
    assert peaks[40_000] <= MOST_TIMES * peaks[10_000]
