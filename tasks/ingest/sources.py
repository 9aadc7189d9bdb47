"""What `prepare` found, kept in the staging place: all that `process` and `finish` need beside the plan."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tasks.contracts import Calibration
from tasks.errors import LineageError, fault
from tasks.ingest.bad import BadFile
from tasks.ingest.manifest import Entry
from tasks.ingest.params import Kind
from tasks.ingest.refused import Refused
from tasks.lineage.digest import RECIPE, pretty, sha256_file
from tasks.lineage.recipe import artefact, read_tree, source_file
from tasks.output import Job
from tasks.parallel import parallel

FILE = "sources.json"
PUT_BACK = "put it back, or run again to take it as it is now"
State = tuple[int, int, int]
"""Size, time of change in ns and number of a file: what was read of it holds while they do."""


@dataclass(frozen=True)
class Seen:
    """What the headers of a slide or microscopy image say, and so what its arrays will be like."""

    axes: str
    shape: tuple[int, ...]
    dtype: str
    rgb: bool
    pixel_size_um: float | None
    z_um: float | None
    t_s: float | None
    channels: tuple[tuple[str, str], ...]
    jpeg_tile_px: tuple[int, int] | None
    """Height and width of the JPEG tiles whose bytes are kept; None where pixels are coded anew."""
    told: Mapping[str, Any]
    """What goes into the receipt: `format`, `decoder`, `metadata`, `dropped`."""

    @staticmethod
    def from_plain(known: Mapping[str, Any]) -> "Seen":
        tile = known["jpeg_tile_px"]
        lists = {
            "shape": tuple(known["shape"]),
            "channels": tuple((name, colour) for name, colour in known["channels"]),
            "jpeg_tile_px": (tile[0], tile[1]) if tile else None,
        }
        return Seen(**{**known, **lists})


@dataclass(frozen=True)
class Sources:
    """`folder` is relative to the folder that holds the output; `entries` are sorted by id."""

    folder: str
    kind: Kind
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    crop_shape: tuple[int, int]
    """Height and width of every crop, (0, 0) for other kinds."""
    calibration: Calibration | None
    digests: Mapping[str, str]
    """SHA-256 of each file of the entries."""
    sizes: Mapping[str, int]
    """Their bytes."""
    refused: tuple[Refused, ...]
    """What was refused before any work, sorted by its lines."""
    seen: Mapping[str, Seen]
    """By id; empty for crops and frames."""
    uris: Mapping[str, str]
    """Where files of the entries were fetched from."""

    def save(self, staging: Path) -> None:
        calibration = self.calibration.model_dump(mode="json") if self.calibration else None
        (staging / FILE).write_bytes(pretty({**asdict(self), "calibration": calibration}))

    @staticmethod
    def load(staging: Path) -> "Sources":
        """What was saved; parsed once a process while the file stays the same: every item asks for it."""
        return _loaded(staging / FILE, _state(staging / FILE))

    @staticmethod
    def parse(text: bytes) -> "Sources":
        known: dict[str, Any] = json.loads(text)
        calibration = known["calibration"]
        height, width = known["crop_shape"]
        return Sources(
            folder=known["folder"],
            kind=known["kind"],
            classes=tuple(known["classes"]),
            entries=tuple(Entry(**entry) for entry in known["entries"]),
            crop_shape=(height, width),
            calibration=Calibration.model_validate(calibration) if calibration else None,
            digests=known["digests"],
            sizes=known["sizes"],
            refused=tuple(Refused(**one) for one in known["refused"]),
            seen={name: Seen.from_plain(each) for name, each in known["seen"].items()},
            uris=known["uris"],
        )

    @property
    def rejected(self) -> tuple[str, ...]:
        """Lines of what was refused before any work."""
        return tuple(one.line for one in self.refused)

    @property
    def picture_kind(self) -> Literal["slides", "images"]:
        """The kind, of sources that are pictures; `ValueError` of mosaics."""
        if self.kind == "slides" or self.kind == "images":
            return self.kind
        raise ValueError(f"{self.kind} are not pictures")

    def entry(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.id == name)

    def place(self, job: Job) -> Path:
        """The folder of the sources, seen from where this process works."""
        return Path(os.path.normpath(job.out.resolve().parent / self.folder))

    def states(self, folder: Path, entry: Entry) -> list[State]:
        """Size, time of change and number of the entry's files as they are now. Raises `LineageError`."""
        return [_state(folder / name) for name in filter(None, (entry.file, entry.mask))]

    def verify(self, folder: Path, entry: Entry) -> list[State]:
        """The entry's files are those that the plan names; returns their states. Raises `LineageError`."""
        for name in filter(None, (entry.file, entry.mask)):
            path, stored = folder / name, self.digests[name]
            found = _digest(path, _state(path))
            if found != stored:
                raise LineageError(fault(path, f"SHA-256 {found[:16]}", stored[:16], PUT_BACK))
        return self.states(folder, entry)

    @contextmanager
    def steady(self, folder: Path, entry: Entry) -> Iterator[list[State]]:
        """For as long as the entry's files are read: `LineageError` where they changed meanwhile.

        A `BadFile` is believed only of files that are those of the plan: a medium that went away for a moment
        must not be written down as a bad file.
        """
        before = self.states(folder, entry)
        try:
            yield before
        except BadFile:
            self.verify(folder, entry)
            raise
        if self.states(folder, entry) != before:
            raise LineageError(fault(folder / entry.file, "changed while it was read", "the same file", PUT_BACK))


