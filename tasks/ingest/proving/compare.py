"""Each image and crop of a store against its receipt, and against its source where that is there."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks import store
from tasks.contracts import Calibration
from tasks.errors import LineageError, RawmillError, fault
from tasks.ingest import columns, layout, statistics
from tasks.ingest.proving import again, stored
from tasks.ingest.proving.again import GONE, Original, Place, Read
from tasks.ingest.proving.seal import Entries, Sealed
from tasks.ingest.proving.stored import AGAIN, Stored
from tasks.ingest.proving.tally import Proved, Tally
from tasks.ingest.receipts import Receipt, crop_digest
from tasks.ingest.statistics import Statistics
from tasks.lineage.digest import merkle_root
from tasks.parallel import parallel

Arrays = Mapping[str, Stored]
TISSUE = f"labels/{layout.TISSUE}/0"
UNANNOTATED = "annotation not there: proved from the store alone"
DISTRUST = "distrust this store, ingest the sources again"


@dataclass(frozen=True)
class Seen:
    """One shard, read: its chunks, how many values were compared with a source, statistics and faults."""

    chunks: int
    values: int
    pieces: Mapping[str, Statistics]
    faults: tuple[str, ...]


def image(place: Place, receipt: Receipt, arrays: Arrays, found: Entries, tally: Tally) -> Proved:
    """Prove one slide, microscopy image or frame."""
    here, whole = place.store / _path(receipt), not place.sealed.hurt(f"{_path(receipt)}/")
    before = len(tally.faults)
    if whole:
        told = _claims(receipt, here, arrays, found)
        tally.faults += [fault(here, wrong, "what the receipt tells", DISTRUST) for wrong in told]
    source, annotation = _files(place, receipt, tally)
    values = 0
    with ExitStack() as stack:
        said: Original | None = None
        with tally.collecting():
            if source or annotation:
                said = stack.enter_context(again.opened(place, receipt, source, annotation))
            wrong = _told(receipt, said, here) if said and source and whole else []
            wrong += _arrays(place, receipt, said if source else None, arrays) if whole else []
            tally.faults += [fault(here, each, "what its source says", DISTRUST) for each in wrong]
        for name in sorted(n for n in arrays if n.startswith(f"{_path(receipt)}/")):
            values += _array(place, receipt, arrays, name, said, tally)
    return _proved(receipt, source, annotation, values, not whole or len(tally.faults) > before)


def _path(receipt: Receipt) -> str:
    return receipt.image.path if receipt.image else ""


def _claims(receipt: Receipt, here: Path, arrays: Arrays, found: Entries) -> list[str]:
    """What a receipt says of an image that its files and metadata do not bear out."""
    prefix, told = f"{_path(receipt)}/", receipt.image
    root = merkle_root({n.removeprefix(prefix): e["sha256"] for n, e in found.items() if n.startswith(prefix)})
    faults = [] if told and told.digest == root else [f"digest {root}"]
    level = arrays.get(f"{prefix}0")
    if level is None:
        return [*faults, "no level 0 that can be read"]
    axes = "".join(str(name) for name in level.array.metadata.dimension_names or ())  # type: ignore[union-attr]
    there = axes, level.array.shape, level.array.dtype.name
    return faults if told and there == (told.axes, told.shape, told.dtype) else [*faults, f"level 0 is {there}"]


def _told(receipt: Receipt, said: Original, here: Path) -> list[str]:
    """Where the receipt and the metadata of the image do not say what the source does."""
    faults = again.told_faults(receipt, said)
    if not _same_calibration(here, said):
        faults.append("its calibration")
    beside = here / "associated"
    names = tuple(sorted(p.name for p in beside.iterdir() if p.is_dir())) if beside.is_dir() else ()
    if names != said.associated:
        faults.append(f"pictures beside it {names}")
    profile = (here / columns.ICC).read_bytes() if (here / columns.ICC).is_file() else None
    return [*faults, "its ICC profile"] if profile != said.icc else faults


def _arrays(place: Place, receipt: Receipt, said: Original | None, arrays: Arrays) -> list[str]:
    """Arrays that the receipt or the source, where it is there, calls for and are not there, and those that are there
    and come from nothing."""
    mine = {name.removeprefix(f"{_path(receipt)}/") for name in arrays if name.startswith(f"{_path(receipt)}/")}
    pyramids = {name for name in mine if name.rpartition("/")[2].isdecimal() and name.rpartition("/")[2] != "0"}
    wanted = {"0", *(said.reads if said else ()), *([again.ANNOTATION] if receipt.annotation else [])}
    wanted |= {TISSUE} if place.kind == "slides" else set()
    lost, foreign = wanted - mine, mine - pyramids - wanted - {TISSUE}
    if said is None:  # then nobody knows of the pictures beside it
        foreign = {name for name in foreign if name.startswith("labels/")}
    return [f"no {name}" for name in sorted(lost)] + [f"{name}, which it does not hold" for name in sorted(foreign)]


def _files(place: Place, receipt: Receipt, tally: Tally) -> tuple[Path | None, Path | None]:
    """The source and its annotation where they are there; what is there and changed is a fault, and counts as gone."""
    found: list[Path | None] = [None, None]
    for i, file in enumerate((receipt.source, receipt.annotation)):
        with tally.collecting():
            found[i] = place.find(file) if file else None
    return found[0], found[1]


def _array(place: Place, receipt: Receipt, arrays: Arrays, name: str, said: Original | None, tally: Tally) -> int:
    """Read one array whole and check all that can be of it; returns how many values the source has of it too."""
    one, below = arrays[name], name.removeprefix(f"{_path(receipt)}/")
    folder, _, level = name.rpartition("/")
    beneath = f"{folder}/{int(level) - 1}" if level.isdecimal() and level != "0" else ""
    under = None if place.sealed.hurt(f"{beneath}/") else arrays.get(beneath)
    read = said.reads.get(below) if said else None
    if below == TISSUE and not place.sealed.hurt(f"{_path(receipt)}/"):
        with tally.collecting(), stored.decoding(one.root / one.name):
            whole = columns.tissue_reader(place.store / _path(receipt), place.params)
            read = _plane(whole)
    axes = receipt.image.axes if receipt.image and below == "0" else None
    shard = partial(_shard, place.sealed, one, read, under, "/labels/" in name, axes)
    seen = list(parallel(shard, one.windows()))
    for each in seen:
        tally.chunks += each.chunks
        tally.faults += each.faults
        tally.step()
    if axes:
        tally.faults += _statistics(receipt, one, [each.pieces for each in seen])
    return sum(each.values for each in seen) if said and below in said.reads else 0


def _plane(read: Callable[[slice, slice], Any]) -> Read:
    return lambda window: read(window[-2], window[-1])


def _shard(
    sealed: Sealed,
    one: Stored,
    read: Read | None,
    under: Stored | None,
    label: bool,
    axes: str | None,
    window: store.Window,
) -> Seen:
    """Decode one shard; compare it with the source or with the level under it; its statistics."""
    file = store.shard_file(one.root / one.name, one.array, window)
    if _failed(sealed, file, one):
        return Seen(0, 0, {}, ())
    count = stored.chunk_count(one, window)
    try:
        pixels = stored.read(one, window)
        wrong = stored.level_fault(one, window, pixels, under, label) if under else None
        if read:
            wrong = wrong or stored.differs(pixels, again.expected(read, window), window)
    except RawmillError as error:
        return Seen(count, 0, {}, (str(error),))
    pieces = statistics.of_window(pixels, axes, window) if axes else {}
    faults = (fault(file, wrong, "pixels of its source", DISTRUST),) if wrong else ()
    return Seen(count, pixels.size if read else 0, pieces, faults)


def _failed(sealed: Sealed, file: Path, one: Stored) -> bool:
    """Whether a line was told of this shard already."""
    return file.relative_to(one.root).as_posix() in sealed.failed


def _statistics(receipt: Receipt, one: Stored, pieces: Sequence[Mapping[str, Statistics]]) -> list[str]:
    """A line where the receipt's statistics are not those of the pixels."""
    if not all(pieces):
        return []  # a shard could not be read, which was said
    found = statistics.document(statistics.gathered(pieces))
    if statistics.same(receipt.statistics, found):
        return []
    return [fault(one.root / one.name, f"statistics {found}", list(receipt.statistics), DISTRUST)]


