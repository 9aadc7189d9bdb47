"""Overlapped decode with Hann weights (thesis A, section 5.2.3, fig. 5.4), strip by strip.

Windows of the latent canvas are decoded once each and blended: from the centre of a window to the centre of the
next the weights fall as cos^2 and rise as sin^2, which are the two halves of Hann windows at half a window's
distance. At most two windows meet along an axis, so that the weights sum to exactly 1; beyond the outermost
centres the outermost windows stand alone. Memory is two rows of windows, whatever the canvas's height.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Decode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Latents (n, c, h, w) -> values (n, b, h * factor, w * factor)."""


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `starts` and `side` in latent pixels, crossfades in output pixels."""

    starts: tuple[int, ...]
    side: int
    factor: int

    @property
    def edges(self) -> list[int]:
        """Output positions between which pairs of windows meet: 0, the centres of all windows but …, the end."""
        length = (self.starts[-1] + self.side) * self.factor
        return [0, *(start * self.factor + self.side * self.factor // 2 for start in self.starts), length]


def axis(length: int, side: int, factor: int) -> Axis:
    """Evenly placed windows that cover `length` latent pixels, at most half a window apart.

    Raises ValueError where the canvas is shorter than a window, or a window is a single pixel.
    """
    if length < side or side < 2:
        raise ValueError(f"canvas of {length} and window of {side} latent pixels")
    gaps = -(-(length - side) // (side // 2))
    starts = [round(k * (length - side) / gaps) for k in range(gaps + 1)] if gaps else [0]
    return Axis(tuple(starts), side, factor)


def fading(length: int) -> NDArray[np.float32]:
    """Weights of the earlier window between two centres, (length,): cos^2, half a Hann window, by pixel centres."""
    return (np.cos((np.arange(length) + 0.5) / length * np.pi / 2) ** 2).astype(np.float32)


def crossfade(
    before: NDArray[np.float32], after: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`after` + weight * (`before` - `after`): the weights are w and 1 - w, so equal inputs come out unchanged."""
    return after + weight * (before - after)


def _meet(line: Axis, parts: list[NDArray[np.float32]], piece: int, along: int) -> NDArray[np.float32]:
    """Output between edges `piece` and `piece + 1` along axis `along`, from the window(s) that reach there."""
    low, high = line.edges[piece], line.edges[piece + 1]
    cuts = []
    for index in sorted({max(piece - 1, 0), min(piece, len(line.starts) - 1)}):
        offset = line.starts[index] * line.factor
        cuts.append(np.moveaxis(parts[index], along, -1)[..., low - offset : high - offset])
    joined = cuts[0] if len(cuts) == 1 else crossfade(cuts[0], cuts[1], fading(high - low))
    return np.moveaxis(joined, -1, along)


def strips(latents: NDArray[np.float32], decode: Decode, side: int, factor: int) -> Iterator[NDArray[np.float32]]:
    """Strips (b, rows, W * factor), top to bottom, that together are the decoded canvas of `latents` (c, H, W)."""
    rows, columns = (axis(length, side, factor) for length in latents.shape[1:])
    held: dict[int, NDArray[np.float32]] = {}
    for piece in range(len(rows.starts) + 1):
        needed = {max(piece - 1, 0), min(piece, len(rows.starts) - 1)}
        held = {k: held[k] if k in held else _row(latents, decode, rows, columns, k) for k in sorted(needed)}
        parts = [held.get(k, np.empty(0, np.float32)) for k in range(len(rows.starts))]
        yield _meet(rows, parts, piece, -2)


def _row(latents: NDArray[np.float32], decode: Decode, rows: Axis, columns: Axis, index: int) -> NDArray[np.float32]:
    """One row of windows, decoded and blended along x: (b, side * factor, W * factor)."""
    top = rows.starts[index]
    band = latents[:, top : top + rows.side]
    windows = np.stack([band[:, :, left : left + columns.side] for left in columns.starts])
    parts = list(decode(windows))
    return np.concatenate([_meet(columns, parts, piece, -1) for piece in range(len(parts) + 1)], axis=-1)


class RowReader:
    """Rows of a stream of strips by position, for a writer that goes from top to bottom, shard row by shard row.

    Keeps only what has not been passed yet.
    """

    def __init__(self, stream: Iterator[NDArray[np.float32]], convert: Callable[..., NDArray[np.uint8]]) -> None:
        self._stream = stream
        self._convert = convert
        self._top = 0
        self._rows: NDArray[np.uint8] | None = None

    def read(self, window: tuple[slice, ...]) -> NDArray[np.uint8]:
        """Pixels of (c, y, x). Windows must not go back above the y that was asked for last."""
        _, y, x = window
        self._reach(y.start, y.stop)
        assert self._rows is not None
        return self._rows[:, y.start - self._top : y.stop - self._top, x]

    def _reach(self, start: int, stop: int) -> None:
        if start < self._top:
            raise ValueError(f"rows from {start} are gone, the stream stands at {self._top}")
        while self._rows is None or self._top + self._rows.shape[1] < stop:
            strip = self._convert(next(self._stream))
            self._rows = strip if self._rows is None else np.concatenate([self._rows, strip], axis=1)
        self._rows = self._rows[:, start - self._top :]
        self._top = start
