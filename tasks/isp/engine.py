"""Running chains over mosaics of any size, in tiles that stay in the processor's cache, on one or more threads.

A window of a frame is read once, with the chains' halo, from the mirrored continuation of the frame (`border`),
and worked off in tiles that overlap by the halo. The result is bit for bit that of the whole frame, whatever the
sizes of windows and tiles, the number of threads, and the chains developed beside.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import FULL_SCALE_DN, Calibration
from tasks.isp.border import mirror_indices
from tasks.isp.chain import Chain
from tasks.isp.operator import Place, Plane
from tasks.isp.scratch import scratch
from tasks.isp.shared import Branch, branches, run

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
    scaled: View = np.rint(view * np.float32(FULL_SCALE_DN)).astype(np.uint16)
    return scaled


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
    beyond = [
        (max(0, -start), max(0, stop - length))
        for (start, stop), length in zip((rows, columns), frame.shape, strict=True)
    ]
    if inside.shape == tuple(stop - start - sum(b) for (start, stop), b in zip((rows, columns), beyond, strict=True)):
        # Ten times as fast as by indices; only where a small part is mirrored does `inside` hold more than that.
        return np.pad(inside, beyond, mode="reflect") if np.any(beyond) else inside
    return inside[np.ix_(y - y.min(), x - x.min())]


def tiles(rows: Span, columns: Span, tile: Tile) -> Iterator[tuple[Span, Span]]:
    """The pieces of a window, row by row; higher ones of the same area where the window is narrower than a tile."""
    height = max(tile[0], tile[0] * tile[1] // (columns[1] - columns[0]))
    for y in range(rows[0], rows[1], height):
        for x in range(columns[0], columns[1], tile[1]):
            yield (y, min(y + height, rows[1])), (x, min(x + tile[1], columns[1]))


Sink = Callable[[int, slice, slice, Plane, int, int], None]
"""Takes (chain, rows, columns within the window, image (3, y, x), first row, first column of these in the image)."""


def work(
    chains: Sequence[Chain], frame: Frame, rows: Span, columns: Span, tile: Tile, threads: int, sink: Sink
) -> None:
    """The views of a window under all `chains`, tile by tile, float32 in [0, 1], each given to `sink` once."""
    forest = branches(chains)
    reach = max(branch.need_px for branch in forest)
    reach += reach % 2
    block = continued(frame, even_span(rows, reach), even_span(columns, reach))
    origin = even_span(rows, 0)[0], even_span(columns, 0)[0]

    def piece(spans: tuple[Span, Span]) -> None:
        y, x = spans
        (y0, y1), (x0, x1) = even_span(y, 0), even_span(x, 0)
        part = block[y0 - origin[0] : y1 - origin[0] + 2 * reach, x0 - origin[1] : x1 - origin[1] + 2 * reach]
        inside = slice(y[0] - rows[0], y[1] - rows[0]), slice(x[0] - columns[0], x[1] - columns[0])

        def give(chain: int, image: Plane, reach_px: int) -> None:
            sink(chain, *inside, image, reach_px + y[0] - y0, reach_px + x[0] - x0)

        place = Place(frame.calibration, y0 - reach, x0 - reach, frame.shape)
        _piece(forest, part, place, (y1 - y0, x1 - x0), give)

    _each(piece, list(tiles(rows, columns, tile)), threads)


def _piece(forest: Sequence[Branch], dn: Mosaic, place: Place, size: Tile, give: Callable[..., None]) -> None:
    from tasks.isp.compiled import points

    with scratch() as take:
        mosaic = take(*dn.shape)
        points.normalise(dn, mosaic)
        for branch in forest:
            run(branch, mosaic, place, size, give)


def _each(function: Callable[[Any], None], items: list[Any], threads: int) -> None:
    """`function` of all items, whose order is of no influence, on so many threads."""
    if threads == 1 or len(items) == 1:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(function, items):
            pass


def develop_into(
    views: Sequence[View], chains: Sequence[Chain], frame: Frame, rows: Span, columns: Span, tile: Tile, threads: int
) -> None:
    """Write the views (3, y, x), uint16, of the window `rows` x `columns` of `frame`, one a chain, to `views`.

    What the chains begin with alike is computed once: twelve variants take half the time of twelve runs.
    """
    from tasks.isp.compiled import points

    def sink(chain: int, y: slice, x: slice, image: Plane, top: int, left: int) -> None:
        points.quantise(image, top, left, views[chain][:, y, x])

    work(chains, frame, rows, columns, tile, threads, sink)


def develop_windows(
    chains: Sequence[Chain], frame: Frame, rows: Span, columns: Span, tile: Tile, threads: int = 1
) -> list[View]:
    """As `develop_into`, in new arrays."""
    views = [np.empty((3, rows[1] - rows[0], columns[1] - columns[0]), np.uint16) for _ in chains]
    develop_into(views, chains, frame, rows, columns, tile, threads)
    return views


def develop_window(chain: Chain, frame: Frame, rows: Span, columns: Span, tile: Tile, threads: int = 1) -> View:
    """The view (3, y, x), uint16, of the window `rows` x `columns` of `frame`."""
    return develop_windows([chain], frame, rows, columns, tile, threads)[0]


def develop(chain: Chain, mosaic: Mosaic, calibration: Calibration, tile: Tile, threads: int = 1) -> View:
    """The view (3, y, x), uint16, of a whole `mosaic` (y, x), uint16."""
    height, width = mosaic.shape
    return develop_window(chain, frame_of(mosaic, calibration), (0, height), (0, width), tile, threads)


def view_of(chain: Chain, mosaic: Mosaic, calibration: Calibration) -> Plane:
    """The view (3, y, x) of a whole `mosaic` (y, x) in one piece and before quantising: float32 in [0, 1]."""
    height, width = mosaic.shape
    view = np.empty((3, height, width), np.float32)

    def sink(chain: int, y: slice, x: slice, image: Plane, top: int, left: int) -> None:
        view[:, y, x] = image[:, top : top + height, left : left + width]

    work([chain], frame_of(mosaic, calibration), (0, height), (0, width), (height, width), 1, sink)
    return view
