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
MOST_MANIFEST_BYTES = 50_000_000
"""Some 500,000 lines."""
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
        _check_size(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            if set(names) != set(COLUMNS) or len(names) != len(COLUMNS):
                raise InputError(fault(path, f"columns {','.join(names)}", header, "mend the first line"))
            rows = [{name: row[name] or "" for name in COLUMNS} for row in reader]
    except FileNotFoundError:
        remedy = "write one, name the files themselves, or say --kind of a published dataset"
        raise InputError(fault(path, "not there", f"a manifest with the columns {header}", remedy)) from None
    except OSError as error:
        wrong = os.strerror(error.errno or 0).lower()
        raise InputError(fault(path, wrong, f"a manifest with the columns {header}", "mend the permissions")) from None
    except (csv.Error, UnicodeDecodeError):
        raise InputError(fault(path, "not a CSV file in UTF-8", f"the columns {header}", "save it again")) from None
    if not rows:
        raise InputError(fault(path, "no lines", "one a source file", "list the files"))
    return rows


def _check_size(path: Path) -> None:
    """Raise `InputError` where the file is too large to be read whole: asked before memory is taken."""
    size = path.stat().st_size
    if size > MOST_MANIFEST_BYTES:
        remedy = "split the dataset in parts"
        raise InputError(fault(path, f"{size} bytes", f"at most {MOST_MANIFEST_BYTES} of a manifest", remedy))


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
    if escapes or leaves(folder, path):
        raise BadFile(manifest, f"line {number}: {name!r} leaves the folder", "a path inside it", LEAVE_OUT)
    if not name or not _is_file(path):
        raise BadFile(manifest, f"line {number}: {name!r} is not there", "an existing file", LEAVE_OUT)
    return path


def leaves(folder: Path, path: Path) -> bool:
    """Whether `path`, its links followed, lies outside `folder`."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def entries_from_files(files: Sequence[Path]) -> tuple[Path, list[Entry], list[BadFile]]:
    """(folder, entries, faults) of a user's own files: each is its own group, named by its stem.

    PNG and GeoJSON files are the annotation of the picture with the same stem.
    """
    if not files:
        raise InputError(fault("ingest", "no files", "at least one picture", "name them"))
    absolute = sorted({Path(os.path.realpath(f.parent)) / f.name for f in files})
    folder = Path(os.path.commonpath([f.parent for f in absolute]))
    pictures = [f for f in absolute if f.suffix.lower() not in ANNOTATIONS]
    notes: dict[str, list[Path]] = {}
    for f in absolute:
        if f.suffix.lower() in ANNOTATIONS:
            notes.setdefault(f.stem, []).append(f)
    ids = Counter(safe_id(f.stem) for f in pictures)
    bad = [
        BadFile(f, "no picture with this name", f"a picture named {stem}.*", "name the picture too")
        for stem in sorted(set(notes) - {p.stem for p in pictures})
        for f in notes[stem]
    ]
    entries = []
    for f in pictures:
        masks = notes.get(f.stem, [])
        if ids[safe_id(f.stem)] > 1:
            bad.append(BadFile(f, f"another file is named {f.stem} too", "different names", "rename one of them"))
        elif len(masks) > 1:
            wrong = f"{len(masks)} annotations: {', '.join(m.name for m in masks)}"
            bad.append(BadFile(f, wrong, "at most one", "leave the others out"))
        else:
            entries.append(_plain(f, masks[0] if masks else None, folder))
    return folder, sorted(entries, key=lambda e: e.id), bad


def _plain(path: Path, mask: Path | None, folder: Path) -> Entry:
    name = safe_id(path.stem)
    annotation = mask.relative_to(folder).as_posix() if mask else ""
    return Entry(path.relative_to(folder).as_posix(), name, name, "", annotation, 1.0)


def safe_id(stem: str) -> str:
    """`stem` as an id: what is not a letter, digit, dot, dash or underscore becomes an underscore."""
    text = re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:100]
    return text if SAFE_ID.fullmatch(text) else f"x{text}"[:100]
