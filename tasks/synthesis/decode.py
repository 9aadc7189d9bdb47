"""Overlapped decode with Hann weights (thesis A, section 5.2.3, fig. 5.4), any part of a canvas at a time.

Windows of the latent canvas are decoded and blended: from the centre of a window to the centre of the next the weights
fall as cos^2 and rise as sin^2, which are the two halves of Hann windows at half a window's distance. At most two
windows meet along an axis, so that the weights sum to exactly 1; beyond the outermost centres the outermost windows
stand alone. Where windows lie depends on the canvas alone, so that its parts come out as they do in the whole.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.synthesis.canvas import Readable

Values = NDArray[np.float32]
Decode = Callable[[Values], Values]
"""Latents (n, c, h, w) -> values (n, b, h * factor, w * factor)."""


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `starts` and `side` in latent pixels, crossfades in output pixels."""

    starts: tuple[int, ...]
    side: int
    factor: int

    @cached_property
    def edges(self) -> list[int]:
        """Output positions between which pairs of windows meet: 0, the centres of all windows, the end."""
        length = (self.starts[-1] + self.side) * self.factor
        return [0, *(start * self.factor + self.side * self.factor // 2 for start in self.starts), length]

    def pieces(self, part: slice) -> list[int]:
        """The pieces, each from one edge to the next, that `part` of the output touches."""
        spans = zip(self.edges[:-1], self.edges[1:], strict=True)
        return [piece for piece, (low, high) in enumerate(spans) if low < part.stop and part.start < high]

    def meeting(self, piece: int) -> list[int]:
        """The one or two windows of which `piece` is made."""
        return sorted({max(piece - 1, 0), min(piece, len(self.starts) - 1)})

    def inside(self, part: slice) -> slice:
        """`part` of the output within the pieces that it touches."""
        first = self.edges[self.pieces(part)[0]]
        return slice(part.start - first, part.stop - first)


def axis(length: int, side: int, factor: int) -> Axis:
    """Evenly placed windows that cover `length` latent pixels, at most half a window apart.

    Raises ValueError where the canvas is shorter than a window, or a window is a single pixel.
    """
    if length < side or side < 2:
        raise ValueError(f"canvas of {length} and window of {side} latent pixels")
    gaps = -(-(length - side) // (side // 2))
    starts = [round(k * (length - side) / gaps) for k in range(gaps + 1)] if gaps else [0]
    return Axis(tuple(starts), side, factor)


def fading(length: int) -> Values:
    """Weights of the earlier window between two centres, (length,): cos^2, half a Hann window, by pixel centres."""
    return (np.cos((np.arange(length) + 0.5) / length * np.pi / 2) ** 2).astype(np.float32)


def crossfade(before: Values, after: Values, weight: Values) -> Values:
    """`after` + weight * (`before` - `after`): the weights are w and 1 - w, so equal inputs come out unchanged."""
    return after + weight * (before - after)


def _meet(line: Axis, parts: Mapping[int, Values], piece: int, along: int) -> Values:
    """The output of `piece` along axis `along`, from the decoded windows (or rows of them) that meet there."""
    low, high = line.edges[piece], line.edges[piece + 1]
    cuts = []
    for index in line.meeting(piece):
        offset = line.starts[index] * line.factor
        cuts.append(np.moveaxis(parts[index], along, -1)[..., low - offset : high - offset])
    joined = cuts[0] if len(cuts) == 1 else crossfade(cuts[0], cuts[1], fading(high - low))
    return np.moveaxis(joined, -1, along)


@dataclass(frozen=True)
class Blend:
    """A latent canvas seen decoded: `rows` and `columns` are its windows."""

    latents: Readable
    decode: Decode
    rows: Axis
    columns: Axis

    def strips(self, y: slice, x: slice) -> Iterator[Values]:
        """Strips (b, some rows, x), top to bottom, that together are the output of rows `y` and columns `x`.

        Memory is two rows of windows, as wide as `x`.
        """
        held: dict[int, Values] = {}
        inside = self.rows.inside(y)
        top = 0
        for piece in self.rows.pieces(y):
            held = {k: held[k] if k in held else self._row(k, x) for k in self.rows.meeting(piece)}
            strip = _meet(self.rows, held, piece, -2)
            here = slice(max(inside.start - top, 0), inside.stop - top)
            top += strip.shape[-2]
            yield strip[..., here, :]

    def _row(self, index: int, x: slice) -> Values:
        """One row of windows, decoded and blended along x: (b, side * factor, x)."""
        needed = sorted({k for piece in self.columns.pieces(x) for k in self.columns.meeting(piece)})
        side, starts = self.columns.side, self.columns.starts
        down = slice(self.rows.starts[index], self.rows.starts[index] + self.rows.side)
        decoded = self.decode(np.stack([self.latents.read(down, slice(starts[k], starts[k] + side)) for k in needed]))
        parts = dict(zip(needed, decoded, strict=True))
        blended = [_meet(self.columns, parts, piece, -1) for piece in self.columns.pieces(x)]
        return np.concatenate(blended, axis=-1)[..., self.columns.inside(x)]


def blend(latents: Readable, decode: Decode, side: int, factor: int) -> Blend:
    """The canvas `latents` (c, H, W) decoded by windows of `side` latent pixels, `factor` output pixels each."""
    rows, columns = (axis(length, side, factor) for length in latents.shape[1:])
    return Blend(latents, decode, rows, columns)
