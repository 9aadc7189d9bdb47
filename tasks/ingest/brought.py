"""What a user brings to a command: a raw store, or files that are ingested on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import store
from tasks.errors import InputError, LineageError, fault
from tasks.ingest import step, survey
from tasks.ingest.manifest import ANNOTATIONS, Entry, annotations_of, entries_from_files, read_manifest
from tasks.ingest.params import IngestParams, Kind
from tasks.lineage.digest import RECIPE
from tasks.output import Job

MANIFEST = "manifest.csv"


def is_store(path: Path) -> bool:
    """Whether `path` is a store of rawmill, and not a folder of files."""
    return (path / "zarr.json").is_file()


def check_raw(path: Path, kinds: Sequence[Kind]) -> None:
    """Raise `InputError` unless the store at `path` is a raw store of one of `kinds` with its table of tiles."""
    try:
        attributes = store.read_attributes(path)
    except (LineageError, AttributeError):  # the latter of zarr, where the JSON is a list
        attributes = {}
    kind, of = attributes.get("kind"), attributes.get("variant")
    if kind in kinds and of is None and "classes" in attributes and (path / "tiles.parquet").is_file():
        return
    wrong = f"a store of views of {of!r}" if of else f"a store of {kind}" if kind else "another zarr.json"
    remedy = f"name what `rawmill ingest` made of {' or '.join(kinds)}, or a folder of files"
    raise InputError(fault(path, wrong, "a raw store", remedy))


@dataclass(frozen=True)
class Files:
    """A folder with its manifest, or files of which each is its own group."""

    source: Path
    listed: tuple[Path, ...] | None
    """None where the manifest says which."""

    def entries(self) -> tuple[Path, list[Entry]]:
        """The folder and what is good of its list. Raises `InputError` where there is nothing."""
        if self.listed is None:
            return self.source, read_manifest(self.source)[0]
        folder, entries, _ = entries_from_files(self.listed)
        return folder, entries

    def prepare(self, raw: Path, params: IngestParams, repair: str) -> Job:
        """Open the raw store `raw` of the files. Raises `InputError`."""
        if self.listed is None:
            return step.prepare(self.source, raw, params, self.source.resolve().name, repair)
        return step.prepare_files(self.listed, raw, params, None, {}, repair)


def files_of(source: Path) -> Files:
    """What is to be ingested of a folder, or of one file with its annotation.

    All files beside each other in a folder, but for hidden ones; those that its manifest lists where it has one.
    Raises `InputError` where it is not there or holds no picture.
    """
    if source.is_file():
        beside = [path for path in source.parent.iterdir() if path.is_file() and path != source]
        notes = annotations_of([source, *beside])[1].get(source.stem, [])
        return Files(source, (source, *notes))
    if not source.is_dir():
        remedy = "name a file, the folder that holds the files, or what `rawmill ingest` made"
        raise InputError(fault(source, "not there", "a raw store, a folder of files or a file", remedy))
    if (source / RECIPE).is_file():
        wrong = "an output of rawmill that is no raw store"
        raise InputError(fault(source, wrong, "a raw store, a folder of files or a file", "name another"))
    if (source / MANIFEST).is_file():
        return Files(source, None)
    listed = tuple(sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith(".")))
    if not any(path.suffix.lower() not in ANNOTATIONS for path in listed):
        wrong = f"no pictures, and {len(listed)} files that can only be masks" if listed else "no files"
        expected = "TIFF, SVS, NDPI or the like, with masks in PNG, TIFF or GeoJSON beside them"
        remedy = "put pictures there, or list those of subfolders in manifest.csv"
        raise InputError(fault(source, wrong, expected, remedy))
    return Files(source, listed)


def check_kind(files: Files, params: IngestParams, kinds: Sequence[Kind], remedy: str) -> None:
    """Raise `InputError` where the files would become a store of another kind, before any is read whole."""
    folder, entries = files.entries()
    if not entries:
        return  # ingest says of each what is wrong with it
    kind, good = survey.kind_of(folder, survey.readable(folder, entries, []), params, [])
    if good and kind not in kinds:
        wrong = f"files that become a store of {kind}"
        raise InputError(fault(files.source, wrong, f"a store of {' or '.join(kinds)}", remedy))