def _proved(receipt: Receipt, source: Path | None, annotation: Path | None, values: int, faulty: bool) -> Proved:
    if faulty:
        return Proved(receipt.id, "fault", values, "does not hold")
    known = [f.path for f, place in ((receipt.source, source), (receipt.annotation, annotation)) if f and place]
    equal = [f"{values} values equal to those of {' and '.join(known)}"] if known else []
    lost = [] if source else [GONE]
    lost += [UNANNOTATED] if source and receipt.annotation and annotation is None else []
    return Proved(receipt.id, "source" if source else "store", values, "; ".join([*equal, *lost]))


def crops(place: Place, told: Sequence[Receipt], arrays: Arrays, tally: Tally) -> list[Proved]:
    """Prove the crops of a stack, shard by shard."""
    rows = {r.image.index: r for r in told if r.image}
    one = arrays.get("mosaic")
    if one is None and place.sealed.hurt("mosaic/"):
        return []  # of which a line was told
    if one is None:
        raise LineageError(fault(place.store / "mosaic", "cannot be read", "the stack of crops", AGAIN))
    proved: list[Proved] = []
    for window, (mine, faults) in zip(
        one.windows(), parallel(partial(_crops, place, rows, one), one.windows()), strict=True
    ):
        tally.chunks += stored.chunk_count(one, window)
        tally.faults += faults
        proved += mine
        tally.step()
    return sorted(proved, key=lambda each: each.id)


