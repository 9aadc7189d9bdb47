"""Masks for synthesis: windows of real annotations at another scale and place, turned and flipped, and cleaned.

A denoiser carries a bank of its training slides' annotations, one pixel in `reduction`, so that a model folder
alone is enough to synthesise. Each mask records the tiles that its window touches.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tasks.errors import InputError, fault
from tasks.rng import generator
from tasks.synthesis.cleaning import Classes, clean
from tasks.synthesis.params import MaskParams

BANK = "masks.safetensors"
BAND = 256
"""Rows that are drawn out at a time."""


@dataclass(frozen=True)
class Bank:
    """Annotations of the training slides: `slides[id]` is uint8 (y, x), one pixel in `reduction`."""

    slides: dict[str, Classes]
    reduction: int
    tiles: pd.DataFrame
    """`tile_id`, `item`, `y_px`, `x_px`, `height_px`, `width_px` of the training tiles."""
    subtypes: Mapping[str, str] = field(default_factory=dict)
    """Of the slides whose subtype is known."""


@dataclass(frozen=True)
class Mask:
    """A mask of `size_px` (height, width) that is kept small and drawn out where it is read."""

    size_px: tuple[int, int]
    small: Classes
    """One pixel in `reduction` along an axis, beginning at the mask's upper left corner."""
    reduction: int
    source: tuple[str, ...]
    """Ids of the training tiles that it was cut from; none where it was generated or given."""
    subtype: str = ""
    """Of the slide that it was cut from, or that it was generated for; empty where there is none."""
    origin: str = "annotations"
    """`annotations`, `generated` or `given`."""

    def read(self, window: tuple[slice, ...]) -> Classes:
        """Classes of rows and columns `window`, with smooth borders between them."""
        if self.reduction == 1:
            return np.array(self.small[window])
        near = [_around(w, self.reduction, n) for w, n in zip(window, self.small.shape, strict=True)]
        corner = [w.start / self.reduction - n.start for w, n in zip(window, near, strict=True)]
        size = (window[0].stop - window[0].start, window[1].stop - window[1].start)
        return resample(self.small[near[0], near[1]], corner, [s / self.reduction for s in size], size)


def unknown(size_px: tuple[int, int]) -> Mask:
    """A mask without classes, for a model that knows none."""
    return Mask(size_px, np.zeros((1, 1), np.uint8), max(size_px), ())


def _around(window: slice, reduction: int, length: int) -> slice:
    """The pixels of a small mask that a window of the whole one is interpolated from."""
    first, last = (window.start + 0.5) / reduction - 0.5, (window.stop - 0.5) / reduction - 0.5
    return slice(max(0, math.floor(first)), min(length, math.floor(last) + 2))


def save_bank(folder: Path, slides: dict[str, Classes], reduction: int, subtypes: Mapping[str, str]) -> Path:
    """Write the bank's annotations below `folder`; its tiles are those of the model's `tiles.parquet`."""
    save_file(
        {name: np.ascontiguousarray(slides[name]) for name in sorted(slides)},
        folder / BANK,
        metadata={"bank": json.dumps({"reduction": reduction, "subtypes": dict(subtypes)}, sort_keys=True)},
    )
    return folder / BANK


def load_bank(folder: Path) -> Bank:
    """The bank of a denoiser's folder. Raises `InputError` where there is none."""
    file = folder / BANK
    try:
        with safe_open(file, "numpy") as bank:
            slides = {name: bank.get_tensor(name) for name in bank.keys()}  # noqa: SIM118
            about = json.loads(bank.metadata()["bank"])
            reduction, subtypes = int(about["reduction"]), dict(about.get("subtypes", {}))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(fault(file, "cannot be read", "the masks of a denoiser", "train it again")) from None
    return Bank(slides, reduction, pd.read_parquet(folder / "tiles.parquet"), subtypes)


def cut(bank: Bank, size_px: tuple[int, int], params: MaskParams, seed: int, sample: str) -> Mask:
    """A cleaned mask of `size_px` (height, width): the first of the drawn windows that is covered well enough.

    A function of the bank, the params, the seed and the sample's name only.
    """
    draw = generator(seed, sample, "mask")
    best: Mask | None = None
    for _ in range(params.candidates):
        found = _draw(bank, size_px, params, draw)
        if best is None or (found.small > 0).mean() > (best.small > 0).mean():
            best = found
        if (best.small > 0).mean() >= params.minimum_coverage:
            break
    assert best is not None
    return best


