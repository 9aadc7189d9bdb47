"""Storage and process faults of an ingest: a full disk, a kill in the middle, a second start."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks import output, store
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.errors import StoreError
from tasks.ingest import step
from tasks.ingest.proving.verify import verify
from tasks.lineage.recipe import check_files, read
from tests import makers

KINDS = sorted(makers.FOLDERS)

WORKER = """
import sys, time
from pathlib import Path
from tasks import output, store
from tasks.ingest import step
from tests import makers
folder, out, kind, writes = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
whole, done = store.write, []
def write(path, window, data, encoded=None):
    if len(done) == writes:
        shard = store.shard_file(path, store.open_array(path), window)
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.write_bytes(b"half a shard")
        print("in the middle", flush=True)
        time.sleep(600)
    done.append(whole(path, window, data, encoded))
    return done[-1]
store.write = write
job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
for wave in output.waves(job):
    for item in output.todo(job, wave):
        step.process(job, item)
"""


def run(folder: Path, out: Path, kind: str) -> Record:
    job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
    return output.complain(carried_out(job))


def carried_out(job: output.Job) -> Record:
    """All that is not done yet, wave by wave."""
    for wave in output.waves(job):
        for item in output.todo(job, wave):
            step.process(job, item)
    return step.finish(job)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_and_the_second_start_completes(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = makers.FOLDERS[kind](tmp_path / "in"), tmp_path / "out" / "o.zarr"

    def full(*_: Any) -> Path:
        with storage_faults(out):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", full)
        with pytest.raises(StoreError, match="no space left on device") as caught:
            run(folder, out, kind)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code != 0
    assert not out.exists()
    record = run(folder, out, kind)
    assert record.root == run(folder, tmp_path / "fresh" / "o.zarr", kind).root
    assert [path.name for path in out.parent.iterdir()] == ["o.zarr"]


KILLED = [
    ("crops", 0, ["crops-000000"]),
    ("frames", 3, ["f1", "f2"]),
    ("slides", 14, ["s1/000000", "s0", "s1"]),
    ("slides", 21, ["s1"]),
]
"""Kind, how many shards are written before the kill, and what is not done then."""


@pytest.mark.parametrize(("kind", "writes", "waiting"), KILLED)
def test_killed_work_resumes_to_the_same_bytes(tmp_path: Path, kind: str, writes: int, waiting: list[str]) -> None:
    """SIGKILL while a shard is half written; what was done before is kept, the rest is done anew."""
    folder, out = makers.FOLDERS[kind](tmp_path / "in"), tmp_path / "out" / "o.zarr"
    command = [sys.executable, "-c", WORKER, str(folder), str(out), kind, str(writes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "in the middle\n"
        worker.send_signal(signal.SIGKILL)
    assert worker.returncode == -signal.SIGKILL
    assert not out.exists()
    job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
    assert output.todo(job) == waiting
    assert carried_out(job).root == run(folder, tmp_path / "fresh" / "o.zarr", kind).root


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_store_is_replaced_whole(tmp_path: Path, kind: str) -> None:
    """Other sources under the same name: the old store stays until the new one is whole."""
    folder, out = makers.FOLDERS[kind](tmp_path / "in", count=3), tmp_path / "o.zarr"
    first = run(folder, out, kind)
    makers.FOLDERS[kind](folder, count=2)
    job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
    for item in (*job.items, *job.closing):
        step.process(job, item)
        check_files(out)
        assert read(out)["output"]["root"] == first.root
    assert step.finish(job).root != first.root
    assert [path.name for path in tmp_path.iterdir() if "o.zarr" in path.name] == ["o.zarr"]


@pytest.mark.parametrize("kind", KINDS)
def test_part_files_of_the_killed_leave_no_trace(tmp_path: Path, kind: str) -> None:
    """Neither in the store nor in the digests of its images, which are taken before it is published."""
    folder, out = makers.FOLDERS[kind](tmp_path / "in"), tmp_path / "out" / "o.zarr"
    job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
    for wave in output.waves(job):
        for item in output.todo(job, wave):
            step.process(job, item)
    metadata = list(job.content.rglob("zarr.json"))
    for file in metadata:
        (file.parent / ".0.123-456.part").write_bytes(b"half a shard")
        file.with_suffix(".0123456789abcdef.partial").write_bytes(b"half of the metadata")
    assert len(metadata) > 0
    assert step.finish(job).root == run(folder, tmp_path / "fresh" / "o.zarr", kind).root
    assert verify(out, lambda done, total: None).files > 0
