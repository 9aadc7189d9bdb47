"""What others do with the same network, steps and noise, for comparison (SPEC.md S8): algorithm 2 as published, sliding
windows and DiffCollage. They hold the canvas in memory, as their authors do.
"""

from collections.abc import Iterator
from itertools import groupby, pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.synthesis import conditioning, noise
from tasks.synthesis.canvas import Canvas, Readable
from tasks.synthesis.evaluate import Evaluate, Snapshot
from tasks.synthesis.sampler import Sampling
from tasks.synthesis.schedule import Denoise, Process, advance
from tasks.synthesis.windows import Size, Window, batches

Values = NDArray[np.float32]


def per_label(network: Denoise, labels: int, guidance: float) -> Denoise:
    """Thesis A, algorithm 2, lines 6 to 9 and 12: 2 `labels` - 1 forwards a window, one label everywhere in each.

    Unknown, label 0, is the null condition, in one forward; each named class takes two, with it and without any label
    (eq. 5.9). Each pixel then has the z_0 of the label that its mask has most of.
    """

    def denoise(z: torch.Tensor, condition: torch.Tensor, t: int) -> torch.Tensor:
        null = torch.from_numpy(conditioning.null(labels - 1, *z.shape[2:])).expand_as(condition)
        label_of = condition[:, :labels].argmax(1, keepdim=True)
        found = network(z, null, t)
        for label in range(1, labels):
            told = torch.zeros_like(condition)
            told[:, label] = 1
            mixed = (1 + guidance) * network(z, told, t) - guidance * network(z, null, t)
            found = torch.where(label_of == label, mixed, found)
        return found

    return denoise


def sequential(told: Readable, channels: int, denoise: Denoise, how: Sampling) -> Values:
    """Thesis A, algorithm 2, as published: window after window, with the replica of the step before and the time map L.

    Returns y_0 (channels, y, x) for what is `told`, (k, y, x). `how.batch_windows` is not used.
    """
    size = (told.shape[1], told.shape[2])
    y = how.first(channels, slice(0, size[0]), slice(0, size[1]))
    level = np.full(size, len(how.steps))
    earlier = np.zeros_like(y)
    for k, step in enumerate(how.steps):
        replica, predicted, time = y.copy(), np.zeros_like(y), len(how.steps) - k - 1
        for window in how.windows(size, k):
            rows, columns = here = window.place
            z, c = replica[:, rows, columns], told.read(rows, columns)
            with torch.inference_mode():
                z0 = denoise(torch.from_numpy(z.copy())[None], torch.from_numpy(c)[None], step.t)[0].cpu().numpy()
            moved = advance(z, z0, earlier[:, rows, columns], how.fresh(channels, rows, columns, k), step)
            behind = level[here] == time + 1
            np.copyto(y[:, rows, columns], moved, where=behind)
            np.copyto(predicted[:, rows, columns], z0, where=behind)
            level[here][behind] = time
        earlier = predicted
    return y


