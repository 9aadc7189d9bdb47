"""Proves a raw store anew, from the store alone and, where they are still there, against its sources.

1. The recipe's seal, the tree against its root, each file there, none too many, each with its digest, and the
   chunks of each shard with theirs.
2. Every shard and chunk that an array's grid wants is there and decodes; the levels of each pyramid agree with the
   level under them; the digest and the pixel statistics of every receipt are those of what is stored.
3. Each source whose file is there has its digest, and is decoded again: every pixel that it holds is compared with
   what is stored, by windows, and so are its annotation and the pictures beside it.

All faults are found before one `LineageError` tells them, a line each; what depends on a file that failed is left
out. Memory is a few shards a core (a frame is
decoded whole), whatever the size of the store.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from tasks.errors import LineageError, ParamsError, fault
from tasks.ingest import receipts
from tasks.ingest.params import IngestParams
from tasks.ingest.proving import compare, stored
from tasks.ingest.proving.again import Place, calibrations_of
from tasks.ingest.proving.seal import Sealed, check_seal
from tasks.ingest.proving.stored import AGAIN, Stored
from tasks.ingest.proving.tally import Progress, Proved, Tally
from tasks.ingest.receipts import Receipt
from tasks.params import parse

T = TypeVar("T")


@dataclass(frozen=True)
class Verified:
    """A store without a fault; counts are of what was read, decoded and compared."""

    store: str
    root: str
    files: int
    bytes: int
    chunks: int
    pixels: int
    sources: tuple[Proved, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: the store, then a line a source."""
        head = f"{self.store}: {self.files} files, {self.bytes} bytes, {self.chunks} chunks; root {self.root}"
        compared = sum(one.how == "source" for one in self.sources)
        tail = f"{self.pixels} values equal to those of {compared} of {len(self.sources)} sources"
        return (head, *(f"{one.id}: {one.line}" for one in self.sources), tail)

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def verify(store: Path, progress: Progress) -> Verified:
    """Prove the raw store at `store`; `progress(done, total)` counts shards. Raises `LineageError` with all faults."""
    tally = Tally(progress)
    sealed = check_seal(store, tally)
    arrays = _arrays(store, sealed, tally)
    tally.total = sum(one.count for one in arrays.values())
    proved: list[Proved] = []
    if sealed.recipe and not sealed.hurt(receipts.RECEIPTS):
        with tally.collecting():
            _check_recipe(store, sealed.recipe)
            told = receipts.read(store)
            place = _place(store, sealed, told)
            _check_places(place, told, arrays)
            proved = _prove(place, told, arrays, tally)
    if tally.faults:
        raise LineageError("\n".join(dict.fromkeys(tally.faults)))
    size, pixels = sum(entry["bytes"] for entry in sealed.sound.values()), sum(one.pixels for one in proved)
    root = str(sealed.recipe["output"]["root"])
    return Verified(str(store), root, len(sealed.sound), size, tally.chunks, pixels, tuple(proved))


def _arrays(store: Path, sealed: Sealed, tally: Tally) -> dict[str, Stored]:
    """All arrays whose metadata are sound and that have as many shards as they want, by their path in the store."""
    found: dict[str, Stored] = {}
    shards = Counter(name.rpartition("/c/")[0] for name in sealed.tree)
    for name in sorted(n for n in sealed.sound if n.endswith("/zarr.json")):
        with tally.collecting():
            if stored.is_array(store / name):
                one = stored.opened(store, name.removesuffix("/zarr.json"))
                stored.check_grid(one, shards[one.name])
                found[one.name] = one
    return found


def _check_recipe(store: Path, recipe: Mapping[str, Any]) -> None:
    """Raise `LineageError` where the store is another output than a raw one."""
    if recipe["stage"] != "ingest":
        expected = "a raw store, stage ingest"
        raise LineageError(fault(store, f"an output of stage {recipe['stage']}", expected, "use `rawmill audit`"))


def _place(store: Path, sealed: Sealed, told: Iterable[Receipt]) -> Place:
    """How the store was made. Raises `LineageError` where its recipe is not one of an ingest."""
    recipe = sealed.recipe
    try:
        kind, classes = str(recipe["notes"]["kind"]), tuple(map(str, recipe["notes"]["classes"]))
        params = parse(IngestParams, recipe["params"], store)
    except (KeyError, TypeError, ParamsError):
        raise LineageError(fault(store, "no recipe of an ingest that holds", "a raw store", AGAIN)) from None
    annotations = {str(r.annotation.sha256) for r in told if r.annotation}
    beside = calibrations_of(store, recipe["inputs"], params, annotations)
    return Place(store, sealed, recipe["inputs"], kind, classes, params, beside)


def _check_places(place: Place, told: Iterable[Receipt], arrays: Mapping[str, Stored]) -> None:
    """Every image or crop of the store has one receipt, and every receipt one of them. Raises `LineageError`."""
    claimed = sorted((r.image.path, r.image.index or 0) for r in told if r.image)
    if place.kind == "crops":
        if "mosaic" not in arrays:
            return  # of which a line was told, or `compare.crops` will tell one
        there = [("mosaic", row) for row in range(arrays["mosaic"].array.shape[0])]
    else:
        names = {n.split("/")[1] for n in place.sealed.tree if n.startswith(f"{place.kind}/") and n.count("/") > 1}
        there = [(f"{place.kind}/{name}", 0) for name in sorted(names)]
    if claimed != sorted(there):
        wrong = f"receipts of {len(claimed)} images, not those that are there"
        raise LineageError(fault(place.store / receipts.RECEIPTS, wrong, f"one of each of {len(there)}", AGAIN))


def _prove(place: Place, told: Iterable[Receipt], arrays: Mapping[str, Stored], tally: Tally) -> list[Proved]:
    """What can be proved of each source, in the order of the receipts."""
    good = [receipt for receipt in told if receipt.image is not None]
    proved: list[Proved] = []
    if place.kind == "crops":
        proved = compare.crops(place, good, arrays, tally)
    else:
        mine, files = _by_image(arrays), _by_image(place.sealed.tree)
        for receipt in good:
            path = receipt.image.path if receipt.image else ""
            proved.append(compare.image(place, receipt, mine.get(path, {}), files.get(path, {}), tally))
    return proved + [Proved(r.id, "rejected", 0, f"rejected: {r.line}") for r in told if r.status == "rejected"]


def _by_image(things: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """What is named by paths in the store, gathered by the image that it is part of: `frames/<id>`."""
    found: dict[str, dict[str, T]] = {}
    for name, thing in things.items():
        found.setdefault("/".join(name.split("/")[:2]), {})[name] = thing
    return found