def _draw(bank: Bank, size_px: tuple[int, int], params: MaskParams, draw: np.random.Generator) -> Mask:
    name = sorted(bank.slides)[draw.integers(len(bank.slides))]
    slide, reduction = bank.slides[name], bank.reduction
    low, high = (math.log(z) for z in params.zoom)
    turn, flip = int(draw.integers(4)), bool(draw.integers(2))
    small = tuple(-(-n // reduction) for n in size_px)
    size = small if turn % 2 == 0 else small[::-1]
    zoom = max(math.exp(draw.uniform(low, high)), *(s / n for s, n in zip(size, slide.shape, strict=True)))
    window = [s / zoom for s in size]
    # The centre is drawn from all of the slide and the window moved inside. Were its corner drawn from where it may
    # lie, what is at the slide's border, such as glass, would be half as frequent as in the slide or less.
    centre = [draw.uniform(0, n) for n in slide.shape]
    corner = [min(max(c - w / 2, 0.0), n - w) for c, n, w in zip(centre, slide.shape, window, strict=True)]
    found = np.rot90(resample(slide, corner, window, (size[0], size[1])), turn)
    found = np.ascontiguousarray(found[:, ::-1] if flip else found)
    cleaned = clean(found, -(-params.smallest_region_px // reduction**2))
    return Mask(size_px, cleaned, reduction, touched(bank, name, corner, window), bank.subtypes.get(name, ""))


def resample(slide: Classes, corner: Sequence[float], window: Sequence[float], size: tuple[int, int]) -> Classes:
    """`window` (height, width, in pixels of `slide`, at `corner`) drawn at `size`: smooth borders between classes.

    Each class's indicator is interpolated bilinearly and the largest wins (the lowest index of equals); beyond the
    slide its border is repeated. Drawn band by band, so that memory is the drawn classes and little more.
    """
    rows, columns = (_between(*line) for line in zip(corner, window, size, slide.shape, strict=True))
    drawn = np.empty(size, np.uint8)
    for top in range(0, size[0], BAND):
        part = slice(top, top + BAND)
        _draw_out(slide, Between(rows.low[part], rows.high[part], rows.share[part]), columns, drawn[part])
    return drawn


@dataclass(frozen=True)
class Between:
    """Where pixels lie along an axis: `share` of the way from pixel `low` to pixel `high`."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]


def _between(corner: float, window: float, count: int, length: int) -> Between:
    at = np.clip(corner + (np.arange(count) + 0.5) * window / count - 0.5, 0, length - 1)
    low = np.floor(at).astype(np.int64)
    return Between(low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32))


def _draw_out(slide: Classes, rows: Between, columns: Between, out: Classes) -> None:
    """The class with the largest share at each of `rows` x `columns`, into `out`."""
    first = int(rows.low[0])
    near = slide[first : int(rows.high[-1]) + 1]
    largest = np.full(out.shape, -1, np.float32)
    for index in np.unique(near):
        here = (near == index).astype(np.float32)
        across = here[:, columns.low] + columns.share * (here[:, columns.high] - here[:, columns.low])
        above, below = across[rows.low - first], across[rows.high - first]
        share = above + rows.share[:, None] * (below - above)
        larger = share > largest
        np.copyto(largest, share, where=larger)
        out[larger] = index


def touched(bank: Bank, slide: str, corner: Sequence[float], window: Sequence[float]) -> tuple[str, ...]:
    """Ids, sorted, of the training tiles that a window of a slide of the bank overlaps."""
    (top, left), (height, width) = ([v * bank.reduction for v in pair] for pair in (corner, window))
    t = bank.tiles[bank.tiles["item"] == slide]
    meets = (t["y_px"] < top + height) & (t["y_px"] + t["height_px"] > top)
    meets &= (t["x_px"] < left + width) & (t["x_px"] + t["width_px"] > left)
    return tuple(sorted(set(t.loc[meets, "tile_id"])))
