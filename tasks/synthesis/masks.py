"""Masks for synthesis: windows of real annotations at another scale and place, turned and flipped, and cleaned.

A denoiser carries a bank of its training slides' annotations, one pixel in `reduction`, so that a model folder
alone is enough to synthesise. Each mask records the tiles that its window touches.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import ndimage

from tasks.errors import InputError, fault
from tasks.rng import generator
from tasks.synthesis.params import MaskParams

BANK = "masks.safetensors"
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Bank:
    """Annotations of the training slides: `slides[id]` is uint8 (y, x), one pixel in `reduction`."""

    slides: dict[str, Mask]
    reduction: int
    tiles: pd.DataFrame
    """`tile_id`, `item`, `y_px`, `x_px`, `height_px`, `width_px` of the training tiles."""


@dataclass(frozen=True)
class Cut:
    """A mask and the tiles it was cut from."""

    mask: Mask
    source: tuple[str, ...]


def save_bank(folder: Path, slides: dict[str, Mask], reduction: int) -> Path:
    """Write the bank's annotations below `folder`; its tiles are those of the model's `tiles.parquet`."""
    save_file(
        {name: np.ascontiguousarray(slides[name]) for name in sorted(slides)},
        folder / BANK,
        metadata={"bank": json.dumps({"reduction": reduction})},
    )
    return folder / BANK


def load_bank(folder: Path) -> Bank:
    """The bank of a denoiser's folder. Raises `InputError` where there is none."""
    file = folder / BANK
    try:
        with safe_open(file, "numpy") as bank:
            slides = {name: bank.get_tensor(name) for name in bank.keys()}  # noqa: SIM118
            reduction = int(json.loads(bank.metadata()["bank"])["reduction"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(fault(file, "cannot be read", "the masks of a denoiser", "train it again")) from None
    return Bank(slides, reduction, pd.read_parquet(folder / "tiles.parquet"))


def cut(bank: Bank, size_px: tuple[int, int], params: MaskParams, seed: int, sample: str) -> Cut:
    """A cleaned mask of `size_px` (height, width): the first of the drawn windows that is covered well enough.

    A function of the bank, the params, the seed and the sample's name only.
    """
    draw = generator(seed, sample, "mask")
    best: Cut | None = None
    for _ in range(params.candidates):
        found = _draw(bank, size_px, params, draw)
        if best is None or (found.mask > 0).mean() > (best.mask > 0).mean():
            best = found
        if (best.mask > 0).mean() >= params.minimum_coverage:
            break
    assert best is not None
    return best


def _draw(bank: Bank, size_px: tuple[int, int], params: MaskParams, draw: np.random.Generator) -> Cut:
    name = sorted(bank.slides)[draw.integers(len(bank.slides))]
    slide = bank.slides[name]
    low, high = (math.log(z) for z in params.zoom)
    turn, flip = int(draw.integers(4)), bool(draw.integers(2))
    size = size_px if turn % 2 == 0 else size_px[::-1]
    zoom = max(
        math.exp(draw.uniform(low, high)), *(s / (n * bank.reduction) for s, n in zip(size, slide.shape, strict=True))
    )
    window = [s / zoom / bank.reduction for s in size]
    corner = [draw.uniform(0, n - w) if n > w else 0.0 for n, w in zip(slide.shape, window, strict=True)]
    mask = np.rot90(resample(slide, corner, window, size), turn)
    mask = np.ascontiguousarray(mask[:, ::-1] if flip else mask)
    return Cut(clean(mask, params.smallest_region_px), touched(bank, name, corner, window))


def resample(slide: Mask, corner: Sequence[float], window: Sequence[float], size: tuple[int, int]) -> Mask:
    """`window` (height, width, in pixels of `slide`, at `corner`) drawn at `size`: smooth borders between classes.

    Each class's indicator is interpolated bilinearly and the largest wins (the lowest index of equals).
    """
    places = [
        np.clip(c + (np.arange(n) + 0.5) * w / n - 0.5, 0, full - 1)
        for c, w, n, full in zip(corner, window, size, slide.shape, strict=True)
    ]
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    present = np.unique(slide)
    shares = [ndimage.map_coordinates((slide == k).astype(np.float32), grid, order=1) for k in present]
    return np.asarray(present[np.argmax(shares, axis=0)], np.uint8)


def touched(bank: Bank, slide: str, corner: Sequence[float], window: Sequence[float]) -> tuple[str, ...]:
    """Ids, sorted, of the training tiles that a window of a slide of the bank overlaps."""
    (top, left), (height, width) = ([v * bank.reduction for v in pair] for pair in (corner, window))
    t = bank.tiles[bank.tiles["item"] == slide]
    meets = (t["y_px"] < top + height) & (t["y_px"] + t["height_px"] > top)
    meets &= (t["x_px"] < left + width) & (t["x_px"] + t["width_px"] > left)
    return tuple(sorted(set(t.loc[meets, "tile_id"])))


def clean(mask: Mask, smallest_region_px: int) -> Mask:
    """Connected regions (4-neighbours) of a class with fewer than `smallest_region_px` pixels become unknown, 0.

    Thesis A, "Mask cleaning": regions of small magnitude are replaced with unknowns.
    """
    cleaned = mask.copy()
    for index in np.unique(mask[mask > 0]):
        regions, count = ndimage.label(mask == index)
        sizes = np.bincount(regions.ravel(), minlength=count + 1)
        small = sizes < smallest_region_px
        small[0] = False
        cleaned[small[regions]] = 0
    return cleaned


def read_png(path: Path, classes: int) -> Mask:
    """A user's mask: a single-channel 8-bit PNG of class indices 0 … classes. Raises `InputError`."""
    from PIL import Image, UnidentifiedImageError

    expected = f"a single-channel 8-bit PNG of class indices 0 to {classes}"
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, mask = image.mode, np.asarray(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise InputError(fault(path, " ".join(str(error).split())[:200], expected, "save it again")) from None
    if mode not in ("L", "P") or mask.dtype != np.uint8:
        raise InputError(fault(path, f"a PNG of mode {mode}", expected, "save it again"))
    if int(mask.max(initial=0)) > classes:
        raise InputError(fault(path, f"class {int(mask.max())}", expected, "map it to the model's classes"))
    return mask
