"""GeoJSON files to polygons: feature by feature, with bounds on what they may cost before memory is taken.

The class name of a feature is properties.classification.name (QuPath), properties.label or properties.name.
"""

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tasks.ingest.annotations.polygons import Polygon
from tasks.ingest.bad import BadFile

REMEDY = "export the annotation again"
COLLECTION = "a FeatureCollection of polygons"
CLASS = "properties.classification.name, .label or .name"
MOST_LISTS = 3_000_000
"""Lists and objects in one file: one a corner. As Python objects they take 50 times their two bytes."""
MOST_COMMAS = 8_000_000
MOST_PX = 1e9
DEEPEST = 8
"""Of collections of geometries in each other."""
SPACE = re.compile(r"[ \t\r\n]*")


@dataclass
class _Rings:
    """Corners of all rings one after another, how many each ring has, and how many rings each polygon."""

    corners: array = field(default_factory=lambda: array("d"))  # type: ignore[type-arg]
    lengths: list[int] = field(default_factory=list)
    rings: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    features: list[int] = field(default_factory=list)


def read_polygons(path: Path, most_bytes: int) -> tuple[Polygon, ...]:
    """The polygons of the GeoJSON file at `path`, in its order; kept while the file is the same. Raises `BadFile`."""
    known = path.stat()
    if known.st_size > most_bytes:
        raise BadFile(
            path, f"{known.st_size} bytes", f"at most {most_bytes}", "raise most_annotation_bytes or split it"
        )
    return _read(path, known.st_size, known.st_mtime_ns, known.st_ino)


@lru_cache(maxsize=4)
def _read(path: Path, _size: int, _mtime_ns: int, _inode: int) -> tuple[Polygon, ...]:
    found = _Rings()
    try:
        for i, feature in enumerate(_features(path, path.read_text(encoding="utf-8-sig"))):
            _feature(path, i, feature, found)
    except (ValueError, RecursionError):
        raise BadFile(path, "not GeoJSON", COLLECTION, REMEDY) from None
    return _polygons(path, found)


def _features(path: Path, text: str) -> Iterator[Any]:
    """Each feature of the collection, decoded when it is asked for. Raises `BadFile`, `ValueError`."""
    lists, commas = text.count("[") + text.count("{"), text.count(",")
    if lists > MOST_LISTS or commas > MOST_COMMAS:
        wrong = f"{lists} lists and {commas} commas"
        raise BadFile(path, wrong, f"at most {MOST_LISTS} and {MOST_COMMAS}", "simplify or split it")
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    if text[at : at + 1] == "{":
        at = _features_start(path, text, at, decoder)
    if text[at : at + 1] != "[":
        raise BadFile(path, "no features", COLLECTION, REMEDY)
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        feature, at = decoder.raw_decode(text, at)
        yield feature
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            raise ValueError("a list that does not go on")
    _check_end(text, at + 1)


def _check_end(text: str, at: int) -> None:
    """What follows the features must close the document, or the file was cut. Raises `ValueError`."""
    start = text[_skip(text, 0)]
    json.loads(f'{{"features": []{text[at:]}' if start == "{" else f"[]{text[at:]}")


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at


def _features_start(path: Path, text: str, at: int, decoder: json.JSONDecoder) -> int:
    """Where the value of the key "features" of the outermost object starts."""
    at = _skip(text, at + 1)
    while text[at : at + 1] == '"':
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("no value")
        at = _skip(text, at + 1)
        if key == "features":
            return at
        at = _skip(text, decoder.raw_decode(text, at)[1])
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
    if text[at : at + 1] == "}":
        raise BadFile(path, "no features", COLLECTION, REMEDY)
    raise ValueError("not an object")


def _feature(path: Path, i: int, feature: Any, found: _Rings) -> None:
    try:
        polygons = list(_parts(feature["geometry"], 0))
        name = _name(feature["properties"])
        if not isinstance(name, str) or not name:
            raise BadFile(path, f"feature {i} has no class name", CLASS, REMEDY)
        for rings in polygons:
            if not isinstance(rings, list) or not rings:
                raise ValueError("no rings")
            for ring in rings:
                for corner in ring:
                    found.corners.append(corner[0])
                    found.corners.append(corner[1])
                found.lengths.append(len(ring))
            found.rings.append(len(rings))
            found.names.append(name)
            found.features.append(i)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        raise _not_a_polygon(path, i) from None


def _not_a_polygon(path: Path, i: int) -> BadFile:
    return BadFile(path, f"feature {i} is not a polygon", "Polygon or MultiPolygon with a class", REMEDY)


def _parts(geometry: Any, depth: int) -> Iterator[Any]:
    """The coordinates of each polygon of a geometry; of a collection, of all its members."""
    kind = geometry["type"]
    if kind == "GeometryCollection" and depth < DEEPEST:
        for one in geometry["geometries"]:
            yield from _parts(one, depth + 1)
    elif kind == "MultiPolygon":
        yield from geometry["coordinates"]
    elif kind == "Polygon":
        yield geometry["coordinates"]
    else:
        raise ValueError("not a polygon")


def _name(properties: Any) -> Any:
    """The class name that the properties say; QuPath writes several as `names`."""
    said = properties.get("classification")
    if isinstance(said, dict):
        names = said.get("names")
        return said.get("name") or (": ".join(names) if isinstance(names, list) else None)
    return said or properties.get("label") or properties.get("name")


def _polygons(path: Path, found: _Rings) -> tuple[Polygon, ...]:
    """Edges of all rings at once, closed where the file leaves them open."""
    corners = np.frombuffer(found.corners, np.float64).reshape(-1, 2) if found.corners else np.empty((0, 2))
    lengths, rings = np.asarray(found.lengths, np.int64), np.asarray(found.rings, np.int64)
    owner = np.repeat(np.arange(len(rings)), rings)
    if (lengths < 3).any():
        raise _not_a_polygon(path, found.features[int(owner[lengths < 3][0])])
    wild = ~(np.abs(corners) <= MOST_PX).all(axis=1)
    if wild.any():
        ring = int(np.searchsorted(np.cumsum(lengths), np.flatnonzero(wild)[0], side="right"))
        i = found.features[int(owner[ring])]
        wrong = f"feature {i} is not a polygon of this picture: a corner that is no place"
        raise BadFile(path, wrong, f"pixels up to {MOST_PX:g}", REMEDY)
    ends = np.cumsum(lengths)
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = ends - lengths
    edges = np.concatenate([corners, corners[following]], axis=1)
    edges.flags.writeable = False
    cuts = np.concatenate([[0], np.cumsum(np.bincount(owner, weights=lengths, minlength=len(rings)).astype(np.int64))])
    return tuple(Polygon(n, edges[a:b]) for n, a, b in zip(found.names, cuts[:-1], cuts[1:], strict=True))
