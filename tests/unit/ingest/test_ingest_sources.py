"""Sources that change, go away and come back under an ingest: what is stored is what the receipt names, or nothing."""

from pathlib import Path

import pytest

from tasks import output
from tasks.errors import LineageError
from tasks.ingest import layout, step
from tasks.output import Job
from tests import makers
from tests.unit.ingest.test_ingest_step import run


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slide of four columns."""
    monkeypatch.setattr(layout, "SHARD_PX", 512)


def job_of(path: Path, out: Path, **changes: object) -> Job:
    return step.prepare_files([path], out, makers.params("slides", **changes), None, {})


def slide(path: Path, key: int) -> bytes:
    makers.write_slide(path, makers.picture_of(800, 900, key=key), tile=256)
    return path.read_bytes()


def test_columns_read_from_another_file_are_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    other, first = slide(path, 2), slide(path, 1)
    (tmp_path / "whole").mkdir()
    whole = run(job_of(path, tmp_path / "whole" / "o.zarr")).root
    job = job_of(path, tmp_path / "o.zarr")
    step.process(job, job.items[0])
    path.write_bytes(other)
    for item in job.items[1:]:
        step.process(job, item)
    path.write_bytes(first)
    with pytest.raises(LineageError, match=r"s\.tif: changed while \d of its columns were read"):
        step.process(job, job.closing[0])
    again = job_of(path, tmp_path / "o.zarr")
    assert output.todo(again)
    assert run(again).root == whole


def test_a_source_that_is_another_at_the_end_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    other = slide(path, 2)
    slide(path, 1)
    job = job_of(path, tmp_path / "o.zarr")
    for item in job.items:
        step.process(job, item)
    path.write_bytes(other)
    with pytest.raises(LineageError, match=r"s\.tif: SHA-256 \w+; expected \w+"):
        step.process(job, job.closing[0])


@pytest.mark.parametrize("kind", ["slides", "frames"])
def test_a_medium_that_goes_away_for_a_moment_is_no_bad_file(tmp_path: Path, kind: str) -> None:
    folder = makers.FOLDERS[kind](tmp_path / "in")
    job = step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS[kind](), "test", "again")
    folder.rename(tmp_path / "away")
    with pytest.raises(LineageError, match="no such file or directory; expected the source; put it back"):
        step.process(job, job.items[0])
    (tmp_path / "away").rename(folder)
    again = step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS[kind](), "test", "again")
    assert run(again).rejected == ()


def test_what_an_interrupted_run_of_another_policy_left_does_not_stay(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(130, 170))
    open_handed = job_of(path, tmp_path / "o.zarr", deidentify=False)
    for item in (*open_handed.items, *open_handed.closing):
        step.process(open_handed, item)
    assert (open_handed.content / "slides" / "s" / "associated" / "label").is_dir()
    run(job_of(path, tmp_path / "o.zarr", deidentify=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.zarr", "s.svs"]
