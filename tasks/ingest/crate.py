"""`ro-crate-metadata.json`: the raw store described for whoever does not know rawmill.

RO-Crate 1.1 (https://www.researchobject.org/ro-crate/specification/1.1/) in the way of Process Run Crate 0.5: a
CreateAction took the source files (`object`) through rawmill (`instrument`, with the decoders among its
requirements) to the store (`result`). It says nothing that the receipts do not, and no clock or host.

A source that came from a URI has that as its id; one from a disk has no address that would hold elsewhere, so that
its id is its digest as a `ni` URI (RFC 6920). Both are absolute, and so may be parts of the crate without being in it.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.ingest.params import CrateParams
from tasks.ingest.receipts import RECEIPTS, Receipt, SourceFile
from tasks.lineage.digest import pretty, sha256_file

FILE = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
NGFF = "https://ngff.openmicroscopy.org/0.5/"
TILES = "tiles.parquet"
TOLD = {
    TILES: ("Tiles: their place, label, split and source", "application/vnd.apache.parquet"),
    RECEIPTS: ("A receipt of each source file", "application/jsonl"),
}
"""Files of the store's root: name and media type."""
MEDIA = {
    ".dng": "image/x-adobe-dng",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".svs": "image/tiff",
    ".ndpi": "image/tiff",
    ".png": "image/png",
    ".geojson": "application/geo+json",
    ".json": "application/geo+json",
}
Entity = dict[str, Any]


def write(content: Path, name: str, receipts: Sequence[Receipt], params: CrateParams) -> Path:
    """Write the crate's description to the root of the store in `content`, whose tables are written."""
    files = [name for name in TOLD if (content / name).is_file()]
    known = {name: (sha256_file(content / name), (content / name).stat().st_size) for name in files}
    path = content / FILE
    path.write_bytes(pretty(document(name, receipts, params, known)))
    return path


def document(
    name: str, receipts: Sequence[Receipt], params: CrateParams, files: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    """The JSON-LD of the crate called `name`; `files` are those of its root, with their SHA-256 and bytes."""
    good = [receipt for receipt in receipts if receipt.image is not None]
    sources = _sources(good)
    tables = [_table(table, *files[table]) for table in sorted(files)]
    images = _images(good)
    programs = [_program(*program) for program in _decoders(good)]
    parts = [*tables, *images, *sources]
    root = _root(name, len(good), len(receipts) - len(good), parts, params)
    graph = [_descriptor(), root, _action(name, sources), _rawmill(programs), *programs, _profile(), *parts]
    return {"@context": CONTEXT, "@graph": [*graph, *_licence(params)]}


def _descriptor() -> Entity:
    return {
        "@id": FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }


def _profile() -> Entity:
    return {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}


def _root(name: str, stored: int, refused: int, parts: Sequence[Entity], params: CrateParams) -> Entity:
    left_out = f" {refused} sources were refused, see {RECEIPTS}." if refused else ""
    text = f"Raw store of rawmill: {stored} sources as Zarr, their pixels as they were.{left_out}"
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": name,
        "description": text,
        "conformsTo": {"@id": PROFILE},
        "hasPart": _references(parts),
        "mentions": {"@id": "#ingest"},
    }
    if params.date_published:
        root["datePublished"] = params.date_published
    if params.licence:
        root["license"] = {"@id": params.licence}
    return root


def _references(entities: Iterable[Entity]) -> list[dict[str, str]]:
    return [{"@id": entity["@id"]} for entity in entities]


def _licence(params: CrateParams) -> list[Entity]:
    if not params.licence:
        return []
    name = PurePosixPath(params.licence.rstrip("/")).name
    return [{"@id": params.licence, "@type": "CreativeWork", "name": name, "description": f"The licence {name}"}]


def _action(name: str, sources: Sequence[Entity]) -> Entity:
    return {
        "@id": "#ingest",
        "@type": "CreateAction",
        "name": f"Ingest of {name}",
        "instrument": {"@id": "#rawmill"},
        "object": _references(sources),
        "result": {"@id": "./"},
    }


def _rawmill(programs: Sequence[Entity]) -> Entity:
    return {
        "@id": "#rawmill",
        "@type": "SoftwareApplication",
        "name": "rawmill",
        "softwareVersion": metadata.version("rawmill"),
        "softwareRequirements": _references(programs),
    }


def _decoders(receipts: Iterable[Receipt]) -> list[tuple[str, str]]:
    """(name, version) of each decoder, sorted; a receipt names them as "tifffile 1.2, imagecodecs 3 (libx 4)"."""
    words = {word.strip() for r in receipts for word in re.split(r"[,()]", r.decoder)}
    pairs = (word.rpartition(" ") for word in words if word)
    return sorted((name, version) if name else (version, "") for name, _, version in pairs)


def _program(name: str, version: str) -> Entity:
    known = {"@id": f"#{name}-{version}".replace(" ", "-"), "@type": "SoftwareApplication", "name": name}
    return {**known, "softwareVersion": version} if version else known


def _table(name: str, sha256: str, size: int) -> Entity:
    title, media = TOLD[name]
    known = {"@id": name, "@type": "File", "name": title, "encodingFormat": media}
    return {**known, "contentSize": str(size), "sha256": sha256}


def _images(receipts: Iterable[Receipt]) -> list[Entity]:
    """One Dataset an image; all crops are one, their stack."""
    found: dict[str, Entity] = {}
    for receipt in receipts:
        if receipt.image is None:
            continue
        path = f"{receipt.image.path}/"
        if receipt.image.index is not None:
            found[path] = {"@id": path, "@type": "Dataset", "name": "Stack of crops, Zarr v3"}
        else:
            image: Entity = {"@id": path, "@type": "Dataset", "name": receipt.id, "conformsTo": {"@id": NGFF}}
            found[path] = {**image, "identifier": receipt.image.digest, "isBasedOn": {"@id": _id(receipt.source)}}
    return [found[path] for path in sorted(found)]


def _sources(receipts: Iterable[Receipt]) -> list[Entity]:
    """One File each file that is in the store; equal files without an address of their own are one."""
    found: dict[str, Entity] = {}
    for receipt in receipts:
        for file in (receipt.source, receipt.annotation):
            if file:
                found.setdefault(_id(file), _source(file))
    return [found[key] for key in sorted(found)]


def _id(file: SourceFile) -> str:
    if file.uri:
        return file.uri
    digest = base64.urlsafe_b64encode(bytes.fromhex(file.sha256 or "")).decode().rstrip("=")
    return f"ni:///sha-256;{digest}"


def _source(file: SourceFile) -> Entity:
    media = MEDIA.get(PurePosixPath(file.path).suffix.lower(), "application/octet-stream")
    known = {"@id": _id(file), "@type": "File", "name": file.path, "encodingFormat": media}
    return {**known, "contentSize": str(file.bytes), "sha256": file.sha256}
