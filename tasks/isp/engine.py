"""Running a chain over mosaics of any size, in tiles that stay in the processor's cache.

A window of a frame is read once, with the chain's halo, from the mirrored continuation of the frame (`border`),
and worked off in tiles that overlap by the halo. The result is bit for bit that of the whole frame, whatever the
sizes of windows and tiles.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
"""Reads the given rows and columns of a mosaic, which lie within it."""


@dataclass(frozen=True)
class Frame:
    """A mosaic (y, x) of `shape` that can be read in parts, and its camera. Both sides are 2 px or more."""

    read: Reader
    shape: tuple[int, int]
    calibration: Calibration


def frame_of(mosaic: Mosaic, calibration: Calibration) -> Frame:
    """A frame that is in memory."""
    return Frame(lambda rows, columns: mosaic[rows, columns], (mosaic.shape[0], mosaic.shape[1]), calibration)


def continued(frame: Frame, rows: Span, columns: Span) -> Mosaic:
    """The window `rows` x `columns` of the mirrored continuation of `frame`; spans may leave the frame."""
    y, x = mirror_indices(*rows, frame.shape[0]), mirror_indices(*columns, frame.shape[1])
    inside = frame.read(slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))
    return inside[np.ix_(y - y.min(), x - x.min())]


def tiles(rows: Span, columns: Span, tile: Tile) -> Iterator[tuple[Span, Span]]:
    """The pieces of a window, row by row."""
    for y in range(rows[0], rows[1], tile[0]):
        for x in range(columns[0], columns[1], tile[1]):
            yield (y, min(y + tile[0], rows[1])), (x, min(x + tile[1], columns[1]))


def pieces(chain: Chain, frame: Frame, rows: Span, columns: Span, tile: Tile) -> Iterator[tuple[slice, slice, Plane]]:
    """The view of a window in tiles: (rows, columns) within the window, and float32 (3, y, x) in [0, 1]."""
    halo = chain.halo_px
    top, left = even_span(rows, halo)[0], even_span(columns, halo)[0]
    block = continued(frame, even_span(rows, halo), even_span(columns, halo))
    for y, x in tiles(rows, columns, tile):
        (y0, y1), (x0, x1) = even_span(y, halo), even_span(x, halo)
        mosaic = normalise(block[y0 - top : y1 - top, x0 - left : x1 - left])
        image = chain(mosaic, Place(frame.calibration, y0, x0))
        down, right = y[0] - y0 - halo, x[0] - x0 - halo
        piece = image[:, down : down + y[1] - y[0], right : right + x[1] - x[0]]
        yield slice(y[0] - rows[0], y[1] - rows[0]), slice(x[0] - columns[0], x[1] - columns[0]), piece


def develop_window(chain: Chain, frame: Frame, rows: Span, columns: Span, tile: Tile) -> View:
    """The view (3, y, x), uint16, of the window `rows` x `columns` of `frame`."""
    view = np.empty((3, rows[1] - rows[0], columns[1] - columns[0]), np.uint16)
    for y, x, piece in pieces(chain, frame, rows, columns, tile):
        view[:, y, x] = quantise(piece)
    return view


def develop(chain: Chain, mosaic: Mosaic, calibration: Calibration, tile: Tile) -> View:
    """The view (3, y, x), uint16, of a whole `mosaic` (y, x), uint16."""
    height, width = mosaic.shape
    return develop_window(chain, frame_of(mosaic, calibration), (0, height), (0, width), tile)


def view_of(chain: Chain, mosaic: Mosaic, calibration: Calibration) -> Plane:
    """The view (3, y, x) of a whole `mosaic` (y, x) in one piece and before quantising: float32 in [0, 1]."""
    height, width = mosaic.shape
    whole = pieces(chain, frame_of(mosaic, calibration), (0, height), (0, width), (height, width))
    return next(whole)[2]
