"""Part of a canvas made again alone, from the recorded canvases around it.

A step's windows are drawn without a look at the canvas, noise belongs to pixels, and each pixel is owned by one window
that reads no further than its own sides. So a region's latents need only the windows that own some of them, and of what
lies around the region only what these windows see: that comes from the record, the region itself from its own steps.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.synthesis import decode
from tasks.synthesis.autoencoder import Codec
from tasks.synthesis.canvas import Readable, Uniform
from tasks.synthesis.evaluate import Evaluate, Snapshot
from tasks.synthesis.pictures import to_pictures
from tasks.synthesis.sampler import Sampling
from tasks.synthesis.schedule import advance
from tasks.synthesis.windows import Window, batches, owners

Values = NDArray[np.float32]
Region = tuple[slice, slice]
"""Rows and columns."""
Recorded = Callable[[int], Readable]
"""k -> the canvas (c, y, x) before step k."""


class Patched:
    """`around`, but `values` (c, y, x) in `region`."""

    def __init__(self, around: Readable, region: Region, values: Values) -> None:
        self.shape = around.shape
        self.around = around
        self.region = region
        self.values = values

    def read(self, y: slice, x: slice) -> Values:
        """(c, y, x), a copy."""
        found = self.around.read(y, x)
        here = overlap((y, x), self.region)
        if here is not None:
            found[:, *within(here, (y, x))] = self.values[:, *within(here, self.region)]
        return found


def overlap(one: Region, other: Region) -> Region | None:
    """What two regions share; None where that is nothing."""
    y, x = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return (y, x) if y.start < y.stop and x.start < x.stop else None


def within(part: Region, whole: Region) -> Region:
    """`part` of the canvas as rows and columns of `whole`."""
    y, x = (slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole, strict=True))
    return y, x


def resample(region: Region, recorded: Recorded, told: Readable, evaluate: Evaluate, how: Sampling) -> Iterator[Values]:
    """The latents (c, y, x) of `region` after each step; the last are those of y_0.

    Equal to the region of the whole canvas, bit for bit where `evaluate` gives a window the same values in any batch of
    the same size. `told` is what the whole canvas is told, (k, y, x).
    """
    channels = recorded(0).shape[0]
    values, earlier = how.first(channels, *region), None
    for k, step in enumerate(how.steps):
        snapshot = Snapshot(Patched(recorded(k), region, values), told, step.t)
        clean = _predict(region, snapshot, evaluate, how, k)
        before = earlier if step.extrapolate else None
        values, earlier = advance(values, clean, before, how.fresh(channels, *region, k), step), clean
        yield values


def _predict(region: Region, snapshot: Snapshot, evaluate: Evaluate, how: Sampling, k: int) -> Values:
    """The z_0 of `region` (c, y, x) that the owners of its pixels predict in step `k`."""
    channels, *size = snapshot.canvas.shape
    drawn = how.windows((size[0], size[1]), k)
    number = {window: index for index, window in enumerate(drawn)}
    owner = owners((size[0], size[1]), drawn)[region]
    clean = np.zeros((channels, *owner.shape), np.float32)
    needed = {drawn[index] for index in np.unique(owner).tolist()}
    for batch, found in evaluate(snapshot, filled(batches(drawn, how.window, how.batch_windows), needed)):
        for window, values in zip(batch, found, strict=True):
            _take(clean, owner == number[window], values, window.place, region)
    return clean


def _take(clean: Values, mine: NDArray[np.bool_], values: Values, place: Region, region: Region) -> None:
    """Copy what a window at `place` predicts to the pixels of `clean`, the region's, that it owns."""
    here = overlap(place, region)
    if here is not None:
        inside = within(here, region)
        np.copyto(clean[:, *inside], values[:, *within(here, place)], where=mine[inside])


def filled(whole: Sequence[Sequence[Window]], needed: Collection[Window]) -> list[list[Window]]:
    """The windows `needed` of the batches of the `whole` canvas in batches as large as those that they come from.

    A window's sums may depend on how many are evaluated with it, not on which: a batch is filled up by repeating one.
    """
    alike: dict[tuple[int, int, int], list[Window]] = {}
    for batch in whole:
        kind = (len(batch), batch[0].height, batch[0].width)
        alike.setdefault(kind, []).extend(window for window in batch if window in needed)
    parts = [(kind[0], some[at : at + kind[0]]) for kind, some in alike.items() for at in range(0, len(some), kind[0])]
    return [part + part[:1] * (count - len(part)) for count, part in parts]


def latents_of(part: Region, lines: tuple[decode.Axis, decode.Axis]) -> Region:
    """The latents that the pixels of `part` are decoded from: those of all windows of the decoder that meet there."""
    y, x = (_reach(p, line) for p, line in zip(part, lines, strict=True))
    return y, x


def _reach(part: slice, line: decode.Axis) -> slice:
    needed = sorted({k for piece in line.pieces(part) for k in line.meeting(piece)})
    return slice(line.starts[needed[0]], line.starts[needed[-1]] + line.side)


def pixels(
    region: Region, latents: Values, part: Region, codec: Codec, lines: tuple[decode.Axis, decode.Axis]
) -> NDArray[np.uint8]:
    """Pixels (3, y, x) of `part`, decoded from the `latents` (c, y, x) of `region`, which hold all that it needs."""
    height, width = (line.starts[-1] + line.side for line in lines)
    canvas = Patched(Uniform(np.zeros(codec.channels, np.float32), height, width), region, latents)
    strips = decode.Blend(canvas, codec.decode, *lines).strips(*part)
    return np.concatenate([to_pictures(strip) for strip in strips], axis=1)
