"""Outputs are staged, resumable, verified and renamed into place."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import output
from tasks.errors import BatchError, InputError, StoreError
from tasks.lineage import recipe
from tasks.lineage.recipe import Plan

ITEMS = ("a", "b", "c")


def plan(**params: object) -> Plan:
    return Plan("toy", "toy", [], params, "tasks.rng", "make toy")


def fill(job: output.Job, item: str) -> None:
    file = job.content / f"{item}.txt"
    file.write_text(item * 3)
    output.mark_done(job, item, [file], {"length": 3})


def start(out: Path, **params: object) -> output.Job:
    return output.start(out, plan(**params), ITEMS, lambda content: (content / "head").write_text("x"))


def make(out: Path, **params: object) -> output.Record:
    job = start(out, **params)
    for item in output.todo(job):
        fill(job, item)
    return output.publish(job)


def close(out: Path) -> output.Job:
    """A job of two waves."""
    return output.start(out, plan(), ITEMS, lambda content: None, ["whole/x", "whole/y"])


def test_nothing_stands_under_the_final_name_before_all_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = start(out)
    fill(job, "a")
    assert not out.exists()
    with pytest.raises(StoreError, match="2 items not done, first b"):
        output.publish(job)
    assert not out.exists()


def test_a_restart_goes_on_where_it_stopped_and_gives_the_same_root(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole")
    fill(start(tmp_path / "out"), "b")
    job = start(tmp_path / "out")
    assert output.todo(job) == ["a", "c"]
    assert make(tmp_path / "out").root == whole.root
    assert not job.staging.exists()


def test_a_half_written_file_is_not_done(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    fill(job, "a")
    (job.content / "a.txt").write_text("a")
    assert output.todo(job) == list(ITEMS)


def test_a_start_killed_in_setup_is_made_afresh(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    (job.staging / "ready").unlink()
    (job.content / "rubbish").write_text("half")
    assert make(tmp_path / "out").root == make(tmp_path / "other").root


def test_another_plan_gets_another_staging_place(tmp_path: Path) -> None:
    assert start(tmp_path / "out", x=1).staging != start(tmp_path / "out", x=2).staging


def test_the_same_plan_elsewhere_gives_the_same_recipe(tmp_path: Path) -> None:
    assert make(tmp_path / "a" / "out").recipe == make(tmp_path / "b" / "out").recipe


def test_a_finished_output_is_recognised_by_its_plan_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = make(out, x=1)
    found = output.finished(start(out, x=1))
    assert found is not None
    assert (found.root, found.recipe) == (record.root, record.recipe)
    assert output.finished(start(out, x=2)) is None
    (out / "a.txt").write_text("aab")
    assert output.finished(start(out, x=1)) is None
    (out / "a.txt").unlink()
    assert output.finished(start(out, x=1)) is None


def test_killed_after_the_swap_what_is_left_of_staging_does_not_stop_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    job = start(out)
    for item in ITEMS:
        fill(job, item)
    with monkeypatch.context() as patch:
        patch.setattr(output, "abandon", lambda job: None)
        record = output.publish(job)
    assert (job.staging / "ready").exists()
    assert make(out).root == record.root


def test_rejected_inputs_are_remembered_by_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = start(out)
    for item in ITEMS:
        fill(job, item)
    with pytest.raises(BatchError, match="1 bad, 2 done"):
        output.complain(output.publish(job, rejected=["x.dng: bad"], accepted=2))
    again = output.finished(start(out))
    assert again is not None
    assert (again.rejected, again.accepted) == (("x.dng: bad",), 2)


def test_an_older_output_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, x=1)
    make(out, x=2)
    assert recipe.read(out)["params"] == {"x": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["file", "folder", "symlink"])
def test_what_rawmill_did_not_make_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    else:
        folder = out if kind == "folder" else tmp_path / "elsewhere"
        folder.mkdir()
        (folder / "precious").write_text("precious")
        if kind == "symlink":
            out.symlink_to(folder)
    with pytest.raises(InputError, match="not an output of rawmill"):
        start(out)
    assert out.exists()


def test_a_full_disk_is_one_clear_line_and_the_work_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = start(tmp_path / "out")
    fill(job, "a")

    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match=r"no space left on device; .*finished work is kept"):
            fill(job, "b")
    assert output.todo(job) == ["b", "c"]


def test_abandoned_work_leaves_nothing(tmp_path: Path) -> None:
    output.abandon(start(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_a_failed_swap_puts_the_old_output_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    old = make(out, x=1)
    job = start(out, x=2)
    for item in ITEMS:
        fill(job, item)
    rename = Path.rename

    def torn(self: Path, target: Path) -> Path:
        if self == job.content:
            raise OSError(errno.EIO, "torn")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", torn)
    with pytest.raises(OSError, match="torn"):
        output.publish(job)
    assert recipe.digest_of(recipe.read(out)) == old.recipe
    shutil.rmtree(job.staging)


def test_closing_items_are_a_second_wave(tmp_path: Path) -> None:
    job = close(tmp_path / "out")
    assert output.waves(job) == [ITEMS, ("whole/x", "whole/y")]
    assert output.waves(start(tmp_path / "plain")) == [ITEMS]
    assert output.waves(output.start(tmp_path / "none", plan(), [], lambda content: None)) == []
    fill(job, "b")
    assert output.todo(job) == ["a", "c", "whole/x", "whole/y"]
    assert output.todo(job, ITEMS) == ["a", "c"]
    assert output.todo(job, job.closing) == ["whole/x", "whole/y"]


def test_an_item_cannot_be_in_both_waves(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['b'\]"):
        output.start(tmp_path / "out", plan(), ITEMS, lambda content: None, ["b"])


def test_nothing_is_published_without_the_closing_items(tmp_path: Path) -> None:
    job = close(tmp_path / "out")
    for item in ITEMS:
        fill(job, item)
    with pytest.raises(StoreError, match="2 items not done, first whole/x"):
        output.publish(job)
    for item in job.closing:
        output.mark_done(job, item, [], {"sum": 9})
    assert output.claim(job, "whole/x") == {"item": "whole/x", "files": {}, "facts": {"sum": 9}}
    assert output.publish(job).path.is_dir()


def test_what_changed_since_its_receipt_is_not_published(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    for item in ITEMS:
        fill(job, item)
    (job.content / "b.txt").write_text("bbc")
    with pytest.raises(StoreError, match="1 items not done, first b"):
        output.publish(job)
    (job.content / "b.txt").unlink()
    with pytest.raises(StoreError, match="1 items not done, first b"):
        output.publish(job)


def test_a_spoilt_receipt_is_none(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    fill(job, "a")
    (file,) = (job.staging / "done").iterdir()
    for text in ("", "{", "[]", '{"item": "a"}', '{"item": "z", "files": {}}', '{"item": "a", "files": []}'):
        file.write_text(text)
        assert output.claim(job, "a") is None, text
        assert output.todo(job, ["a"]) == ["a"], text


def test_part_files_of_killed_workers_are_not_published(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole")
    job = start(tmp_path / "out")
    (job.content / "deep").mkdir()
    (job.content / ".a.txt.part").write_text("half")
    (job.content / "deep" / ".x.part").write_text("half")
    (job.content / ".d.part").mkdir()
    for item in ITEMS:
        fill(job, item)
    assert output.publish(job).root == whole.root
    assert not list((tmp_path / "out").rglob("*.txt.part"))


HOLD = """
import sys
from pathlib import Path
from tasks.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(out: Path) -> subprocess.Popen[str]:
    """Another process that makes `out`."""
    lock = str(out.with_name(f".{out.name}.lock"))
    other = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=-1, stdout=-1, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def test_two_processes_never_make_the_same_output(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    with holder(tmp_path / "out") as other:
        with (
            pytest.raises(StoreError, match=r"out: another process is making it; .*wait for that one"),
            output.alone(job),
        ):
            pytest.fail("both make it")
        with pytest.raises(StoreError, match="another process"):
            start(tmp_path / "out", x=2)
        with output.alone(start(tmp_path / "beside")):
            pass
        other.communicate("")
    with output.alone(job):
        assert (tmp_path / ".out.lock").exists()
        with pytest.raises(StoreError, match="another process"), output.alone(job):
            pytest.fail("two threads make it")
    assert not list(tmp_path.glob(".*.lock")), "no lock stays behind"


def test_a_killed_process_leaves_no_lock_to_break(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    with holder(tmp_path / "out") as other:
        other.kill()
    assert (tmp_path / ".out.lock").exists()
    with output.alone(job):
        pass
    assert not (tmp_path / ".out.lock").exists()


def test_what_another_process_finished_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    make(tmp_path / "out")
    with pytest.raises(StoreError, match="finished it meanwhile"), output.alone(job):
        pytest.fail("made again")


def test_errors_of_the_work_pass_the_lock_as_they_are(tmp_path: Path) -> None:
    job = start(tmp_path / "out")
    with pytest.raises(PermissionError), output.alone(job):
        raise PermissionError(errno.EACCES, "an input")
    with output.alone(job):
        pass
