"""Looks at the entries of a dataset before any work: what kind they are, which names they use, which fit.

Each function takes the entries and the list `bad`, which it lengthens by what it refuses, and returns the rest.
"""

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks.contracts import Calibration
from tasks.ingest.annotations import labels
from tasks.ingest.annotations.classes import MOST_CLASSES, label_of
from tasks.ingest.annotations.geojson import read_polygons
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import bayer_tiff, mosaic, picture
from tasks.ingest.formats.sniff import Look, format_of, look, one_kind
from tasks.ingest.manifest import Entry
from tasks.ingest.params import STORE_KIND, IngestParams, Kind
from tasks.ingest.sources import Seen

Shape = tuple[int, int]


def readable(folder: Path, entries: Sequence[Entry], bad: list[BadFile]) -> list[Entry]:
    """The entries whose files are there and may be read."""
    good = []
    for entry in entries:
        try:
            for name in filter(None, (entry.file, entry.mask)):
                _check_readable(folder / name)
            good.append(entry)
        except BadFile as error:
            bad.append(error)
    return good


def _check_readable(path: Path) -> None:
    """Raise `BadFile` unless `path` is a file, whose first byte can be read: a pipe would be waited for."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadFile(path, "not a file", "a file", "leave it out")
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise BadFile(path, "not there", "a file", "mend the name or leave it out") from None
    except OSError as error:
        wrong = os.strerror(error.errno or 0).lower()
        raise BadFile(path, wrong, "a file that may be read", "mend the permissions or leave it out") from None


def kind_of(folder: Path, entries: list[Entry], params: IngestParams, bad: list[BadFile]) -> tuple[Kind, list[Entry]]:
    """The kind of the store, and the entries that can go into it."""
    if params.kind != "auto":
        return STORE_KIND[params.kind], entries
    looks: dict[Path, Look] = {}
    good = []
    for entry in entries:
        try:
            looks[folder / entry.file] = look(folder / entry.file)
            good.append(entry)
        except BadFile as error:
            bad.append(error)
    if not looks:
        return "frames", good
    kind, odd = one_kind(looks)
    bad.extend(odd)
    apart = {error.path for error in odd}
    return kind, [entry for entry in good if folder / entry.file not in apart]


def names_of(folder: Path, entries: Sequence[Entry], params: IngestParams) -> set[str]:
    """All class names in the labels and polygons.

    An annotation that cannot be read, or that alone names more classes than can be, is met again later.
    """
    names = {entry.label for entry in entries}
    for entry in entries:
        if entry.mask.lower().endswith("json"):
            try:
                found = {polygon.name for polygon in read_polygons(folder / entry.mask, params.most_annotation_bytes)}
            except BadFile:
                continue
            if len(found) <= MOST_CLASSES:
                names |= found
    return names


def labelled(
    folder: Path, entries: Sequence[Entry], classes: tuple[str, ...], params: IngestParams, bad: list[BadFile]
) -> list[Entry]:
    """The entries with their labels turned into classes of the store."""
    good = []
    for entry in entries:
        try:
            label = label_of(entry.label, folder / entry.file, classes, params) if entry.label else ""
            good.append(replace(entry, label=label))
        except BadFile as error:
            bad.append(error)
    return good


def crops_of(
    folder: Path, entries: Sequence[Entry], calibration: Calibration | None, params: IngestParams, bad: list[BadFile]
) -> tuple[list[Entry], Shape]:
    """The crops that can be decoded and have the commonest shape (y, x), and that shape."""
    shapes: dict[str, Shape] = {}
    for entry in entries:
        try:
            shapes[entry.id] = _crop_shape(folder, entry, calibration, params)
        except BadFile as error:
            bad.append(error)
    if not shapes:
        return [], (0, 0)
    commonest = max(Counter(shapes.values()).items(), key=lambda item: (item[1], item[0]))[0]
    expected = f"{commonest[0]} x {commonest[1]} as most crops have"
    for entry in entries:
        height, width = shapes.get(entry.id, commonest)
        if (height, width) != commonest:
            wrong = f"{height} x {width} pixels"
            bad.append(BadFile(folder / entry.file, wrong, expected, "ingest it apart or as a frame"))
    return [entry for entry in entries if shapes.get(entry.id) == commonest], commonest


def _crop_shape(folder: Path, entry: Entry, calibration: Calibration | None, params: IngestParams) -> Shape:
    """Decode a crop, to know before the stack is laid out that it can be."""
    path = folder / entry.file
    if entry.mask:
        raise BadFile(path, "a crop with a mask", "a label", "ingest it as a frame: set kind to frames")
    if calibration is None:
        if format_of(path) == "tiff":
            bayer_tiff.header(path, params)  # what is no mosaic needs no calibration, but a line that says so
        raise BadFile(path, "no calibration", "calibration.json beside the crops or --calibration", "write one")
    height, width = mosaic.decode(path, calibration, params).pixels.shape
    return height, width


def pictures_of(
    folder: Path,
    entries: Sequence[Entry],
    kind: picture.Kind,
    classes: tuple[str, ...],
    params: IngestParams,
    bad: list[BadFile],
) -> tuple[list[Entry], dict[str, Seen]]:
    """The slides or images whose headers and annotations can be used, and what the headers say."""
    seen: dict[str, Seen] = {}
    for entry in entries:
        try:
            seen[entry.id] = _seen(folder, entry, kind, classes, params)
        except BadFile as error:
            bad.append(error)
    return [entry for entry in entries if entry.id in seen], seen


def _seen(folder: Path, entry: Entry, kind: picture.Kind, classes: tuple[str, ...], params: IngestParams) -> Seen:
    with picture.opened(folder / entry.file, kind, params) as source:
        if entry.mask:
            with labels.opened(folder / entry.mask, source.shape[-2:], classes, params):
                pass
        told = {
            "format": source.form,
            "decoder": source.decoder,
            "metadata": dict(source.metadata),
            "dropped": list(source.dropped),
        }
        return Seen(
            axes=source.axes,
            shape=source.shape,
            dtype=source.dtype,
            rgb=source.rgb,
            pixel_size_um=source.pixel_size_um,
            z_um=source.z_um,
            t_s=source.t_s,
            channels=source.channels,
            jpeg_tile_px=source.jpeg_tile_px if params.jpeg == "keep" else None,
            told=told,
        )
