"""Elastic transform: a random affine map, then random smooth displacements (Simard, Steinkraus and Platt, ICDAR 2003).

In the source's order: the three corners of a triangle move by up to the affine share of the side, the picture is
drawn by that map with linear interpolation, mirrored about its border pixels; then each pixel is looked up at its
place plus alpha times white noise in [-1, 1] blurred by a Gaussian of sigma, linearly, mirrored about its edge. Pixels
move and a mask does not move along: for segmentation, the corruption is also one of the labels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from tasks.drift.corruptions import constants
from tasks.drift.corruptions.blur import gaussian_matrix

Tile = NDArray[np.float32]
Places = NDArray[np.float32]

TRUNCATE = 3.0
"""Where the Gaussian of the displacements ends, in sigmas."""


def triangle(y_px: int, x_px: int) -> NDArray[np.float64]:
    """(3, 2): the published corners about the centre as (x, y), in px."""
    x, y, reach = x_px // 2, y_px // 2, min(y_px, x_px) // 3
    return np.array([(x + reach, y + reach), (x + reach, y - reach), (x - reach, y - reach)], np.float64)


def affine(moved: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3): the map of (x, y, 1) that takes the moved corners back to where they were.

    `numpy.linalg.LinAlgError` if the moved corners stand exactly on a line, which random ones do with probability 0.
    """
    return np.asarray(np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners).T, np.float64)


def grid(y_px: int, x_px: int) -> NDArray[np.float64]:
    """(3, y, x): x, y and 1 of each pixel."""
    y, x = np.mgrid[:y_px, :x_px].astype(np.float64)
    return np.stack([x, y, np.ones_like(x)])


def look_up(tile: Tile, places: Places, mirror_pixels: bool) -> Tile:
    """Linear interpolation of a tile (c, y, x) at places (2, y, x), float32, x before y, in px.

    Outside, the picture is mirrored about its border pixels (c b | a b c) or else about its edge (c b a | a b c).
    """
    sides = np.array(tile.shape[:0:-1], np.float32)[:, None, None]
    # grid_sample wants -1 to 1 from border pixel to border pixel, or from edge to edge.
    scaled = 2 * places / (sides - 1) - 1 if mirror_pixels else (2 * places + 1) / sides - 1
    wanted = torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, 0, -1)))[None]
    picture = torch.from_numpy(tile)[None]
    found = grid_sample(picture, wanted, mode="bilinear", padding_mode="reflection", align_corners=mirror_pixels)
    return np.asarray(found[0].numpy())


def displacements(y_px: int, x_px: int, size: constants.Elastic, rng: np.random.Generator) -> Places:
    """(2, y, x), float32: smooth random displacements along x and y in px."""
    side_px = min(y_px, x_px)
    noise = rng.uniform(-1, 1, (2, y_px, x_px)).astype(np.float32)
    down, along = (gaussian_matrix(n, size.sigma * side_px, "reflect", TRUNCATE) for n in (y_px, x_px))
    return np.float32(size.alpha * side_px) * (down @ (noise @ along.T))


def transform(tile: Tile, severity: int, rng: np.random.Generator) -> Tile:
    """Affine map and displacements of a tile (3, y, x), float32 in [0, 1], sides of at least 3 px; same shape."""
    y_px, x_px = tile.shape[1:]
    size, pixels = constants.ELASTIC[severity - 1], grid(y_px, x_px)
    corners, reach_px = triangle(y_px, x_px), size.affine * min(y_px, x_px)
    back = affine(corners + rng.uniform(-reach_px, reach_px, corners.shape), corners)
    sheared = look_up(tile, np.tensordot(back, pixels, 1).astype(np.float32), mirror_pixels=True)
    places = pixels[:2].astype(np.float32) + displacements(y_px, x_px, size, rng)
    return look_up(sheared, places, mirror_pixels=False)