def _crops(
    place: Place, rows: Mapping[int | None, Receipt], one: Stored, window: store.Window
) -> tuple[list[Proved], list[str]]:
    """Prove the crops of one shard: what was proved, and faults."""
    proved: list[Proved] = []
    tally = Tally(lambda done, total: None)
    if _failed(place.sealed, store.shard_file(one.root / one.name, one.array, window), one):
        return [], []
    with tally.collecting():
        pixels = stored.read(one, window)
        known = again.stored_calibration(one.root / one.name)
        for index, crop in zip(range(window[0].start, window[0].stop), pixels, strict=True):
            proved.append(_crop(place, rows[index], crop, known, tally))
    return proved, tally.faults


def _crop(place: Place, receipt: Receipt, pixels: Any, known: Calibration, tally: Tally) -> Proved:
    before, where = len(tally.faults), f"{place.store / 'mosaic'}[{receipt.image.index if receipt.image else ''}]"
    claims = (crop_digest(pixels), "yx", pixels.shape, pixels.dtype.name)
    told = receipt.image and (receipt.image.digest, receipt.image.axes, receipt.image.shape, receipt.image.dtype)
    if told != claims:
        tally.faults.append(fault(where, claims, f"{told} as the receipt of {receipt.id} tells", DISTRUST))
    if not statistics.same(receipt.statistics, statistics.document(statistics.of(pixels, None))):
        tally.faults.append(fault(where, "other statistics", f"those of the receipt of {receipt.id}", DISTRUST))
    source, values = _files(place, receipt, tally)[0], 0
    if source:
        with tally.collecting():
            wrong = _against(place, receipt, source, pixels, known)
            tally.faults += [fault(where, each, f"what {receipt.source.path} holds", DISTRUST) for each in wrong]
            values = pixels.size
    return _proved(receipt, source, None, values, len(tally.faults) > before)


def _against(place: Place, receipt: Receipt, source: Path, pixels: Any, known: Calibration) -> list[str]:
    """Where a crop is not what its source holds, or its camera not the `known` one. Raises `BadFile`."""
    said = again.mosaic_said(place, "mosaic", source)
    whole = tuple(slice(0, n) for n in pixels.shape)
    different = stored.differs(pixels, again.expected(said.reads["0"], whole), whole)
    wrong = [*again.told_faults(receipt, said), *([different] if different else [])]
    return wrong if said.calibration == known else [*wrong, "its calibration"]


def _same_calibration(here: Path, said: Original) -> bool:
    return said.calibration is None or store.read_attributes(here)["calibration"] == said.calibration.model_dump(
        mode="json"
    )
