"""Texture synthesis by image quilting, so that a small real picture fills a large canvas without seams.

Efros and Freeman, "Image quilting for texture synthesis and transfer", SIGGRAPH 2001: pieces of the picture are
laid in rows with an overlap; each is the best of some candidates, and joins what lies there along the path of
least difference. Here all pieces with the same 2 row + column are laid together: they depend only on earlier ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]


@dataclass(frozen=True)
class Bank:
    """Pieces (count, side, side, c) float32, and the `corners` (count, 2: row, column) they were cut at.

    A piece shows the picture's rows corner to corner + side, and columns likewise, turned and mirrored.
    """

    pieces: Array32
    corners: NDArray[np.int64]

    def placed(self, columns: NDArray[np.int64]) -> "Bank":
        """The same pieces, for a picture of which only the `columns` (x,) were seen."""
        return Bank(self.pieces, np.stack([self.corners[:, 0], columns[self.corners[:, 1]]], axis=1))


def bank(picture: Array32, allowed: NDArray[np.bool_], side: int, count: int, source: np.random.Generator) -> Bank:
    """`count` pieces of `picture` (y, x, c), each turned and mirrored at random.

    `allowed` (y - side + 1, x - side + 1) says where a piece may start.
    """
    starts = np.argwhere(allowed)
    chosen = starts[source.integers(len(starts), size=count)]
    turns, flips = source.integers(4, size=count), source.integers(2, size=count)
    pieces = []
    for (y, x), turn, flip in zip(chosen.tolist(), turns.tolist(), flips.tolist(), strict=True):
        piece = np.rot90(picture[y : y + side, x : x + side], turn)
        pieces.append(piece[:, ::-1] if flip else piece)
    return Bank(np.stack(pieces).astype(np.float32), chosen)


def cut(cost: Array32) -> NDArray[np.bool_]:
    """Per batch, the path of least cost down `cost` (n, length, width); True to the right of the path and on it."""
    n, length, width = cost.shape
    total = np.empty_like(cost)
    total[:, 0] = cost[:, 0]
    wall = np.full((n, 1), np.inf, np.float32)
    for k in range(1, length):
        above = np.concatenate([wall, total[:, k - 1], wall], axis=1)
        total[:, k] = cost[:, k] + np.minimum(np.minimum(above[:, :-2], above[:, 1:-1]), above[:, 2:])
    path = np.empty((n, length), np.int64)
    path[:, -1] = np.argmin(total[:, -1], axis=1)
    reach, each = np.arange(-1, 2), np.arange(n)[:, None]
    for k in range(length - 2, -1, -1):
        near = path[:, k + 1, None] + reach
        inside = np.clip(near, 0, width - 1)
        options = np.where(near == inside, total[:, k][each, inside], np.inf)
        path[:, k] = inside[each[:, 0], np.argmin(options, axis=1)]
    return np.asarray(np.arange(width)[None, None] >= path[..., None])


def _join(old: Array32, new: Array32, overlap: int, left: bool, top: bool) -> NDArray[np.bool_]:
    """Where `new` (n, side, side, c) replaces `old`: right of and below the cuts."""
    keep = np.ones(new.shape[:3], np.bool_)
    costs = []
    if left:
        costs.append(((old[:, :, :overlap] - new[:, :, :overlap]) ** 2).sum(axis=-1))
    if top:
        costs.append(((old[:, :overlap] - new[:, :overlap]) ** 2).sum(axis=-1).transpose(0, 2, 1))
    if costs:
        sides = np.split(cut(np.concatenate(costs)), len(costs))  # all cuts at once: they do not depend on each other
        if left:
            keep[:, :, :overlap] &= sides[0]
        if top:
            keep[:, :overlap] &= sides[-1].transpose(0, 2, 1)
    return keep


def _best(
    old: Array32, pieces: Array32, offered: NDArray[np.int64], overlap: int, left: bool, top: bool
) -> NDArray[np.int64]:
    """Per place, which of the `pieces` `offered` (n, k) differs least from `old` (n, side, side, c) where they overlap.

    Of equals the first; with no neighbour, that is the first offered.
    """
    cost = np.zeros(offered.shape, np.float32)
    if left:
        cost += ((pieces[:, :, :overlap][offered] - old[:, None, :, :overlap]) ** 2).sum(axis=(2, 3, 4))
    if top:
        cost += ((pieces[:, :overlap][offered] - old[:, None, :overlap]) ** 2).sum(axis=(2, 3, 4))
    chosen = np.argmin(cost, axis=1)
    return np.asarray(offered[np.arange(len(offered)), chosen])


def quilt(pieces: Array32, side_px: int, overlap: int, candidates: int, source: np.random.Generator) -> Array32:
    """A canvas (side_px, side_px, c) quilted of `pieces` (count, side, side, c)."""
    side, channels = pieces.shape[1], pieces.shape[3]
    step = side - overlap
    cells = -(-(side_px - overlap) // step)
    canvas = np.zeros((cells * step + overlap, cells * step + overlap, channels), np.float32)
    choices = source.integers(len(pieces), size=(cells, cells, candidates))
    for wave in range(3 * cells - 2):
        rows = np.array([i for i in range(cells) if 0 <= wave - 2 * i < cells])
        columns = wave - 2 * rows
        for top, left in ((False, False), (False, True), (True, False), (True, True)):
            here = ((rows > 0) == top) & ((columns > 0) == left)
            if here.any():
                _lay(canvas, pieces, choices, rows[here], columns[here], overlap, left, top)
    return canvas[:side_px, :side_px]


def _lay(
    canvas: Array32, pieces: Array32, choices: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64],
    overlap: int, left: bool, top: bool,
) -> None:  # fmt: skip
    """Choose and join the pieces at places (`rows`, `columns`), which must not overlap each other."""
    side = pieces.shape[1]
    step = side - overlap
    corners = zip((rows * step).tolist(), (columns * step).tolist(), strict=True)
    windows = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    old = np.stack([canvas[w] for w in windows])
    offered = choices[rows, columns]
    new = pieces[_best(old, pieces, offered, overlap, left, top)]
    joined = np.where(_join(old, new, overlap, left, top)[..., None], new, old)
    for window, piece in zip(windows, joined, strict=True):
        canvas[window] = piece
