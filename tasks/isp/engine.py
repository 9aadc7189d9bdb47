"""Running a chain over mosaics of any size, in tiles that stay in the processor's cache.

A tile is read with the chain's halo from the mirrored continuation of the frame (`border`), so that the result
is bit for bit that of the whole frame, whatever the tile's size.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import FULL_SCALE_DN, Calibration
from tasks.isp.border import mirror_indices
from tasks.isp.chain import Chain
from tasks.isp.operator import Place, Plane

Mosaic = NDArray[np.uint16]
View = NDArray[np.uint16]
"""Display RGB (3, y, x); value / 65535 lies in [0, 1]."""
Span = tuple[int, int]
"""First sample and the one after the last, along one axis."""
Tile = tuple[int, int]
"""Height and width in px of the pieces in which work is done; of no influence on values."""


def normalise(mosaic: Mosaic) -> Plane:
    """DN to [0, 1] by 2^16 - 1 (thesis A, eq. 3.4), float32."""
    normalised: Plane = mosaic.astype(np.float32) / np.float32(FULL_SCALE_DN)
    return normalised


def quantise(view: Plane) -> View:
    """A view in [0, 1] to uint16 by rint(65535 v)."""
    scaled: Plane = view * np.float32(FULL_SCALE_DN)
    return np.rint(scaled, out=scaled).astype(np.uint16)


def even_span(span: Span, halo_px: int) -> Span:
    """`span` with `halo_px` more on both sides, widened to whole quads."""
    start, stop = span[0] - halo_px, span[1] + halo_px
    return start - start % 2, stop + stop % 2


Reader = Callable[[slice, slice], Mosaic]
"""Reads a window of a mosaic that lies within it."""


def continued(read: Reader, shape: tuple[int, int], rows: Span, columns: Span) -> Mosaic:
    """The window `rows` x `columns` of the mirrored continuation of a mosaic of `shape`."""
    y, x = mirror_indices(*rows, shape[0]), mirror_indices(*columns, shape[1])
    inside = read(slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))
    if len(y) == inside.shape[0] and len(x) == inside.shape[1]:
        return inside
    return inside[np.ix_(y - y.min(), x - x.min())]


def _piece(chain: Chain, mosaic: Mosaic, calibration: Calibration, origin: tuple[int, int]) -> Plane:
    """The view of a `mosaic` cut with its halo, whose first sample stands at `origin` of the frame."""
    return chain(normalise(mosaic), Place(calibration, *origin))


def develop_window(
    chain: Chain,
    read: Reader,
    shape: tuple[int, int],
    calibration: Calibration,
    rows: Span,
    columns: Span,
    tile: Tile,
) -> View:
    """The view (3, y, x) of the window `rows` x `columns` of a frame of `shape` that `read` reads.

    Raises ValueError for a frame with a side below 2 px.
    """
    view = np.empty((3, rows[1] - rows[0], columns[1] - columns[0]), np.uint16)
    for y, x in tiles(rows, columns, tile):
        outer_y, outer_x = even_span(y, chain.halo_px), even_span(x, chain.halo_px)
        mosaic = continued(read, shape, outer_y, outer_x)
        piece = _piece(chain, mosaic, calibration, (outer_y[0], outer_x[0]))
        down, right = y[0] - outer_y[0] - chain.halo_px, x[0] - outer_x[0] - chain.halo_px
        piece = piece[:, down : down + y[1] - y[0], right : right + x[1] - x[0]]
        view[:, y[0] - rows[0] : y[1] - rows[0], x[0] - columns[0] : x[1] - columns[0]] = quantise(piece)
    return view


def tiles(rows: Span, columns: Span, tile: Tile) -> Iterator[tuple[Span, Span]]:
    """The pieces of a window, row by row."""
    for y in range(rows[0], rows[1], tile[0]):
        for x in range(columns[0], columns[1], tile[1]):
            yield (y, min(y + tile[0], rows[1])), (x, min(x + tile[1], columns[1]))


def develop(chain: Chain, mosaic: Mosaic, calibration: Calibration, tile: Tile) -> View:
    """The view (3, y, x), uint16, of a whole `mosaic` (y, x), uint16."""
    height, width = mosaic.shape

    def read(rows: slice, columns: slice) -> Mosaic:
        return mosaic[rows, columns]

    return develop_window(chain, read, (height, width), calibration, (0, height), (0, width), tile)


def view_of(chain: Chain, mosaic: Mosaic, calibration: Calibration) -> Plane:
    """The view (3, y, x) of a whole `mosaic` (y, x) in one piece and before quantising, float32."""
    height, width = mosaic.shape
    rows, columns = even_span((0, height), chain.halo_px), even_span((0, width), chain.halo_px)
    whole = continued(lambda y, x: mosaic[y, x], (height, width), rows, columns)
    piece = _piece(chain, whole, calibration, (rows[0], columns[0]))
    down, right = -rows[0] - chain.halo_px, -columns[0] - chain.halo_px
    return piece[:, down : down + height, right : right + width]
