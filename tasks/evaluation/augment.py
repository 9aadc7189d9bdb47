"""Views of tiles for training: crop, flips, quarter turns and mild colour changes, keyed by the step.

Tiles are uint8 (n, c, y, x) display RGB, masks uint8 (n, y, x). Views are float32 in [-1, 1]. All draws come
from one generator per step, in the order of the batch, so that a step can be repeated alone.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.params import Augmentation

Tiles = NDArray[np.uint8]
Masks = NDArray[np.uint8]
Views = NDArray[np.float32]


def scaled(tiles: Tiles) -> Views:
    """Display values 0..255 as float32 in [-1, 1]: what every network here takes."""
    return tiles.astype(np.float32) / np.float32(127.5) - np.float32(1)


def place(picture: NDArray[np.uint8], crop_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random square crop of (..., y, x), turned and mirrored by a random one of the eight ways."""
    y, x = (int(rng.integers(0, n - crop_px + 1)) for n in picture.shape[-2:])
    crop = picture[..., y : y + crop_px, x : x + crop_px]
    turned = np.rot90(crop, int(rng.integers(0, 4)), axes=(-2, -1))
    return turned[..., ::-1] if rng.integers(0, 2) else turned


def recolour(view: Views, changes: Augmentation, rng: np.random.Generator) -> Views:
    """Change stain, contrast and brightness of a view (c, y, x) in [-1, 1]; clipped to the range.

    Stain scales each channel's optical density -log(I), which is how a thicker or thinner stain acts
    (Beer-Lambert).
    """

    def gain(spread: float, shape: tuple[int, ...] = ()) -> NDArray[np.float32]:
        return np.asarray(rng.uniform(1 - spread, 1 + spread, shape), np.float32)

    light = np.clip((view + 1) / 2, 1 / 255, 1) ** gain(changes.stain, (3, 1, 1))
    mean = light.mean()
    light = ((light - mean) * gain(changes.contrast) + mean) * gain(changes.brightness)
    return np.asarray(np.clip(light, 0, 1) * 2 - 1, np.float32)


def view_of(tile: Tiles, changes: Augmentation, rng: np.random.Generator) -> Views:
    """One random view (c, crop, crop), float32 in [-1, 1], of a tile (c, y, x)."""
    return recolour(scaled(place(tile, changes.crop_px, rng)), changes, rng)


def labelled_view(tile: Tiles, mask: Masks, changes: Augmentation, rng: np.random.Generator) -> tuple[Views, Masks]:
    """One random view of a tile with its mask (y, x) moved along."""
    both = place(np.concatenate([tile, mask[None]]), changes.crop_px, rng)
    return recolour(scaled(both[:-1]), changes, rng), both[-1]
