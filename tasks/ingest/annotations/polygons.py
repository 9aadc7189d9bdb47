"""Annotations as GeoJSON polygons (RFC 7946 geometry in level-0 pixels, as QuPath exports), drawn by windows.

A pixel is inside when its centre is, by the even-odd rule over all rings, so that holes need no care. Edges
are half-open: polygons that share an edge share no pixel and leave none between them, and a window holds
exactly the pixels that it would hold in the whole picture.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CROSSINGS = 2_000_000
"""Crossings of edges and rows that are drawn at once: memory does not grow with a zigzag."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """`edges` float64 (n, 4): x0, y0, x1, y1 of all rings; `name` is the source's class name."""

    name: str
    edges: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Painting:
    """Polygons with their class indices, and their boxes float64 (n, 4): left, top, right, bottom."""

    shapes: Sequence[tuple[int, Polygon]]
    boxes: NDArray[np.float64]

    def touching(self, rows: slice, columns: slice) -> Iterator[tuple[int, Polygon]]:
        """Those whose box meets the window, in their order."""
        left, top, right, bottom = self.boxes.T
        meet = (right > columns.start) & (left < columns.stop) & (bottom > rows.start) & (top < rows.stop)
        return (self.shapes[i] for i in np.flatnonzero(meet).tolist())

    def paint(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Class indices in a window: uint8 (y, x); a later polygon covers an earlier one."""
        return paint(list(self.touching(rows, columns)), rows, columns)


def painting(shapes: Sequence[tuple[int, Polygon]]) -> Painting:
    """`shapes` with the boxes that tell at once which of them a window needs."""
    boxes = np.empty((len(shapes), 4))
    if shapes:
        edges = np.concatenate([polygon.edges[:, :2] for _, polygon in shapes])
        starts = np.cumsum([0, *(len(polygon.edges) for _, polygon in shapes[:-1])])
        boxes[:, :2] = np.minimum.reduceat(edges, starts, axis=0)
        boxes[:, 2:] = np.maximum.reduceat(edges, starts, axis=0)
    return Painting(shapes, boxes)


def draw(polygon: Polygon, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Which pixels of the window lie inside `polygon`: bool (y, x).

    Each edge flips, in the rows whose centre it crosses, all pixels whose centre lies right of the crossing.
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start
    flips = np.zeros((height, width + 1), np.int32)
    y0, y1 = polygon.edges[:, 1], polygon.edges[:, 3]
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), rows.start, rows.stop).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), rows.start, rows.stop).astype(np.int64)
    crossed = np.flatnonzero(last > first)
    most = max(1, MOST_CROSSINGS // max(1, height))
    for start in range(0, len(crossed), most):
        part = crossed[start : start + most]
        _flip(flips, polygon.edges[part], first[part], last[part] - first[part], rows, columns)
    return np.asarray(np.cumsum(flips, axis=1)[:, :-1] % 2 == 1)


def _flip(
    flips: NDArray[np.int32],
    edges: NDArray[np.float64],
    first: NDArray[np.int64],
    count: NDArray[np.int64],
    rows: slice,
    columns: slice,
) -> None:
    """Count the crossings of `edges` with `count` rows each from `first` on."""
    x0, y0, x1, y1 = edges.T
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    crossing = x0[edge] + (row + 0.5 - y0[edge]) * slope
    column = np.clip(np.ceil(crossing - 0.5), columns.start, columns.stop).astype(np.int64) - columns.start
    np.add.at(flips, (row - rows.start, column), 1)


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
