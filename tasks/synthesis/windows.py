"""Where the windows of a sampling step lie, and which of them owns a pixel: the first that covers it.

Both laws are drawn without a look at the canvas's values (thesis A, eq. 5.6 needs no more), lie inside the canvas,
cover it, and are functions of the generator that is given.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
FEW = 64
"""Below one uncovered pixel in this many, those left are listed instead of being hit by chance."""


def random_windows(canvas: Corner, window: Corner, draw: np.random.Generator) -> list[Corner]:
    """Thesis A, algorithm 2: upper left corners (y, x) in the order of ownership.

    Each next window is centred, as far as the canvas lets it, on a pixel drawn uniformly from those not covered yet:
    regions of low coverage are the likelier, each window adds something, and the canvas ends covered.
    """
    covered = np.zeros(canvas, bool)
    left = covered.size
    corners: list[Corner] = []
    for y, x in _uncovered(covered, draw):
        if not covered[y, x]:
            corner = _around((y, x), window, canvas)
            here = covered[corner[0] : corner[0] + window[0], corner[1] : corner[1] + window[1]]
            left -= here.size - int(np.count_nonzero(here))
            here[...] = True
            corners.append(corner)
            if left == 0:
                break
    return corners


def _uncovered(covered: NDArray[np.bool_], draw: np.random.Generator) -> Iterator[Corner]:
    """Pixels drawn uniformly with repetition, the covered ones among them to be passed over; the last few once each."""
    height, width = covered.shape
    while np.count_nonzero(covered) < covered.size * (1 - 1 / FEW):
        for y, x in draw.integers((0, 0), (height, width), (256, 2)).tolist():
            yield y, x
    for y, x in draw.permutation(np.argwhere(~covered)).tolist():
        yield y, x


def _around(centre: Corner, window: Corner, canvas: Corner) -> Corner:
    top, left = (
        min(max(at - side // 2, 0), full - side) for at, side, full in zip(centre, window, canvas, strict=True)
    )
    return top, left


def grid_windows(canvas: Corner, window: Corner, draw: np.random.Generator) -> list[Corner]:
    """A shifted grid near the tile minimum: bands as few as cover the canvas, each shifted along itself by chance.

    Bands run along y or x by a coin; n windows that just fit need n + 1 in a shifted band, none more where there is
    room to spare. Where two windows overlap at the canvas's border, a coin a band says which owns the pixels.
    """
    along = int(draw.integers(2))
    across = 1 - along
    corners = []
    for band in _few(canvas[across], window[across], draw):
        places = _shifted(canvas[along], window[along], draw)
        places = places[::-1] if draw.integers(2) else places
        corners += [(place, band) if along == 0 else (band, place) for place in places]
    return corners


def _few(length: int, side: int, draw: np.random.Generator) -> list[int]:
    """As few starts as cover `length`, shifted by chance within the room that they have."""
    count = -(-length // side)
    shift = int(draw.integers(count * side - length + 1))
    return [min(max(k * side - shift, 0), length - side) for k in range(count)]


def _shifted(length: int, side: int, draw: np.random.Generator) -> list[int]:
    """Starts a window apart from a random phase on, those at the ends moved inside."""
    shift = int(draw.integers(side))
    starts = [min(max(start, 0), length - side) for start in range(-shift, length, side)]
    return list(dict.fromkeys(starts))


LAWS: dict[str, Callable[[Corner, Corner, np.random.Generator], list[Corner]]] = {
    "random": random_windows,
    "grid": grid_windows,
}


def owners(canvas: Corner, window: Corner, corners: Sequence[Corner]) -> NDArray[np.int32]:
    """(y, x): the index of the first window that covers each pixel, -1 where none does."""
    owner = np.full(canvas, -1, np.int32)
    for index, (y, x) in reversed(list(enumerate(corners))):
        owner[y : y + window[0], x : x + window[1]] = index
    return owner


def tile_minimum(canvas: Corner, window: Corner) -> int:
    """The least number of windows that cover the canvas."""
    return -(-canvas[0] // window[0]) * -(-canvas[1] // window[1])
