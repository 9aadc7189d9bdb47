"""Carries out the table of hostile files in one process, and reports a line of JSON a row.

`python -m tests.faults.hostile_child PARAMS.yaml FOLDER` ingests every row in FOLDER as the command does. A row that
takes longer than `MOST_SECONDS` ends the process, with a traceback of where it was.
"""

import faulthandler
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows._local import carry_out
from tasks import store
from tasks.errors import BatchError
from tasks.ingest import receipts, step
from tasks.ingest.params import IngestParams
from tasks.lineage.recipe import check_files
from tasks.output import Job
from tasks.params import load
from tests import makers
from tests.faults import hostile_folders, hostile_pictures
from tests.faults.hostile_rows import GOOD, Row, truth
from tests.faults.memory_child import peak_mb

MOST_SECONDS = 60
NOBODY = 65534
PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Outcome:
    """What came of a row: `left` are names beside the store and part files in it."""

    name: str
    seconds: float
    peak_mb: float
    error: str
    lines: tuple[str, ...]
    stored: tuple[str, ...]
    wrong_pixels: tuple[str, ...]
    files: int
    left: tuple[str, ...]


def table() -> dict[str, Row]:
    return {**hostile_pictures.rows(), **hostile_folders.rows()}


def laid_out(folder: Path, row: Row) -> Path:
    """The good files and the bad ones; returns the good one."""
    folder.mkdir(parents=True)
    _, ending, make = GOOD[row.kind]
    good = folder / f"good{ending}"
    make(good)
    if row.kind == "crops":  # the commonest size counts
        shutil.copy(good, folder / f"good-2{ending}")
    if row.lines is not None:
        makers.write_manifest(folder, [{"file": good.name, "id": "good"}])
        with (folder / "manifest.csv").open("a", encoding="utf-8", newline="") as manifest:
            manifest.write(row.lines)
    row.make(folder)
    return good


def files_of(folder: Path) -> list[Path]:
    """What a user would name: all but what is meant to be out of sight."""
    return sorted(
        p for p in folder.rglob("*") if p.name.startswith("bad") or (not p.is_dir() and p.parent.name != "beside")
    )


def job_of(folder: Path, out: Path, row: Row, params: IngestParams, calibration: Path, files: Sequence[Path]) -> Job:
    if row.lines is not None:
        return step.prepare(folder, out, params, "hostile", "again")
    return step.prepare_files(files, out, params, calibration if row.kind == "crops" else None, {})


@contextmanager
def as_nobody(place: Path, really: bool) -> Iterator[None]:
    """Without the rights of root, which may read everything."""
    if not really or os.geteuid() != 0:
        yield
        return
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def forget_peak() -> None:
    """Begin the measure of memory anew, where the kernel can."""
    with suppress(OSError):
        PEAK.write_text("5", encoding="ascii")


def carried_out(name: str, row: Row, place: Path, params: IngestParams) -> Outcome:
    """One row, in a folder of its own."""
    good = laid_out(place / "in", row)
    out, calibration, files = (
        place / "out" / "o.zarr",
        makers.write_calibration(place / "c.json"),
        files_of(place / "in"),
    )
    out.parent.mkdir()
    known = params.model_copy(update={"kind": GOOD[row.kind][0]})
    error: Exception | None = None
    forget_peak()
    with as_nobody(place, row.unprivileged):
        start = time.perf_counter()
        try:
            carry_out(step, lambda: job_of(place / "in", out, row, known, calibration, files))
        except Exception as caught:  # whatever it is, the other rows go on, and the test says which it was
            error = caught
        seconds, peak = time.perf_counter() - start, peak_mb()
    lines = error.faults if isinstance(error, BatchError) else (str(error),) if error else ()
    stored = pixels_of(out) if out.exists() else {}
    wanted = truth(row.kind, good)
    wrong = [n for n, pixels in stored.items() if not np.array_equal(pixels, 0 * pixels if n in row.zeros else wanted)]
    left = [p.name for p in out.parent.iterdir() if p != out] + [p.name for p in out.rglob(".*")]
    how = type(error).__name__ if error else ""
    return Outcome(name, seconds, peak, how, lines, tuple(stored), tuple(wrong), len(files), tuple(left))


def pixels_of(out: Path) -> dict[str, Any]:
    """The pixels of each source in the store, whose digests must hold."""
    check_files(out)
    found = {}
    for told in receipts.read(out):
        if told.image is not None:
            array = store.open_array(out / told.image.path / ("" if told.image.index is not None else "0"))
            found[told.id] = np.asarray(array[...] if told.image.index is None else array[told.image.index])
    return found


def main(params_file: Path, place: Path) -> None:
    params = load(params_file, "ingest.files", IngestParams)
    params = params.model_copy(update={"pixel_size_um": 1.0, "source_classes": ("a",)})
    print(json.dumps({"base_mb": peak_mb()}), flush=True)
    for number, (name, row) in enumerate(table().items()):
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        outcome = carried_out(name, row, place / str(number), params)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(asdict(outcome)), flush=True)
        shutil.rmtree(place / str(number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
