"""A step carried out right here, without Prefect: waves, the lock, and damage named."""

import threading
import types
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from flows._local import _await_all, carry_out
from tasks import output, store
from tasks.errors import InputError, LineageError, StoreError
from tasks.lineage.recipe import Plan, artefact
from tests.lineage_chain import crops, seal

ITEMS = tuple("abcd")


def toy(process) -> types.ModuleType:  # type: ignore[no-untyped-def]
    """A step whose items are what `process(job, item)` makes of them."""
    module = types.ModuleType("toy")
    module.process = process  # type: ignore[attr-defined]
    module.finish = output.publish  # type: ignore[attr-defined]
    return module


def write(job: output.Job, item: str) -> None:
    found = "".join(sorted(p.name for p in job.content.iterdir()))
    file = job.content / item
    file.write_text(found if item in job.closing else item)
    output.mark_done(job, item, [file])


def start(out: Path, inputs: object = (), closing: tuple[str, ...] = ("whole",)) -> output.Job:
    plan = Plan("toy", "toy", inputs, {}, "tasks.rng", "make toy")  # type: ignore[arg-type]
    return output.start(out, plan, ITEMS, lambda _: None, closing)


def test_closing_items_see_all_others_and_a_second_call_makes_nothing(tmp_path: Path) -> None:
    out, calls = tmp_path / "out", []

    def counted(job: output.Job, item: str) -> None:
        calls.append(item)
        write(job, item)

    record = carry_out(toy(counted), lambda: start(out))
    assert (out / "whole").read_text() == "abcd"
    assert carry_out(toy(counted), lambda: start(out)).root == record.root
    assert (sorted(calls[:4]), calls[4:]) == (list(ITEMS), ["whole"])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_second_wave_does_not_begin_after_a_fault_in_the_first(tmp_path: Path) -> None:
    faults, calls = ["b"], []

    def process(job: output.Job, item: str) -> None:
        calls.append(item)
        if item in faults:
            raise InputError("b.tif: bad")
        write(job, item)

    with pytest.raises(InputError, match=r"b\.tif"):
        carry_out(toy(process), lambda: start(tmp_path / "out"))
    assert sorted(calls) == list(ITEMS)
    faults.clear()
    carry_out(toy(process), lambda: start(tmp_path / "out"))
    assert calls[4:] == ["b", "whole"], "finished items are not done again"


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_has_not_begun_is_left_undone_when_the_user_ends_it(end: type[BaseException]) -> None:
    done, waiting = Future[None](), Future[None]()
    done.set_result(None)

    def advance() -> None:
        raise end

    with pytest.raises(end):
        _await_all([done, waiting], advance)
    assert waiting.cancelled()


def test_of_two_at_once_one_makes_it_and_the_other_says_so(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(job: output.Job, item: str) -> None:
        inside.set()
        assert leave.wait(10)
        write(job, item)

    first = threading.Thread(target=lambda: carry_out(toy(slow), lambda: start(tmp_path / "out")))
    first.start()
    assert inside.wait(10)
    with pytest.raises(StoreError, match="another process is making it"):
        carry_out(toy(write), lambda: start(tmp_path / "out"))
    leave.set()
    first.join()
    assert (tmp_path / "out" / "whole").is_file()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A store of two crops that a step may read."""
    seal(tmp_path / "raw.zarr", "ingest", [], {}, crops("mosaic", (16, 16)))
    return tmp_path / "raw.zarr"


def reads(raw: Path, fails: Exception | None = None):  # type: ignore[no-untyped-def]
    def process(job: output.Job, item: str) -> None:
        total = int(np.asarray(store.open_array(raw / "mosaic")[1]).sum())
        if fails:
            raise fails
        (job.content / item).write_text(str(total))
        output.mark_done(job, item, [job.content / item])

    return process


def test_a_flipped_bit_in_a_shard_that_a_step_reads_is_one_line_with_its_file(raw: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out", raw / "mosaic/c/1/0/0"
    inputs = [artefact("raw", raw, out)]
    whole = file.read_bytes()
    for at in (3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(LineageError, match=r"raw\.zarr/mosaic/c/1/0/0: sha256 .*; expected .*; mend it with"):
            carry_out(toy(reads(raw)), lambda: start(out, inputs))
    file.write_bytes(whole)
    assert carry_out(toy(reads(raw)), lambda: start(out, inputs))


def test_bugs_stay_bugs(raw: Path, tmp_path: Path) -> None:
    """With damage elsewhere, and in zarr with whole inputs: the exception is what it was."""
    file = raw / "mosaic/c/0/0/0"
    inputs = [artefact("raw", raw, tmp_path / "out")]

    def out_of_bounds(job: output.Job, item: str) -> None:
        store.open_array(raw / "mosaic")[99]

    with pytest.raises(IndexError):
        carry_out(toy(out_of_bounds), lambda: start(tmp_path / "out", inputs))
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(ValueError, match="a bug"):
        carry_out(toy(reads(raw, ValueError("a bug"))), lambda: start(tmp_path / "out", inputs))
