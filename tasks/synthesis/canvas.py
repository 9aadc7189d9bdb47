"""Canvases (c, y, x) of float32 in memory or in a file, and the state of a sampling run, which a killed run takes up.

A file is mapped anew for each window and let go at once, so that only the windows at work are ever resident,
whatever the size of the canvas.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.disk import storage_faults

Values = NDArray[np.float32]
BAND = 64
"""Rows of a canvas that are worked on at a time where the whole canvas is passed over."""


class Readable(Protocol):
    """What can be read by window."""

    shape: tuple[int, int, int]

    def read(self, y: slice, x: slice) -> Values:
        """(c, y, x), a copy."""


class Canvas:
    """Values (c, y, x), zero at first; in the raw little-endian file `path`, or in memory where it is None."""

    def __init__(self, shape: tuple[int, int, int], path: Path | None = None) -> None:
        self.shape = shape
        self.path = path
        self._memory: Values = np.zeros(shape if path is None else (0, 0, 0), np.float32)
        if path is not None:
            with storage_faults(path), path.open("ab") as file:  # reserved, lest a full disk show as SIGBUS in a map
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * 4)

    def _values(self, mode: Literal["r", "r+"]) -> Values:
        if self.path is None:
            return self._memory
        mapped: Values = np.memmap(self.path, "<f4", mode, shape=self.shape)
        return mapped

    def read(self, y: slice, x: slice) -> Values:
        """(c, y, x), a copy."""
        return np.array(self._values("r")[:, y, x])

    def write(self, y: slice, x: slice, values: Values, where: NDArray[np.bool_] | None = None) -> None:
        """Set `values` (c, y, x), only at the pixels (y, x) that `where` marks."""
        here = self._values("r+")[:, y, x]
        if where is None:
            here[...] = values
        else:
            np.copyto(here, values, where=where)

    def bands(self) -> Iterator[slice]:
        """Slices of rows, top to bottom."""
        for top in range(0, self.shape[1], BAND):
            yield slice(top, min(top + BAND, self.shape[1]))


class Uniform:
    """The same values (c, 1, 1) everywhere: a prompt for the whole canvas."""

    def __init__(self, values: Values, height: int, width: int) -> None:
        self.shape = (len(values), height, width)
        self._values = values.reshape(-1, 1, 1)

    def read(self, y: slice, x: slice) -> Values:
        return np.array(np.broadcast_to(self._values, (self.shape[0], y.stop - y.start, x.stop - x.start)))


class State:
    """The canvases of a sampling run, step by step.

    `canvas(k)` is y after k steps, `clean(k)` the z_0 predicted in step k. Each step reads what the last one left and
    writes into other files, so that a step that was cut off is done again from an unchanged snapshot. Two generations
    are kept, or all where `record` asks for them.
    """

    def __init__(self, shape: tuple[int, int, int], folder: Path | None = None, record: bool = False) -> None:
        self.shape = shape
        self.folder = folder
        self.record = record
        self._open: dict[str, Canvas] = {}
        if folder is not None:
            with storage_faults(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def canvas(self, k: int) -> Canvas:
        """y after `k` steps."""
        return self._named(self._name(k))

    def clean(self, k: int) -> Canvas:
        """z_0 as predicted in step `k`."""
        return self._named(f"clean-{k % 2}")

    def _name(self, k: int) -> str:
        return f"y-{k:04d}" if self.record else f"y-{k % 2}"

    def _named(self, name: str) -> Canvas:
        if name not in self._open:
            self._open[name] = Canvas(self.shape, self.folder / f"{name}.f32" if self.folder else None)
        return self._open[name]

    def done(self) -> int:
        """How many steps are done; -1 where not even the first noise is whole, or what they left is not there any more:
        a canvas that is gone must not come back as zeros."""
        if self.folder is None or not (self.folder / "state.json").exists():
            return -1
        try:
            done = int(json.loads((self.folder / "state.json").read_bytes())["done"])
        except ValueError:  # of a machine that stopped
            return -1
        left = [self._name(done), *([f"clean-{(done - 1) % 2}"] if done else [])]
        return done if all(name in self._open or self._whole(self.folder / f"{name}.f32") for name in left) else -1

    def _whole(self, file: Path) -> bool:
        return file.is_file() and file.stat().st_size == int(np.prod(self.shape)) * 4

    def commit(self, done: int) -> None:
        """`done` steps are whole: what comes after begins there."""
        if self.folder is None:
            return
        with storage_faults(self.folder):
            part = self.folder / "state.part"
            part.write_text(json.dumps({"done": done}))
            part.replace(self.folder / "state.json")