def halves(length: int, side: int) -> list[int]:
    """Starts of windows half a window apart; the last lies at the end, be it nearer."""
    return [*range(0, length - side, side // 2), length - side]


def outwards(canvas: Size, side: Size) -> Iterator[list[Window]]:
    """Rounds of half-overlapping windows from the canvas's centre in four directions (thesis A, "Random patch
    advantages"), ring after ring; the windows of a round share no pixel and can be sampled side by side."""
    starts = [halves(length, n) for length, n in zip(canvas, side, strict=True)]
    middle = [len(line) // 2 for line in starts]

    def ring(at: Size) -> int:
        return abs(at[0] - middle[0]) + abs(at[1] - middle[1])

    order = sorted(product(range(len(starts[0])), range(len(starts[1]))), key=lambda at: (ring(at), at))
    for _, group in groupby(order, ring):
        left = [Window(starts[0][i], starts[1][j], *side) for i, j in group]
        while left:
            together: list[Window] = []
            for window in left:
                if all(_apart(window, other) for other in together):
                    together.append(window)
            left = [window for window in left if window not in together]
            yield together


def _apart(one: Window, other: Window) -> bool:
    return abs(one.y - other.y) >= one.height or abs(one.x - other.x) >= one.width


def sliding_window(told: Readable, channels: int, evaluate: Evaluate, how: Sampling, process: Process) -> Values:
    """Sliding-window outpainting: each window runs all steps, half of it (or more) held at what is there already.

    What is there is held by replacement: before each step it is alpha z_0 + sigma n, n fresh (Lugmayr et al.,
    "RePaint", CVPR 2022, algorithm 1, without resampling). Returns y_0 (channels, y, x); `how.law` is not used.
    """
    size = (told.shape[1], told.shape[2])
    made = np.zeros(size, bool)
    y0 = np.zeros((channels, *size), np.float32)
    for windows in outwards(size, how.window):
        z = _outpaint(told, evaluate, how, process, windows, y0, made)
        for rows, columns in (window.place for window in windows):
            np.copyto(y0[:, rows, columns], z.read(rows, columns), where=~made[rows, columns])
            made[rows, columns] = True
    return y0


def _outpaint(
    told: Readable,
    evaluate: Evaluate,
    how: Sampling,
    process: Process,
    windows: list[Window],
    y0: Values,
    made: NDArray[np.bool_],
) -> Canvas:
    """A canvas on which the windows of a round, which share no pixel, have run all steps."""
    z, clean = Canvas(y0.shape), [Canvas(y0.shape), Canvas(y0.shape)]
    channels, places = len(y0), [window.place for window in windows]
    for rows, columns in places:
        z.write(rows, columns, how.first(channels, rows, columns))
    for k, step in enumerate(how.steps):
        alpha, sigma = np.float32(process.signal[step.t]), np.float32(process.noise[step.t])
        for rows, columns in places:
            fresh = noise.field(channels, rows, columns, how.seed, how.name, "held", k)
            z.write(rows, columns, alpha * y0[:, rows, columns] + sigma * fresh, made[rows, columns])
        for batch, found in evaluate(Snapshot(z, told, step.t), batches(windows, how.window, how.batch_windows)):
            for window, z0 in zip(batch, found, strict=True):
                rows, columns = window.place
                fresh_noise = how.fresh(channels, rows, columns, k)
                before = clean[(k - 1) % 2].read(rows, columns) if step.extrapolate else None
                z.write(rows, columns, advance(z.read(rows, columns), z0, before, fresh_noise, step))
                clean[k % 2].write(rows, columns, z0)
    return z


def pieces(canvas: Size, side: Size) -> dict[Window, int]:
    """The factors of DiffCollage's graph with their coefficients, which sum to 1 at every pixel.

    Along an axis a chain: + windows half a window apart, - overlaps of neighbours; in the plane the product of two
    chains: + windows, - overlaps side by side and one above the other, + their corners.
    """
    y, x = (_chain(length, n) for length, n in zip(canvas, side, strict=True))
    return {Window(top, left, height, width): a * b for (a, top, height), (b, left, width) in product(y, x)}


def _chain(length: int, side: int) -> list[tuple[int, int, int]]:
    starts = halves(length, side)
    overlaps = [(-1, after, before + side - after) for before, after in pairwise(starts)]
    return [*((1, start, side) for start in starts), *overlaps]


def diffcollage(told: Readable, channels: int, evaluate: Evaluate, how: Sampling) -> Values:
    """DiffCollage (Zhang et al., "Parallel generation of large content with diffusion models", CVPR 2023).

    Each step the score of the whole canvas is that of its windows less that of their overlaps, which the network sees
    as smaller windows; z_0 is affine in the score and the coefficients sum to 1, so that z_0 is put together alike.
    Returns y_0 (channels, y, x); `how.law` is not used. The network must take windows of half a side.
    """
    size = (told.shape[1], told.shape[2])
    z, clean = Canvas((channels, *size)), np.zeros((channels, *size), np.float32)
    everywhere = (slice(0, size[0]), slice(0, size[1]))
    z.write(*everywhere, how.first(channels, *everywhere))
    for k, step in enumerate(how.steps):
        before, clean = clean, _collage(told, evaluate, how, z, step.t)
        z.write(*everywhere, advance(z.read(*everywhere), clean, before, how.fresh(channels, *everywhere, k), step))
    return z.read(*everywhere)


def _collage(told: Readable, evaluate: Evaluate, how: Sampling, z: Canvas, t: int) -> Values:
    """z_0 of the whole canvas at timestep `t`; pieces of one size are evaluated together."""
    clean = np.zeros(z.shape, np.float32)
    coefficient = pieces((z.shape[1], z.shape[2]), how.window)
    for batch, found in evaluate(Snapshot(z, told, t), batches(list(coefficient), how.window, how.batch_windows)):
        for window, z0 in zip(batch, found, strict=True):
            clean[:, *window.place] += coefficient[window] * z0
    return clean
