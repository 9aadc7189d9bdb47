"""Pictures as uint8 (…, y, x) and as the networks see them, in [-1, 1]."""

from collections.abc import Iterator
from typing import Any, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 16


class Stack(Protocol):
    """Pictures (n, 3, y, x), uint8, in memory or read as they are asked for."""

    def __len__(self) -> int:
        """How many."""

    @overload
    def __getitem__(self, index: int | np.int64) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> NDArray[np.uint8]: ...


def to_network(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 to float32 in [-1, 1]; any shape."""
    return torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1)


def to_pictures(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Network range to uint8, rounded to nearest, clipped; any shape."""
    return np.asarray(np.clip(np.rint((values + 1) * 127.5), 0, 255), np.uint8)


def chunks(stack: NDArray[Any] | Stack) -> Iterator[NDArray[Any]]:
    """Parts of at most 16 of a stack, in order."""
    for start in range(0, len(stack), CHUNK):
        yield stack[start : start + CHUNK]
