"""A synthetic image sixteen times larger needs no more memory: mask, latents, decode and pyramid."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks import store

ROOT = Path(__file__).parents[2]
MOST_TIMES = 1.3


def peak_mb(folder: Path, side_px: int) -> float:
    """The most memory of a process that synthesises one image of `side_px` x `side_px`."""
    command = [sys.executable, "-m", "tests.faults.synthesis_memory_child", str(folder), str(side_px)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAWMILL_WORKERS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(2400)  # under a minute and a half on two quiet cores
def test_memory_does_not_grow_with_the_canvas(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    peaks = {}
    for side in (4_096, 16_384):
        peaks[side] = peak_mb(tmp_path / str(side), side)
        record_property(f"peak_mb_{side}", peaks[side])
        sample = tmp_path / str(side) / "tissue.zarr" / "samples" / "s00000"
        assert store.open_array(sample / "0").shape == (3, side, side)
        assert len(np.unique(store.open_array(sample / "labels" / "mask" / "3")[:])) > 1
    print(f"peak RSS in MB: {peaks}")
    assert peaks[16_384] <= MOST_TIMES * peaks[4_096]
