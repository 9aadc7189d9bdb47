"""Pixel statistics per channel that are exact, and the same whatever the order and the pieces they came from.

Integers are summed as integers: no rounding until the mean and deviation are told. Floats are summed in float64
piece by piece, and the pieces with one correctly rounded sum (`math.fsum`), so that their order does not count.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

SQUARE = {"uint8": np.uint16, "uint16": np.uint32}
"""The narrowest type that holds the square of a value."""
BLOCK = 1 << 16
"""Values squared at a time: their squares stay in the cache."""


@dataclass(frozen=True)
class Channel:
    """Of one channel: how many values, the least and the largest, the sum and the sum of squares, in DN and DN².

    `odd` counts values that are not finite (NaN, infinities); they are in none of the others. `least` and
    `largest` are None where nothing was counted.
    """

    count: int
    least: int | float | None
    largest: int | float | None
    total: int | float
    squares: int | float
    odd: int = 0

    def plain(self) -> list[Any]:
        """As JSON, exactly; `Channel(*plain)` is the way back."""
        return [self.count, self.least, self.largest, self.total, self.squares, self.odd]

    def document(self) -> dict[str, Any]:
        """{"count", "min", "max", "mean", "std"} (of the population), and "not_finite" where there are such."""
        mean, std = (None, None) if self.count == 0 else self._moments()
        known = {"count": self.count, "min": self.least, "max": self.largest, "mean": mean, "std": std}
        return {**known, "not_finite": self.odd} if self.odd else known

    def _moments(self) -> tuple[float, float]:
        """Mean and standard deviation; rounded once each, by rational arithmetic."""
        mean = Fraction(self.total) / self.count
        variance = max(Fraction(self.squares) / self.count - mean * mean, Fraction(0))
        return float(mean), math.sqrt(variance)


Statistics = tuple[Channel, ...]
"""One a channel."""


def of(block: NDArray[Any], axis: int | None) -> Statistics:
    """Statistics of `block` (uint8, uint16 or float32, any shape), one a channel along `axis`; None: all one channel.

    Raises `TypeError` for other dtypes: their sums could not be told exactly.
    """
    if block.dtype.name not in (*SQUARE, "float32"):
        raise TypeError(f"statistics of {block.dtype}")
    planes = block[None] if axis is None else np.moveaxis(block, axis, 0)
    one = _floats if block.dtype.kind == "f" else _integers
    return tuple(one(np.ascontiguousarray(plane).reshape(-1)) for plane in planes)


def _integers(values: NDArray[Any]) -> Channel:
    if values.size == 0:
        return Channel(0, None, None, 0, 0)
    wide = SQUARE[values.dtype.name]
    room = np.empty(min(BLOCK, values.size), wide)
    squares = 0
    for first in range(0, values.size, BLOCK):
        piece = values[first : first + BLOCK]
        out = room[: piece.size]
        np.multiply(piece, piece, out=out, dtype=wide)
        squares += int(out.sum(dtype=np.uint64))
    return Channel(values.size, int(values.min()), int(values.max()), int(values.sum(dtype=np.uint64)), squares)


def _floats(values: NDArray[Any]) -> Channel:
    finite = np.isfinite(values)
    good = values if finite.all() else values[finite]
    if good.size == 0:
        return Channel(0, None, None, 0.0, 0.0, values.size)
    totals, squares = [], []
    for first in range(0, good.size, BLOCK):
        piece = good[first : first + BLOCK].astype(np.float64)
        totals.append(float(piece.sum()))
        squares.append(float(np.square(piece).sum()))
    bounds = float(good.min()), float(good.max())
    return Channel(good.size, *bounds, math.fsum(totals), math.fsum(squares), values.size - good.size)


def merge(parts: Iterable[Statistics]) -> Statistics:
    """Of all `parts` together, each with the same channels; their order does not matter. Of none: no channels."""
    return tuple(_joined(channels) for channels in zip(*parts, strict=True))


def _joined(channels: Sequence[Channel]) -> Channel:
    there = [c for c in channels if c.least is not None and c.largest is not None]
    exact = all(isinstance(c.total, int) and isinstance(c.squares, int) for c in channels)
    total = sum if exact else math.fsum
    return Channel(
        count=sum(c.count for c in channels),
        least=min((c.least for c in there if c.least is not None), default=None),
        largest=max((c.largest for c in there if c.largest is not None), default=None),
        total=total(c.total for c in channels),
        squares=total(c.squares for c in channels),
        odd=sum(c.odd for c in channels),
    )


def of_window(block: NDArray[Any], axes: str, window: Sequence[slice]) -> dict[str, Statistics]:
    """Statistics of a `window` of an image of `axes`, by the number of the first channel in it as text.

    An image of several channels may come in pieces of one channel each: see `gathered`.
    """
    if "c" not in axes:
        return {"0": of(block, None)}
    at = axes.index("c")
    return {str(window[at].start): of(block, at)}


def gathered(pieces: Iterable[Mapping[str, Statistics]]) -> Statistics:
    """Of a whole image, from what `of_window` gave for each of its windows, in any order."""
    byfirst: dict[int, list[Statistics]] = {}
    for piece in pieces:
        for first, channels in piece.items():
            byfirst.setdefault(int(first), []).append(channels)
    return tuple(channel for first in sorted(byfirst) for channel in merge(byfirst[first]))


def plain(pieces: Mapping[str, Statistics]) -> dict[str, list[list[Any]]]:
    """What `of_window` gave, as JSON for an item's receipt."""
    return {first: [channel.plain() for channel in channels] for first, channels in pieces.items()}


def from_plain(pieces: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, Statistics]:
    """The inverse of `plain`."""
    return {first: tuple(Channel(*channel) for channel in channels) for first, channels in pieces.items()}


def document(statistics: Statistics) -> list[dict[str, Any]]:
    """What a receipt says, one entry a channel."""
    return [channel.document() for channel in statistics]


def same(told: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two documents agree: integers exactly, numbers with a fraction to 1e-9 (another machine's last bits)."""
    return len(told) == len(found) and all(_same(a, b) for a, b in zip(told, found, strict=True))


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return type(a) is type(b) and bool(a == b)
