"""Which files belong to a dataset: its manifest.csv, or a plain list of a user's files.

A manifest comes from elsewhere, so its paths are distrusted: nothing absolute, no `..`, no symlink that leads
out of the folder.
"""

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import InputError, fault
from tasks.ingest.bad import BadFile

COLUMNS = ("file", "id", "group", "label", "mask", "intensity")
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ANNOTATIONS = (".geojson", ".json", ".png")
LEAVE_OUT = "mend the manifest or leave the line out"


@dataclass(frozen=True)
class Entry:
    """One source file; `file` and `mask` are POSIX paths relative to the dataset's folder, `mask` may be empty."""

    file: str
    id: str
    group: str
    label: str
    mask: str
    intensity: float


def read_manifest(folder: Path) -> tuple[list[Entry], list[BadFile]]:
    """The usable lines of `folder`/manifest.csv sorted by id, and what is wrong with the others.

    Raises `InputError` where the manifest itself cannot be read.
    """
    path = folder / "manifest.csv"
    rows = _rows(path)
    twice = {name for name, n in Counter(row["id"] for row in rows).items() if n > 1}
    good, bad = [], []
    for number, row in enumerate(rows, start=2):
        try:
            good.append(_entry(folder, path, number, row, twice))
        except BadFile as error:
            bad.append(error)
    return sorted(good, key=lambda e: e.id), bad


def _rows(path: Path) -> list[dict[str, str]]:
    header = ",".join(COLUMNS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(fault(path, "not there", f"a manifest with the columns {header}", "write one")) from None
    except (csv.Error, UnicodeDecodeError):
        raise InputError(fault(path, "not a CSV file in UTF-8", f"the columns {header}", "save it again")) from None
    if set(names) != set(COLUMNS) or len(names) != len(COLUMNS):
        raise InputError(fault(path, f"columns {','.join(names)}", header, "mend the first line"))
    if not rows:
        raise InputError(fault(path, "no lines", "one a source file", "list the files"))
    return [{name: row[name] or "" for name in COLUMNS} for row in rows]


def _entry(folder: Path, path: Path, number: int, row: Mapping[str, str], twice: Iterable[str]) -> Entry:
    where = f"line {number}"
    if not SAFE_ID.fullmatch(row["id"]):
        expected = "letters, digits, dot, dash and underscore"
        raise BadFile(path, f"{where}: id {row['id']!r}", expected, LEAVE_OUT)
    if row["id"] in twice:
        raise BadFile(path, f"{where}: id {row['id']} stands there more than once", "different ids", LEAVE_OUT)
    if not row["group"]:
        raise BadFile(path, f"{where}: no group", "the smear, frame, slide or patient", LEAVE_OUT)
    intensity = _number(row["intensity"])
    if not 0 < intensity <= 1:
        raise BadFile(path, f"{where}: intensity {row['intensity']!r}", "a number in (0, 1]", LEAVE_OUT)
    inside(folder, path, number, row["file"])
    if row["mask"]:
        inside(folder, path, number, row["mask"])
    return Entry(row["file"], row["id"], row["group"], row["label"], row["mask"], intensity)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value


def inside(folder: Path, manifest: Path, number: int, name: str) -> Path:
    """The existing file `name` below `folder`; `BadFile` where the path leads out of it or to nothing."""
    pure = PurePosixPath(name)
    path = folder / name
    escapes = pure.is_absolute() or ".." in pure.parts or "\\" in name or "\x00" in name
    if escapes or not path.resolve().is_relative_to(folder.resolve()):
        raise BadFile(manifest, f"line {number}: {name!r} leaves the folder", "a path inside it", LEAVE_OUT)
    if not name or not path.is_file():
        raise BadFile(manifest, f"line {number}: {name!r} is not there", "an existing file", LEAVE_OUT)
    return path


def entries_from_files(files: Sequence[Path]) -> tuple[Path, list[Entry], list[BadFile]]:
    """(folder, entries, faults) of a user's own files: each is its own group, named by its stem.

    PNG and GeoJSON files are the annotation of the picture with the same stem.
    """
    if not files:
        raise InputError(fault("ingest", "no files", "at least one picture", "name them"))
    absolute = sorted({f.parent.resolve() / f.name for f in files})
    folder = Path(os.path.commonpath([f.parent for f in absolute]))
    notes = {f.stem: f for f in absolute if f.suffix.lower() in ANNOTATIONS}
    pictures = [f for f in absolute if f.suffix.lower() not in ANNOTATIONS]
    stems = Counter(_safe(f.stem) for f in pictures)
    bad = [
        BadFile(f, "no picture with this name", f"a picture named {stem}.*", "name the picture too")
        for stem, f in notes.items()
        if stem not in {p.stem for p in pictures}
    ]
    bad += [
        BadFile(f, f"another file is named {f.stem} too", "different names", "rename one of them")
        for f in pictures
        if stems[_safe(f.stem)] > 1
    ]
    entries = [_plain(f, notes.get(f.stem), folder) for f in pictures if stems[_safe(f.stem)] == 1]
    return folder, sorted(entries, key=lambda e: e.id), bad


def _plain(path: Path, mask: Path | None, folder: Path) -> Entry:
    name = _safe(path.stem)
    annotation = mask.relative_to(folder).as_posix() if mask else ""
    return Entry(path.relative_to(folder).as_posix(), name, name, "", annotation, 1.0)


def _safe(stem: str) -> str:
    text = re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:100]
    return text if SAFE_ID.fullmatch(text) else f"x{text}"[:100]
