"""Pyramid levels by true area averaging: a pixel of level k is the mean of the level-0 pixels it covers.

At the lower and right edge a pixel covers fewer; those that exist weigh the same. Sums of integers are exact and
rounded once, half to even. That holds for the levels that a column reaches (`levels`): each is made from level 0
itself and carries no rounding of another. Deeper levels (`reduced`) are the mean of the deepest of these, which was
rounded, and rounded a second time: within 1 DN of the mean over level 0.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.ngff import level_shape

Array = NDArray[Any]
PIECE_PX = 1024
STRIP_PX = 256


class Source(Protocol):
    """An array that is read by windows, such as a Zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, window: Any, /) -> Any: ...


def halve(block: Array, label: bool) -> Array:
    """The next pyramid level of `block` (..., y, x): true area average, or the nearest pixel of a label.

    The last row or column of an odd side averages what is there. Integers are rounded half to even.
    """
    return levels(block, 1, label)[0]


def levels(block: Array, depth: int, label: bool) -> list[Array]:
    """Levels 1 to `depth` of `block` (..., y, x), whose corner lies on a pixel of each; a label's nearest pixels."""
    if label:
        return [block[..., :: 2**level, :: 2**level] for level in range(1, depth + 1)]
    made = [np.empty(level_shape(block.shape, level), block.dtype) for level in range(1, depth + 1)]
    step = max(STRIP_PX, 2**depth)
    for y in range(0, block.shape[-2], step):  # strips stay in the processor's cache: twice as fast
        strip = block[..., y : y + step, :]
        for level, total in enumerate(_totals(strip, depth), start=1):
            made[level - 1][..., y >> level : (y + step) >> level, :] = _mean(total, level, strip)
    return made


def reduced(
    source: Source, window: tuple[slice, ...], doublings: int, whole: Sequence[int], side: int, label: bool
) -> Array:
    """The pixels at `window` of the level that lies `doublings` levels below the stored level `source`.

    A pixel of `source` covers `side` x `side` of level 0, whose shape is `whole` (..., y, x), and weighs what it
    covers. Read piece by piece, so that memory does not grow with the image. Within 1 DN of the mean over level 0.
    """
    made = np.empty([w.stop - w.start for w in window], source.dtype)
    step = max(1, PIECE_PX >> doublings)
    spans = [[slice(p, min(p + step, w.stop)) for p in range(w.start, w.stop, step)] for w in window[-2:]]
    for y, x in product(*spans):
        rows, columns = (_under(p, doublings, n) for p, n in ((y, source.shape[-2]), (x, source.shape[-1])))
        weights = [_weights(p, side, n) for p, n in ((rows, whole[-2]), (columns, whole[-1]))]
        block = np.asarray(source[(*window[:-2], rows, columns)])
        at_y, at_x = y.start - window[-2].start, x.start - window[-1].start
        mean = _nearest_or_mean(block, doublings, weights, label)
        made[..., at_y : at_y + mean.shape[-2], at_x : at_x + mean.shape[-1]] = mean
    return made


def _under(part: slice, doublings: int, size: int) -> slice:
    return slice(part.start << doublings, min(part.stop << doublings, size))


def _weights(part: slice, side: int, whole: int) -> Array:
    """How many of the `whole` rows of level 0 each of the rows `part` covers: `side`, the last maybe fewer."""
    return np.asarray(np.minimum(side, whole - side * np.arange(part.start, part.stop)))


def _nearest_or_mean(block: Array, level: int, weights: Sequence[Array], label: bool) -> Array:
    if label:
        return block[..., :: 2**level, :: 2**level]
    mean = _mean(_totals(block, level)[-1], level, block)
    rows, columns = weights
    if rows[-1] < rows[0]:
        begin = (len(rows) - 1) >> level << level
        mean[..., -1:, :] = _weighted(block[..., begin:, :], rows[begin:], columns, 2**level)
    if columns[-1] < columns[0]:
        begin = (len(columns) - 1) >> level << level
        mean[..., -1:] = _weighted(block[..., begin:], rows, columns[begin:], 2**level)
    return mean


def _weighted(block: Array, rows: Array, columns: Array, side: int) -> Array:
    """Means over blocks of `side` x `side`, where a pixel weighs what its row and its column do."""
    weights = np.outer(rows, columns).astype(np.float64)
    return _quotient(_blocks(block * weights, side), _blocks(weights, side), block.dtype)


def _blocks(values: Array, side: int) -> Array:
    sums = np.add.reduceat(values, np.arange(0, values.shape[-2], side), axis=-2)
    return np.asarray(np.add.reduceat(sums, np.arange(0, values.shape[-1], side), axis=-1))


def _totals(block: Array, depth: int) -> list[Array]:
    """Sums over the blocks that a pixel of level 1, 2, … `depth` covers; what lies beyond the edge counts as zero."""
    totals = [block]
    for level in range(1, depth + 1):
        totals.append(_fours(totals[-1], _wide(block.dtype, level)))
    return totals[1:]


def _wide(dtype: np.dtype, level: int) -> np.dtype:
    """The least dtype that holds the sum of 4^level values; a shard of a slide is 100 MB in 64 bits."""
    if dtype.kind != "u":
        return np.dtype(np.float64)
    return np.min_scalar_type(np.iinfo(dtype).max * 4**level)


def _fours(total: Array, wide: np.dtype) -> Array:
    """Sums over blocks of 2 x 2; what lies beyond an odd side counts as zero."""
    odd = [n % 2 for n in total.shape[-2:]]
    if any(odd):
        total = np.pad(total, [(0, 0)] * (total.ndim - 2) + [(0, n) for n in odd])
    rows = np.add(total[..., ::2, :], total[..., 1::2, :], dtype=wide)
    return np.add(rows[..., ::2], rows[..., 1::2])


def _mean(total: Array, level: int, block: Array) -> Array:
    whole = 4**level
    if total.dtype.kind == "u":
        even = (total >> 2 * level) & 1
        even += total
        even += total.dtype.type(whole // 2 - 1)
        even >>= 2 * level
        mean = even.astype(block.dtype)
    else:
        mean = _quotient(total, np.float64(whole), block.dtype)
    rows, columns = (_weights(slice(0, total.shape[axis]), 2**level, block.shape[axis]) for axis in (-2, -1))
    _mend(mean, total, rows, columns, 2**level)
    return mean


def _mend(mean: Array, total: Array, rows: Array, columns: Array, side: int) -> None:
    """Divide the last row and column of `total` anew where they cover fewer than `side` rows or columns."""
    for last, part in ((rows[-1], np.s_[..., -1:, :]), (columns[-1], np.s_[..., :, -1:])):
        if last < side:
            mean[part] = _quotient(total[part], np.outer(rows, columns)[part], mean.dtype)


def _quotient(total: Array, count: Array | np.float64, dtype: np.dtype) -> Array:
    """total / count, rounded half to even for integers: exact, as sums and halves are exact in float64."""
    exact = total / count
    return (np.rint(exact) if dtype.kind in "ui" else exact).astype(dtype)
