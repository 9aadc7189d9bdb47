"""Receipts: what became of each source file, one line of JSON a source in `receipts.jsonl` at the store's root.

A receipt leads from the digest of a file as it came to the digest of what is stored of it. The digest of an image
is the Merkle root (RFC 6962, see tasks/lineage/digest.py) over the SHA-256 of every file below its folder; that
of a crop, which shares its shard with others, the SHA-256 of its pixels, little-endian in C order.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tasks.errors import LineageError, fault
from tasks.lineage.digest import canonical, files_below, merkle_root, sha256_file

RECEIPTS = "receipts.jsonl"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceFile(_Frozen):
    """A file as it came; `path` is relative to the dataset's folder. A refused file may not even be readable."""

    path: str
    sha256: str | None
    bytes: int | None
    uri: str | None = None


class Stored(_Frozen):
    """Where its pixels are: the image at `path` in the store, or row `index` of the stack at `path`; level 0."""

    path: str
    index: int | None
    axes: str
    shape: tuple[int, ...]
    dtype: str
    digest: str


class Receipt(_Frozen):
    """One source. `statistics` has one entry a channel, as `statistics.document` says; `dropped` has names only."""

    id: str
    source: SourceFile
    annotation: SourceFile | None
    format: str
    decoder: str
    image: Stored | None
    statistics: tuple[dict[str, Any], ...]
    dropped: tuple[str, ...]
    metadata: dict[str, Any]
    status: Literal["stored", "rejected"]
    line: str | None

    @model_validator(mode="after")
    def _consistent(self) -> "Receipt":
        if (self.status == "stored") != (self.image is not None) or (self.status == "rejected") != bool(self.line):
            raise ValueError("a stored source has an image, a rejected one a line")
        if self.status == "stored" and self.source.sha256 is None:
            raise ValueError("a stored source has a digest")
        return self

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")


def stored(
    name: str,
    source: SourceFile,
    annotation: SourceFile | None,
    image: Stored,
    form: str,
    decoder: str,
    statistics: Sequence[Mapping[str, Any]],
    dropped: Iterable[str],
    metadata: Mapping[str, Any],
) -> Receipt:
    """The receipt of a source that is in the store; `name` is its id, `form` its format."""
    return Receipt(
        id=name,
        source=source,
        annotation=annotation,
        format=form,
        decoder=decoder,
        image=image,
        statistics=tuple(dict(channel) for channel in statistics),
        dropped=tuple(sorted(set(dropped))),
        metadata=dict(metadata),
        status="stored",
        line=None,
    )


def rejected(name: str, source: SourceFile, line: str, annotation: SourceFile | None = None, form: str = "") -> Receipt:
    """The receipt of a source that was refused, with the one line that says why."""
    return Receipt(
        id=name,
        source=source,
        annotation=annotation,
        format=form,
        decoder="",
        image=None,
        statistics=(),
        dropped=(),
        metadata={},
        status="rejected",
        line=line,
    )


def source_file(folder: Path, name: str, digests: Mapping[str, str], uri: str | None = None) -> SourceFile:
    """The file `name` of the dataset in `folder`; its digest is taken from `digests` where it is known there.

    A file that is gone or cannot be read has no digest: only a refused one may be so.
    """
    path = folder / name
    try:
        if not path.is_file():  # a pipe would be waited for
            return SourceFile(path=name, sha256=None, bytes=None, uri=uri)
        size = path.stat().st_size
        return SourceFile(path=name, sha256=digests.get(name) or sha256_file(path), bytes=size, uri=uri)
    except OSError:
        return SourceFile(path=name, sha256=digests.get(name), bytes=None, uri=uri)


def image_digest(content: Path, image: str, known: Mapping[str, str]) -> str:
    """Merkle root of the image at `image` (a path below `content`): {path below it: SHA-256} of all its files.

    `known` has digests that need not be computed again, by path below `content`.
    """
    names = files_below(content / image)
    return merkle_root({n: known.get(f"{image}/{n}") or sha256_file(content / image / n) for n in names})


def crop_digest(pixels: NDArray[Any]) -> str:
    """SHA-256 of the pixels as little-endian bytes in C order."""
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def write(content: Path, receipts: Iterable[Receipt]) -> Path:
    """Write `receipts.jsonl` below `content`, sorted by id, then by source."""
    ordered = sorted(receipts, key=lambda r: (r.id, r.source.path, r.line or ""))
    path = content / RECEIPTS
    path.write_bytes(b"".join(canonical(receipt.document()) + b"\n" for receipt in ordered))
    return path


def read(store: Path) -> list[Receipt]:
    """The receipts of the store. Raises `LineageError` where they are missing or not what `write` writes."""
    path = store / RECEIPTS
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        raise LineageError(fault(path, "not there", "receipts of an ingest", "ingest the sources again")) from None
    return [_parsed(path, number, line) for number, line in enumerate(lines, start=1)]


def _parsed(path: Path, number: int, line: bytes) -> Receipt:
    try:
        return Receipt.model_validate_json(line)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        wrong = f"line {number}: {f'not right at {where}' if where else 'not a receipt'}"
        raise LineageError(fault(path, wrong, "a receipt of an ingest", "ingest the sources again")) from None