@lru_cache(maxsize=4)
def _loaded(path: Path, _state: State) -> Sources:
    return Sources.parse(path.read_bytes())


def _state(path: Path) -> State:
    try:
        known = path.stat()
    except OSError as error:
        raise LineageError(fault(path, os.strerror(error.errno or 0).lower(), "the source", PUT_BACK)) from None
    return known.st_size, known.st_mtime_ns, known.st_ino


@lru_cache(maxsize=64)
def _digest(path: Path, state: State) -> str:
    """SHA-256 of a source, read once for each state of it. Raises `LineageError` where it changes under the reading."""
    found = sha256_file(path)
    if _state(path) != state:
        raise LineageError(fault(path, "changed while it was read", "the same file", PUT_BACK))
    return found


@dataclass(frozen=True)
class Inputs:
    """The sources as a recipe names them, and digest and size of each file that will be read, by its name."""

    entries: list[Mapping[str, Any]]
    digests: dict[str, str]
    sizes: dict[str, int]


def inputs_of(
    folder: Path, out: Path, entries: Sequence[Entry], named: Sequence[Path], uris: Mapping[str, str]
) -> Inputs:
    """Lineage entries of the sources.

    A folder that rawmill made is one entry, checked against its recipe (`LineageError`); otherwise each file
    is one, and so are the `named` files beside them.
    """
    names = sorted({name for e in entries for name in (e.file, e.mask) if name and (folder / name).is_file()})
    if (folder / RECIPE).is_file():
        entry = artefact("sources", folder, out)
        tree = read_tree(folder)
        return Inputs([entry], {n: tree[n]["sha256"] for n in names}, {n: tree[n]["bytes"] for n in names})
    files = list(parallel(lambda name: source_file("source", folder / name, out, uris.get(name)), names))
    digests = {name: file["sha256"] for name, file in zip(names, files, strict=True)}
    sizes = {name: file["bytes"] for name, file in zip(names, files, strict=True)}
    return Inputs([*(source_file("source", path, out) for path in named), *files], digests, sizes)


def relative_place(folder: Path, out: Path) -> str:
    """`folder` as seen from the folder that holds `out`, so that both can move together."""
    return Path(os.path.relpath(folder.resolve(), out.resolve().parent)).as_posix()


def shown(folder: Path, line: str) -> str:
    """A stored line, whose file is relative to the dataset, as the user would name the file."""
    name, rest = line.split(": ", 1)
    return f"{os.path.normpath(folder / name)}: {rest}"
