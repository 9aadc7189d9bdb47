"""Annotations as GeoJSON polygons (RFC 7946 geometry in level-0 pixels, as QuPath exports), drawn by windows.

A pixel is inside when its centre is, by the even-odd rule over all rings, so that holes need no care. Edges
are half-open: polygons that share an edge share no pixel and leave none between them, and a window holds
exactly the pixels that it would hold in the whole picture.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.bad import BadFile

AGAIN = "export the annotation again"
MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Polygon:
    """`edges` float64 (n, 4): x0, y0, x1, y1 of all rings; `name` is the source's class name."""

    name: str
    edges: NDArray[np.float64]


def read_polygons(path: Path) -> list[Polygon]:
    """The polygons of the GeoJSON file at `path`, in its order. Raises `BadFile`."""
    if path.stat().st_size > MOST_BYTES:
        raise BadFile(path, f"{path.stat().st_size} bytes", f"at most {MOST_BYTES}", "split or simplify it")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise BadFile(path, "not GeoJSON", "a FeatureCollection of polygons", AGAIN) from None
    features = document.get("features") if isinstance(document, dict) else document
    if not isinstance(features, list):
        raise BadFile(path, "no features", "a FeatureCollection of polygons", AGAIN)
    return [polygon for i, feature in enumerate(features) for polygon in _feature(path, i, feature)]


def _feature(path: Path, i: int, feature: Any) -> list[Polygon]:
    try:
        geometry, properties = feature["geometry"], feature["properties"]
        named = properties.get("classification") or {"name": properties.get("label")}
        name, kind = named["name"], geometry["type"]
        parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[kind]
        if not isinstance(name, str) or not name:
            raise BadFile(path, f"feature {i} has no class name", "properties.classification.name or .label", AGAIN)
        return [Polygon(name, np.concatenate([_ring(ring) for ring in rings])) for rings in parts]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadFile(path, f"feature {i} is not a polygon", "Polygon or MultiPolygon with a class", AGAIN) from None


def _ring(ring: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Edges of a ring, closed if the file leaves it open."""
    points = np.asarray([point[:2] for point in ring], np.float64)
    if len(points) < 3 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("not a ring")
    return np.concatenate([points, np.roll(points, -1, axis=0)], axis=1)


def draw(polygon: Polygon, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Which pixels of the window lie inside `polygon`: bool (y, x).

    Each edge flips, in the rows whose centre it crosses, all pixels whose centre lies right of the crossing.
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start
    flips = np.zeros((height, width + 1), np.int32)
    x0, y0, x1, y1 = polygon.edges.T
    low, high = np.minimum(y0, y1), np.maximum(y0, y1)
    first = np.clip(np.ceil(low - 0.5), rows.start, rows.stop).astype(np.int64)
    last = np.clip(np.ceil(high - 0.5), rows.start, rows.stop).astype(np.int64)
    count = np.maximum(last - first, 0)
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    crossing = x0[edge] + (row + 0.5 - y0[edge]) * slope
    column = np.clip(np.ceil(crossing - 0.5), columns.start, columns.stop).astype(np.int64) - columns.start
    np.add.at(flips, (row - rows.start, column), 1)
    return np.asarray(np.cumsum(flips, axis=1)[:, :-1] % 2 == 1)


def touches(polygon: Polygon, rows: slice, columns: slice) -> bool:
    """Whether the bounding box of `polygon` meets the window."""
    x, y = polygon.edges[:, 0], polygon.edges[:, 1]
    return bool(x.max() > columns.start and x.min() < columns.stop and y.max() > rows.start and y.min() < rows.stop)


def paint(polygons: Sequence[tuple[int, Polygon]], rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Class indices in a window: uint8 (y, x); a later polygon covers an earlier one."""
    out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for index, polygon in polygons:
        if touches(polygon, rows, columns):
            box_rows, box_columns = _box(polygon, rows, columns)
            top, left = box_rows.start - rows.start, box_columns.start - columns.start
            inside = draw(polygon, box_rows, box_columns)
            out[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = index
    return out


def _box(polygon: Polygon, rows: slice, columns: slice) -> tuple[slice, slice]:
    """The part of the window that the bounding box of `polygon` covers."""
    x, y = polygon.edges[:, 0], polygon.edges[:, 1]
    top, bottom = max(rows.start, math.floor(y.min())), min(rows.stop, math.ceil(y.max()))
    left, right = max(columns.start, math.floor(x.min())), min(columns.stop, math.ceil(x.max()))
    return slice(top, bottom), slice(left, right)
