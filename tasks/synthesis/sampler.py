"""The random-patch sampler: thesis A, algorithm 2 and section 5.2.3, for canvases of any size and shape.

Every pixel of a step's result depends on the canvas before the step only, so all windows of a step are drawn first,
each pixel belongs to the first window that covers it, and the windows are evaluated from the step's snapshot in
batches of any size, in any order, by any worker: the same canvas as one window after the other. The z_0 that they
predict are put together, and the whole canvas takes one step, which solvers that look back need.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.progress import at
from tasks.rng import generator
from tasks.synthesis import noise
from tasks.synthesis.canvas import Canvas, Readable, State
from tasks.synthesis.evaluate import Evaluate, Snapshot
from tasks.synthesis.schedule import Step, advance
from tasks.synthesis.windows import LAWS, Size, Window, batches, owners

log = logging.getLogger("rawmill")


@dataclass(frozen=True)
class Sampling:
    """How a canvas is sampled: all that its values depend on but the network and what it is told."""

    steps: Sequence[Step]
    law: str
    window: Size
    """The size that the network was trained on."""
    multiple: int
    """What the sides of a window must be multiples of."""
    batch_windows: int
    seed: int
    name: str

    def windows(self, canvas: Size, k: int) -> list[Window]:
        """The windows of step `k` in the order of ownership (thesis A, algorithm 2, lines 2 to 5)."""
        return LAWS[self.law](canvas, self.window, self.multiple, generator(self.seed, self.name, f"windows/{k}"))

    def first(self, channels: int, y: slice, x: slice) -> NDArray[np.float32]:
        """y_T, standard normal."""
        return noise.field(channels, y, x, self.seed, self.name, "noise")

    def fresh(self, channels: int, y: slice, x: slice, k: int) -> NDArray[np.float32] | None:
        """The noise that step `k` adds, None where it adds none."""
        added = self.steps[k].fresh > 0
        return noise.field(channels, y, x, self.seed, self.name, "fresh", k) if added else None


class Known(Protocol):
    """What is known of a canvas before it is sampled, by the band: see tasks.synthesis.inpaint."""

    def begin(self, y: slice, x: slice, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """y_T (c, y, x), from its noise."""

    def settle(self, y: slice, x: slice, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """z_0 (c, y, x): as it is where it is known, else as `predicted`."""


def sample(
    told: Readable,
    channels: int,
    evaluate: Evaluate,
    how: Sampling,
    state: State | None = None,
    known: Known | None = None,
) -> Canvas:
    """y_0 (channels, y, x) for what is `told` of the canvas, (k, y, x), both at latent resolution.

    Goes on where `state` stands. Raises ValueError where the canvas is smaller than a window, and RuntimeError should a
    pixel ever be left behind in time.
    """
    size = (told.shape[1], told.shape[2])
    if size[0] < how.window[0] or size[1] < how.window[1]:
        raise ValueError(f"canvas {size} is smaller than the window {how.window}")
    state = state or State((channels, *size))
    if state.done() < 0:
        _begin(state, how, known)
    _tell(how, max(0, state.done()), 0)
    for k in range(max(0, state.done()), len(how.steps)):
        count = _predict(told, evaluate, how, state, k)
        if known is not None:
            _settle(known, state.clean(k))
        _advance(how, state, k)
        state.commit(k + 1)
        _tell(how, k + 1, count)
    return state.canvas(len(how.steps))


def _tell(how: Sampling, done: int, windows: int) -> None:
    """Each step to whoever shows progress, each tenth in the log."""
    steps = len(how.steps)
    level = logging.INFO if done * 10 // steps > (done - 1) * 10 // steps and windows else logging.DEBUG
    log.log(level, "%s: step %d of %d, %d windows", how.name, done, steps, windows, extra=at(how.name, done, steps))


def _begin(state: State, how: Sampling, known: Known | None) -> None:
    canvas = state.canvas(0)
    across = slice(0, canvas.shape[2])
    for rows in canvas.bands():
        noise = how.first(canvas.shape[0], rows, across)
        canvas.write(rows, across, noise if known is None else known.begin(rows, across, noise))
    state.commit(0)


def _settle(known: Known, clean: Canvas) -> None:
    across = slice(0, clean.shape[2])
    for rows in clean.bands():
        clean.write(rows, across, known.settle(rows, across, clean.read(rows, across)))


def _predict(told: Readable, evaluate: Evaluate, how: Sampling, state: State, k: int) -> int:
    """The z_0 that the windows of step `k` predict, put together in `state.clean(k)`; returns how many they are."""
    before, clean = state.canvas(k), state.clean(k)
    size = (before.shape[1], before.shape[2])
    drawn = how.windows(size, k)
    number = {window: index for index, window in enumerate(drawn)}
    owner = owners(size, drawn)
    behind = np.ones(size, bool)
    snapshot = Snapshot(before, told, how.steps[k].t)
    for batch, found in evaluate(snapshot, batches(drawn, how.window, how.batch_windows)):
        for window, values in zip(batch, found, strict=True):
            mine = owner[window.place] == number[window]
            clean.write(*window.place, values, mine)
            behind[window.place] ^= mine
    if behind.any():  # time tracking: every pixel takes each step exactly once
        raise RuntimeError(f"{int(behind.sum())} pixels did not take step {k} exactly once")
    return len(drawn)


def _advance(how: Sampling, state: State, k: int) -> None:
    """The whole canvas takes step `k`, band by band."""
    before, after, clean, step = state.canvas(k), state.canvas(k + 1), state.clean(k), how.steps[k]
    across = slice(0, before.shape[2])
    for rows in before.bands():
        earlier = state.clean(k - 1).read(rows, across) if step.extrapolate else None
        fresh = how.fresh(before.shape[0], rows, across, k)
        after.write(rows, across, advance(before.read(rows, across), clean.read(rows, across), earlier, fresh, step))
