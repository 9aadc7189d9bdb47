"""Memory for work that is used again tile after tile: fresh pages cost more than most operators."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod

import numpy as np

from tasks.isp.operator import Plane

GRAIN, MOST_KEPT = 1 << 14, 1 << 22
"""Blocks are whole multiples of `GRAIN` elements; larger ones than `MOST_KEPT` are given back at once."""

Take = Callable[..., Plane]


class _Blocks(threading.local):
    def __init__(self) -> None:
        self.free: dict[int, list[Plane]] = {}


_blocks = _Blocks()


@contextmanager
def scratch() -> Iterator[Take]:
    """`take(*shape)` gives float32 arrays of any content, which belong to the caller until the context ends."""
    taken: list[Plane] = []

    def take(*shape: int) -> Plane:
        count = prod(shape)
        size = -(-count // GRAIN) * GRAIN
        free = _blocks.free.get(size)
        block = free.pop() if free else np.empty(size, np.float32)
        taken.append(block)
        return block[:count].reshape(shape)

    try:
        yield take
    finally:
        for block in taken:
            if block.size <= MOST_KEPT:
                _blocks.free.setdefault(block.size, []).append(block)
