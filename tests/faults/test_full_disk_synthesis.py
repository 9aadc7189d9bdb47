"""A disk that is full at any moment of a synthesis: one line, nothing half-made, and it goes on when there is room."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import synthetic_models

ROOT = Path(__file__).parents[2]
DISK, STEP = 2**20, 2**13
WORKER = """
import sys
from pathlib import Path
from tasks.errors import StoreError
from tasks.lineage.recipe import read
from tests.synthetic_models import synthesise
models, disk, size, step, out = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
out = disk / out
filler = disk / "filler"
filler.write_bytes(b"x" * (size - 2**15))
while True:
    try:
        synthesise(models, out, 1, (70, 90), {"record": True})
        break
    except StoreError as error:
        assert not out.exists()
        print("full:", str(error).replace("\\n", "|"), flush=True)
    assert filler.stat().st_size, "the disk is empty and it still does not fit"
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - step))
filler.unlink()
print("left:", *sorted(path.name for path in disk.iterdir()))
print("root:", read(out)["output"]["root"])
"""


def on_a_disk(folder: Path, models: Path, size: int) -> list[str]:
    """What the worker prints, with a disk of `size` bytes mounted at `folder` in a namespace of its own."""
    folder.mkdir()
    private = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    worker = [sys.executable, "-c", WORKER, str(models), str(folder), str(size), str(STEP), "o.zarr"]
    shell = [*private, "sh", "-c", command, "sh", str(size), str(folder), *worker]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_moment(tmp_path: Path) -> None:
    models = synthetic_models.train(tmp_path)
    calm = tmp_path / "calm" / "o.zarr"
    synthetic_models.synthesise(models, calm, 1, (70, 90), {"record": True})
    *faults, left, root = on_a_disk(tmp_path / "disk", models, DISK)
    assert len(faults) >= 5
    for line in faults:
        assert line.startswith("full: ") and "|" not in line, line
        assert "no space left on device; expected a place to write; free some space and run again" in line, line
    assert left == "left: o.zarr"
    assert root == f"root: {synthetic_models.root_of(calm)}"
