"""The source of an image, decoded once more for `verify`: what each of its arrays must hold."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tasks import store
from tasks.contracts import Calibration
from tasks.errors import LineageError, fault
from tasks.ingest import layout
from tasks.ingest.annotations import labels
from tasks.ingest.formats import mosaic, picture
from tasks.ingest.formats.calibration import read_calibration
from tasks.ingest.formats.sniff import format_of
from tasks.ingest.params import IngestParams, Published
from tasks.ingest.proving.seal import Sealed
from tasks.ingest.receipts import Receipt, SourceFile
from tasks.lineage.digest import sha256_file
from tasks.lineage.places import resolve

Read = Callable[[store.Window], NDArray[Any]]
GONE = "source not there: proved from the store alone"
ANNOTATION = f"labels/{layout.ANNOTATION}/0"


@dataclass(frozen=True)
class Original:
    """What the source says: `reads` by the path of an array below the image, and what the receipt must tell."""

    reads: Mapping[str, Read]
    shape: tuple[int, ...]
    associated: tuple[str, ...]
    decoder: str
    metadata: Mapping[str, Any]
    dropped: tuple[str, ...]
    icc: bytes | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Place:
    """Where the sources of a store are: the entries of its recipe, and how they were read."""

    store: Path
    sealed: Sealed
    inputs: Sequence[Mapping[str, Any]]
    kind: str
    classes: tuple[str, ...]
    params: IngestParams
    calibrations: tuple[Calibration, ...] | None
    """The calibration file beside the sources, if there was one; None where it cannot be known any more."""

    def find(self, file: SourceFile) -> Path | None:
        """The source file where it is there now, with its very bytes; None where it is gone.

        Raises `LineageError` where it is there but changed, or where the recipe does not name it.
        """
        path = self._path(file)
        if not os.path.lexists(path):
            return None
        found = sha256_file(path)
        if found != file.sha256:
            raise LineageError(fault(path, f"sha256 {found}", f"sha256 {file.sha256}", "put the file back"))
        return path

    @cached_property
    def _by_digest(self) -> dict[str, list[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for entry in self.inputs:
            found.setdefault(str(entry.get("sha256")), []).append(entry)
        return found

    def _path(self, file: SourceFile) -> Path:
        for entry in self._by_digest.get(str(file.sha256), ()):
            if f"/{entry['path']}".endswith(f"/{file.path}"):
                return resolve(self.store, entry)
        for entry in self._by_digest.get("None", ()):
            if entry["kind"] == "artefact":
                return resolve(self.store, entry) / file.path
        wrong = f"a receipt of {file.path}"
        raise LineageError(fault(self.store, wrong, "receipts of files that the recipe names", "distrust this store"))

    def calibration(self, where: str, source: Path) -> Calibration | None:
        """What to decode `source` with; None where it says it itself, what is stored at `where` where nothing does."""
        if self.calibrations or (self.calibrations == () and format_of(source) != "tiff"):
            return next(iter(self.calibrations), None)
        return stored_calibration(self.store / where)


def stored_calibration(path: Path) -> Calibration:
    """The calibration in the attributes of the array or group at `path`. Raises `LineageError`."""
    try:
        return Calibration.model_validate(store.read_attributes(path)["calibration"])
    except (KeyError, ValueError):
        raise LineageError(fault(path, "no calibration", "one that can be read", "distrust this store")) from None


def calibrations_of(
    where: Path, inputs: Sequence[Mapping[str, Any]], params: IngestParams, annotations: Collection[str]
) -> tuple[Calibration, ...] | None:
    """The calibration among the recipe's `inputs`, see `Place`; `annotations` are digests of files that are none.

    Published datasets bring none: theirs stand in the code that read them. Raises `BadFile`.
    """
    if params.kind in get_args(Published):
        return None
    folders = [resolve(where, e) for e in inputs if e["kind"] == "artefact"]
    files = [folder / "calibration.json" for folder in folders if folder.is_dir()]
    if files:
        return tuple(read_calibration(file) for file in files if file.is_file())
    named = [e for e in inputs if str(e["path"]).endswith(".json") and e.get("sha256") not in annotations]
    if folders or not all(_unchanged(where, e) for e in named):
        return None
    return tuple(read_calibration(resolve(where, e)) for e in named)


def _unchanged(where: Path, entry: Mapping[str, Any]) -> bool:
    path = resolve(where, entry)
    return path.is_file() and sha256_file(path) == entry["sha256"]


@contextmanager
def opened(place: Place, receipt: Receipt, source: Path | None, annotation: Path | None) -> Iterator[Original]:
    """The source of a slide, a microscopy image or a frame, open, and its annotation; either may be gone. Raises
    `BadFile`."""
    with ExitStack() as stack:
        if source is None:
            shape = receipt.image.shape if receipt.image else ()
            said = Original({}, shape, (), receipt.decoder, receipt.metadata, receipt.dropped)
        elif place.kind == "frames":
            said = mosaic_said(place, receipt.image.path if receipt.image else "", source)
        else:
            kind: picture.Kind = "slides" if place.kind == "slides" else "images"
            said = _picture_said(stack.enter_context(picture.opened(source, kind, place.params)))
        if annotation:
            height, width = said.shape[-2:]
            read = stack.enter_context(labels.opened(annotation, (height, width), place.classes, place.params))
            painted: Read = lambda window: read(window[-2], window[-1])  # noqa: E731
            said = replace(said, reads={**said.reads, ANNOTATION: painted})
        yield said


def _picture_said(many: picture.Picture) -> Original:
    names = tuple(sorted(many.associated))
    reads = {"0": many.read, **{f"associated/{name}": _whole(many.picture(name)) for name in names}}
    return Original(reads, many.shape, names, many.decoder, many.metadata, many.dropped, many.icc)


def _whole(pixels: NDArray[Any]) -> Read:
    return lambda window: pixels[window]


def mosaic_said(place: Place, where: str, source: Path) -> Original:
    """The mosaic of a frame or crop, whose calibration is stored at `where`. Raises `BadFile`."""
    one = mosaic.decode(source, place.calibration(where, source), place.params)
    reads = {"0": _whole(one.pixels)}
    return Original(reads, one.pixels.shape, (), one.decoder, one.metadata, one.dropped, None, one.calibration)


def told_faults(receipt: Receipt, said: Original) -> list[str]:
    """Where the receipt does not tell what the same decoder says now; another version may say it otherwise."""
    if receipt.decoder != said.decoder:
        return []
    pairs = (
        ("metadata", receipt.metadata, dict(said.metadata)),
        ("dropped", receipt.dropped, tuple(sorted(said.dropped))),
    )
    return [f"the receipt's {what} is not what its source says" for what, told, found in pairs if told != found]


def expected(read: Read, window: store.Window) -> NDArray[Any]:
    """What the source has in `window`, in the machine's byte order."""
    pixels = read(window)
    return np.asarray(pixels, pixels.dtype.newbyteorder("="))
