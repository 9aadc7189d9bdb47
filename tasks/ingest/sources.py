"""What `prepare` found, kept in the staging place: all that `process` and `finish` need beside the plan."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.contracts import Calibration
from tasks.errors import LineageError, fault
from tasks.ingest.manifest import Entry
from tasks.ingest.params import Kind
from tasks.lineage.digest import RECIPE, pretty, sha256_file
from tasks.lineage.recipe import artefact, read_tree, source_file
from tasks.output import Job

FILE = "sources.json"


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
    rejected: tuple[str, ...]
    """Lines of what was refused before any work."""
    seen: Mapping[str, Seen]
    """By id; empty for crops and frames."""
    uris: Mapping[str, str]
    """Where files of the entries were fetched from."""

    def save(self, staging: Path) -> None:
        calibration = self.calibration.model_dump(mode="json") if self.calibration else None
        (staging / FILE).write_bytes(pretty({**asdict(self), "calibration": calibration}))

    @staticmethod
    def load(staging: Path) -> "Sources":
        known: dict[str, Any] = json.loads((staging / FILE).read_bytes())
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
            rejected=tuple(known["rejected"]),
            seen={name: Seen.from_plain(each) for name, each in known["seen"].items()},
            uris=known["uris"],
        )

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

    def verify(self, folder: Path, entry: Entry) -> None:
        """The entry's files are still those that the plan names. Raises `LineageError`."""
        for name in filter(None, (entry.file, entry.mask)):
            found, stored = sha256_file(folder / name), self.digests[name]
            if found != stored:
                remedy = "put it back, or run again to take it as it is now"
                raise LineageError(fault(folder / name, f"SHA-256 {found[:16]}", stored[:16], remedy))


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
    files = [source_file("source", folder / name, out, uris.get(name)) for name in names]
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
