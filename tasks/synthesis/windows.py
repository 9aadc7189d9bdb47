"""Where the windows of a sampling step lie, and which of them owns a pixel: the first that covers it.

Both laws are drawn without a look at the canvas's values (thesis A, eq. 5.6 needs no more), lie inside the canvas,
cover it, and are functions of the generator that is given.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Height and width, or a place (y, x)."""


class Window(NamedTuple):
    """A part of a canvas that the network sees at once."""

    y: int
    x: int
    height: int
    width: int

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


FEW = 64
"""Below one uncovered pixel in this many, those left are listed instead of being hit by chance."""


def random_windows(canvas: Size, side: Size, multiple: int, draw: np.random.Generator) -> list[Window]:
    """Thesis A, algorithm 2: windows of the size `side` in the order of ownership; `multiple` is not used.

    Each next window is centred, as far as the canvas lets it, on a pixel drawn uniformly from those not covered yet:
    regions of low coverage are the likelier, each window adds something, and the canvas ends covered.
    """
    covered = np.zeros(canvas, bool)
    left = covered.size
    windows: list[Window] = []
    for y, x in _uncovered(covered, draw):
        if not covered[y, x]:
            window = Window(*_around((y, x), side, canvas), *side)
            here = covered[window.place]
            left -= here.size - int(np.count_nonzero(here))
            here[...] = True
            windows.append(window)
            if left == 0:
                break
    return windows


def _uncovered(covered: NDArray[np.bool_], draw: np.random.Generator) -> Iterator[Size]:
    """Pixels drawn uniformly with repetition, the covered ones among them to be passed over; the last few once each."""
    height, width = covered.shape
    while np.count_nonzero(covered) < covered.size * (1 - 1 / FEW):
        for y, x in draw.integers((0, 0), (height, width), (256, 2)).tolist():
            yield y, x
    for y, x in draw.permutation(np.argwhere(~covered)).tolist():
        yield y, x


def _around(centre: Size, side: Size, canvas: Size) -> Size:
    top, left = (min(max(at - n // 2, 0), full - n) for at, n, full in zip(centre, side, canvas, strict=True))
    return top, left


def grid_windows(canvas: Size, side: Size, multiple: int, draw: np.random.Generator) -> list[Window]:
    """A grid at the tile minimum whose bands are shifted by chance, and each band's windows along it by chance.

    Bands run along y or x by a coin. Windows are of the size `side` but for those at the canvas's border, whose sides
    are from a half of that up to once and a half, and multiples of `multiple`: what the network's levels can halve. So
    all of the canvas is seen once, but for the pixels by which sides are rounded up; n windows that were shifted whole
    would become n + 1. Bands that were not shifted would meet at the same lines in every other step, which is seen:
    the gradient across these was measured 1.45 times that elsewhere.
    """
    along = int(draw.integers(2))
    across = 1 - along
    windows = []
    for band, thick in _shifted(canvas[across], side[across], multiple, draw):
        for start, long in _shifted(canvas[along], side[along], multiple, draw):
            windows.append(Window(start, band, long, thick) if along == 0 else Window(band, start, thick, long))
    return windows


def _shifted(length: int, side: int, multiple: int, draw: np.random.Generator) -> list[tuple[int, int]]:
    """Starts and lengths of pieces that cover `length`, cut every `side` from a random phase on, not too near the ends.

    The outermost come last: what they overlap, as they are rounded up to a multiple, is not theirs, so that every
    line is as likely a border as any other.
    """
    least = max(side / 2, multiple)
    cuts = [cut for cut in range(int(draw.integers(side)), length, side) if least <= cut <= length - least]
    if not cuts and length > 1.5 * side:
        cuts = [length // 2]
    if not cuts:
        whole = length // multiple * multiple
        return [(0, whole)] if whole == length else [(0, whole), (length - whole, whole)]
    first, last = (-(-n // multiple) * multiple for n in (cuts[0], length - cuts[-1]))
    return [*((cut, side) for cut in cuts[:-1]), (0, first), (length - last, last)]


LAWS: dict[str, Callable[[Size, Size, int, np.random.Generator], list[Window]]] = {
    "random": random_windows,
    "grid": grid_windows,
}


def owners(canvas: Size, windows: Sequence[Window]) -> NDArray[np.signedinteger]:
    """(y, x): the index of the first window that covers each pixel, -1 where none does."""
    owner = np.full(canvas, -1, np.int16 if len(windows) < 2**15 else np.int32)
    for index, window in reversed(list(enumerate(windows))):
        owner[window.place] = index
    return owner


def batches(windows: Sequence[Window], side: Size, most: int) -> list[list[Window]]:
    """Windows of one size at a time, in their order: at most `most` of the size `side`, of others as much area."""
    found = []
    for shape, group in itertools.groupby(sorted(windows, key=_shape), _shape):
        alike = list(group)
        count = max(1, min(most, most * side[0] * side[1] // (shape[0] * shape[1])))
        found += [alike[at : at + count] for at in range(0, len(alike), count)]
    return found


def _shape(window: Window) -> Size:
    return window.height, window.width


def tile_minimum(canvas: Size, side: Size) -> int:
    """The least number of windows of the size `side` that cover the canvas."""
    return -(-canvas[0] // side[0]) * -(-canvas[1] // side[1])
