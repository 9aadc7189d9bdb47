"""The random-patch sampler: thesis A, algorithm 2 and section 5.2.3, for canvases of any size and shape.

Every pixel of step t+1's canvas depends on step t's canvas only, so all windows of a step are drawn first, each
pixel belongs to the first window that covers it, and the windows are evaluated from the step's snapshot in
batches of any size, in any order, by any worker: the same canvas as one window after the other.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.rng import generator, normal
from tasks.synthesis.schedule import Epsilon, Step, ddim

Corner = tuple[int, int]
NOISE_BLOCK = 64
"""Initial noise is drawn in blocks of this side, each with a stream of its own."""
log = logging.getLogger("rawmill")


def guided(network: Epsilon, null: Tensor, guidance: float) -> Epsilon:
    """Classifier-free guidance, thesis A eq. 2.7: (1 + w) eps(z, c) - w eps(z, 0); two forwards a window.

    `null` is the null condition (k, h, w). With w = 0 the network is called once, conditionally.
    """

    def epsilon(z: Tensor, condition: Tensor, t: int) -> Tensor:
        if guidance == 0:
            return network(z, condition, t)
        both = torch.cat([condition, null.expand_as(condition)])
        with_condition, without = network(torch.cat([z, z]), both, t).chunk(2)
        return (1 + guidance) * with_condition - guidance * without

    return epsilon


def initial_noise(shape: tuple[int, int, int], seed: int, sample: str) -> NDArray[np.float32]:
    """y_T, standard normal (c, y, x): counter-based in blocks, so that a larger canvas begins with the same noise."""
    channels, height, width = shape
    noise = np.empty(shape, np.float32)
    for y in range(0, height, NOISE_BLOCK):
        for x in range(0, width, NOISE_BLOCK):
            here = noise[:, y : y + NOISE_BLOCK, x : x + NOISE_BLOCK]
            block = normal((channels, NOISE_BLOCK, NOISE_BLOCK), seed, sample, f"noise/{y}/{x}")
            here[...] = block[:, : here.shape[1], : here.shape[2]]
    return noise


def draw_windows(canvas: Corner, window: Corner, draw: np.random.Generator) -> list[Corner]:
    """Upper left corners (y, x) of windows that lie inside the canvas and cover it, in the order of ownership.

    Each next window is centred, as far as the canvas lets it, on a pixel drawn from those not covered yet: regions
    of low coverage are the likelier, each window adds something, and the canvas ends covered.
    """
    covered = np.zeros(canvas, bool)
    corners: list[Corner] = []
    for y, x in draw.permutation(np.argwhere(~covered)):
        if not covered[y, x]:
            top, left = (
                int(min(max(at - side // 2, 0), full - side))
                for at, side, full in zip((y, x), window, canvas, strict=True)
            )
            covered[top : top + window[0], left : left + window[1]] = True
            corners.append((top, left))
    return corners


def owners(canvas: Corner, window: Corner, corners: Sequence[Corner]) -> NDArray[np.int32]:
    """(y, x): the index of the first window that covers each pixel, -1 where none does."""
    owner = np.full(canvas, -1, np.int32)
    for index, (y, x) in reversed(list(enumerate(corners))):
        owner[y : y + window[0], x : x + window[1]] = index
    return owner


def sample(
    condition: NDArray[np.float32],
    epsilon: Epsilon,
    steps: Sequence[Step],
    window: Corner,
    channels: int,
    seed: int,
    name: str,
    batch_windows: int,
) -> NDArray[np.float32]:
    """y_0 (channels, y, x), float32, for a canvas-wide condition (k, y, x) at latent resolution.

    Depends on the arguments only, not on any earlier sample. Raises ValueError where the canvas is smaller than a
    window, and RuntimeError should a pixel ever be left behind in time.
    """
    canvas = (condition.shape[1], condition.shape[2])
    if canvas[0] < window[0] or canvas[1] < window[1]:
        raise ValueError(f"canvas {canvas} is smaller than the window {window}")
    y = initial_noise((channels, *canvas), seed, name)
    level = np.zeros(canvas, np.int32)
    for k, step in enumerate(steps):
        corners = draw_windows(canvas, window, generator(seed, name, f"windows/{k}"))
        y = _advance(y, level, condition, epsilon, step, window, corners, batch_windows)
        _assert_uniform(level, k + 1)
        if (k + 1) * 4 // len(steps) > k * 4 // len(steps):
            log.info("%s: step %d of %d, %d windows", name, k + 1, len(steps), len(corners))
    return y


def _advance(
    y: NDArray[np.float32],
    level: NDArray[np.int32],
    condition: NDArray[np.float32],
    epsilon: Epsilon,
    step: Step,
    window: Corner,
    corners: Sequence[Corner],
    batch_windows: int,
) -> NDArray[np.float32]:
    """One step of the whole canvas; `level` counts, for each pixel, the steps that it has taken."""
    owner = owners((y.shape[1], y.shape[2]), window, corners)
    after = np.empty_like(y)
    for batch in _batches(len(corners), batch_windows):
        places = [tuple(slice(c, c + s) for c, s in zip(corners[j], window, strict=True)) for j in batch]
        z = torch.from_numpy(np.stack([y[:, p[0], p[1]] for p in places]))
        c = torch.from_numpy(np.stack([condition[:, p[0], p[1]] for p in places]))
        moved = ddim(z, epsilon(z, c, step.t), step).numpy()
        for j, p, values in zip(batch, places, moved, strict=True):
            mine = owner[p] == j
            after[:, p[0], p[1]][:, mine] = values[:, mine]
            level[p][mine] += 1
    return after


def _batches(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def _assert_uniform(level: NDArray[np.int32], expected: int) -> None:
    """Time tracking (thesis A, 5.2.3): after a step every pixel has taken the same number of steps."""
    if not (level == expected).all():
        raise RuntimeError(f"{int((level != expected).sum())} pixels did not take step {expected} exactly once")
