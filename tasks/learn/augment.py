"""Common augmentations of training tiles, drawn per (seed, tile, epoch): never from a shared generator."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import rng
from tasks.learn.params import AugmentParams


@dataclass(frozen=True)
class Augmentation:
    """One drawn augmentation: flips, then quarter turns (counter-clockwise), then contrast, then brightness."""

    flip_y: bool
    flip_x: bool
    quarter_turns: int
    contrast: float
    brightness: float


def draw(params: AugmentParams, seed: int, tile: str, epoch: int) -> Augmentation:
    """The augmentation of `tile` in `epoch`. The same numbers are drawn whatever is switched on."""
    g = rng.generator(seed, tile, f"augment in epoch {epoch}")
    flip_y, flip_x = (bool(b) for b in g.integers(0, 2, 2))
    turns = int(g.integers(0, 4))
    contrast, brightness = (float(u) for u in g.uniform(-1.0, 1.0, 2))
    return Augmentation(
        flip_y and params.flips,
        flip_x and params.flips,
        turns if params.quarter_turns else 0,
        1.0 + params.contrast_fraction * contrast,
        1.0 + params.brightness_fraction * brightness,
    )


def turn(array: NDArray[Any], how: Augmentation) -> NDArray[Any]:
    """Flips and turns of the last two axes (y, x) of a view or a mask; values and dtype are untouched."""
    if how.flip_y:
        array = array[..., ::-1, :]
    if how.flip_x:
        array = array[..., ::-1]
    return np.ascontiguousarray(np.rot90(array, how.quarter_turns, axes=(-2, -1)))


def light(view: NDArray[np.float32], how: Augmentation) -> NDArray[np.float32]:
    """`brightness * (mean + contrast * (view - mean))`, clipped to [0, 1]; the mean is over the whole view."""
    mean = np.float32(view.mean(dtype=np.float64))
    lit = np.float32(how.brightness) * (mean + np.float32(how.contrast) * (view - mean))
    return np.asarray(np.clip(lit, 0.0, 1.0), dtype=np.float32)
