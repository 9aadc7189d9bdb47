"""Which files belong to a dataset: its manifest.csv, or a plain list of a user's files.

A manifest comes from elsewhere, so its paths are distrusted: nothing absolute, no `..`, no symlink that leads
out of the folder.
"""

import csv
import math
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import BatchError, InputError, fault
from tasks.ingest.bad import BadFile
from tasks.lineage.digest import sha256_bytes

COLUMNS = ("file", "id", "group", "label", "mask", "intensity")
OPTIONAL = ("subtype",)
"""Columns that a manifest may have besides."""
LONGEST_ID = 100
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ANNOTATIONS = (".geojson", ".json", ".png")
MASK_RASTERS = (".tif", ".tiff")
"""Annotations where their name says so and the picture is there too, else pictures."""
TAIL = re.compile(r"(?<=.)(?:\.ome)?([._-](?:mask|labels))?(?:\.ome)?\Z", re.IGNORECASE | re.DOTALL)
"""What a name has after that of its picture: cells.ome.tif, cells_mask.png, cells-labels.ome.tif. Not `label`,
which is what the picture of a slide's paper label is called."""
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
    subtype: str = ""
    """What kind of tissue or scene it is, the context prompt of generated masks; empty where it is not known."""


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
            if set(names) - set(OPTIONAL) != set(COLUMNS) or len(names) != len(set(names)):
                raise InputError(fault(path, f"columns {','.join(names)}", header, "mend the first line"))
            rows = [{name: row[name] or "" for name in names} | _surplus(row, len(names)) for row in reader]
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


def _surplus(row: Mapping[str | None, object], columns: int) -> dict[str, str]:
    """Under the name "": how many fields a line has, where these are more than columns."""
    more = row.get(None)
    return {"": str(columns + len(more))} if isinstance(more, list) else {}


def _check_size(path: Path) -> None:
    """Raise `InputError` where it is no file, or too large to be read whole: asked before memory is taken."""
    known = path.stat()
    if not (stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode)):  # a pipe would be waited for
        raise InputError(fault(path, "not a file", "a CSV file", "put the manifest there"))
    size = known.st_size
    if size > MOST_MANIFEST_BYTES:
        remedy = "split the dataset in parts"
        raise InputError(fault(path, f"{size} bytes", f"at most {MOST_MANIFEST_BYTES} of a manifest", remedy))


def _entry(folder: Path, path: Path, number: int, row: Mapping[str, str], twice: Iterable[str]) -> Entry:
    where = f"line {number}"
    if "" in row:
        raise BadFile(path, f"{where}: {row['']} fields", f"{len(row) - 1}; a comma stands in quotes", LEAVE_OUT)
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
    subtype = row.get("subtype", "")
    if subtype and not SAFE_ID.fullmatch(subtype):
        expected = "letters, digits, dot, dash and underscore, or nothing"
        raise BadFile(path, f"{where}: subtype {subtype!r}", expected, LEAVE_OUT)
    inside(folder, path, number, row["file"])
    if row["mask"]:
        inside(folder, path, number, row["mask"])
    return Entry(row["file"], row["id"], row["group"], row["label"], row["mask"], intensity, subtype)


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

    `annotations_of` says which of them are the annotation of which picture.
    """
    if not files:
        raise InputError(fault("ingest", "no files", "at least one picture", "name them"))
    absolute = sorted({Path(os.path.realpath(f.parent)) / f.name for f in files})
    nameless = [
        BadFile(f, "a name that is not UTF-8", "a name in UTF-8", "rename it") for f in absolute if not _utf8(f)
    ]
    absolute = [f for f in absolute if _utf8(f)]
    if not absolute:
        raise BatchError([str(error) for error in nameless], 0)
    folder = Path(os.path.commonpath([f.parent for f in absolute]))
    pictures, notes, strays = annotations_of(absolute)
    ids = Counter(safe_id(f.stem) for f in pictures)
    bad = [
        BadFile(f, "no picture with this name", f"a picture named {split_name(f)[0]}.*", "name the picture too")
        for f in strays
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
    return folder, sorted(entries, key=lambda e: e.id), [*nameless, *bad]


def annotations_of(files: Sequence[Path]) -> tuple[list[Path], dict[str, list[Path]], list[Path]]:
    """(pictures, annotations by the stem of their picture, annotations without one), by their names alone.

    PNG and GeoJSON are annotations, of the picture with the same stem, between which and the ending there may stand
    `.ome` and `_mask`, `-mask`, `.mask` or `labels` so. A TIFF named like that is one where its picture is there.
    """
    others = [f for f in files if f.suffix.lower() not in ANNOTATIONS]
    named = {split_name(f)[0] for f in others if not _says_mask(f)}
    pictures = [f for f in others if not (_says_mask(f) and split_name(f)[0] in named)]
    stems = {re.sub(r"(?<=.)\.ome\Z", "", f.stem, flags=re.IGNORECASE): f.stem for f in pictures}
    stems |= {f.stem: f.stem for f in pictures}  # the very stem comes before one that is alike but for .ome
    notes: dict[str, list[Path]] = {}
    strays = []
    for f in sorted({*files} - {*pictures}):
        owner = next((stems[name] for name in (f.stem, split_name(f)[0]) if name in stems), None)
        if owner is None:
            strays.append(f)
        else:
            notes.setdefault(owner, []).append(f)
    return pictures, notes, strays


def split_name(path: Path) -> tuple[str, str]:
    """A file's name as (that of its picture, what follows): `cells_mask.ome.tif` as (cells, _mask.ome.tif)."""
    base = TAIL.sub("", path.stem, count=1)
    return base, path.name[len(base) :]


def _says_mask(path: Path) -> bool:
    """Whether it is a raster whose name ends as a mask's does."""
    found = TAIL.search(path.stem)
    return path.suffix.lower() in MASK_RASTERS and found is not None and found[1] is not None


def _utf8(path: Path) -> bool:
    """Whether the path can stand in a recipe, which is UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(path: Path, mask: Path | None, folder: Path) -> Entry:
    name = safe_id(path.stem)
    annotation = mask.relative_to(folder).as_posix() if mask else ""
    return Entry(path.relative_to(folder).as_posix(), name, name, "", annotation, 1.0)


def safe_id(stem: str) -> str:
    """`stem` as an id: what is not a letter, digit, dot, dash or underscore becomes an underscore.

    Names that lose letters by it, or their end, get a digest instead, or 切片 and 标本 would be one.
    """
    text = re.sub(r"[^A-Za-z0-9._-]", "_", stem)
    text = text if SAFE_ID.fullmatch(text[:1]) else f"x{text}"
    if stem.isascii() and len(text) <= LONGEST_ID:
        return text
    digest = sha256_bytes(unicodedata.normalize("NFC", stem).encode())[:8]
    return f"{text[: LONGEST_ID - 9]}-{digest}"
