"""Kernels of the report's pictures: arrays in, arrays out, no text in the pictures.

A picture here is uint8 (y, x, c), display RGB, 255 = white.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import FULL_SCALE_DN, Calibration

Picture = NDArray[np.uint8]
GAMMA = 2.2
MID_GREY = 128

PALETTE = np.array(
    [
        (217, 217, 217), (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167),
        (230, 159, 0), (86, 180, 233), (240, 228, 66), (0, 0, 0), (120, 94, 240),
    ],
    np.uint8,
)  # fmt: skip
"""Unknown in light grey, then the colours of Okabe and Ito, which the colour-blind can tell apart; the evaluation
draws classes in the same."""


def from_view(view: NDArray[np.uint16]) -> Picture:
    """A variant's view (3, y, x), full scale 65535, as a picture."""
    return np.moveaxis(np.rint(view / (FULL_SCALE_DN / 255)).astype(np.uint8), 0, -1)


def from_planes(planes: NDArray[np.uint8]) -> Picture:
    """A picture stored as (3, y, x)."""
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def levels(mosaic: NDArray[np.uint16], calibration: Calibration) -> NDArray[np.float64]:
    """Each site of a mosaic (y, x) between its black level, 0, and the white level, 1; clipped."""
    black = np.array(calibration.black_level_dn).reshape(2, 2)
    height, width = mosaic.shape
    floor = np.tile(black, (-(-height // 2), -(-width // 2)))[:height, :width]
    return np.asarray(np.clip((mosaic - floor) / (calibration.white_level_dn - floor), 0, 1))


def grey(mosaic: NDArray[np.uint16], calibration: Calibration, gain: float = 1.0) -> Picture:
    """A mosaic (y, x) as the sensor counted it, times `gain`, with display gamma: one grey a site."""
    shade = _display(np.clip(levels(mosaic, calibration) * gain, 0, 1))
    return np.repeat(shade[..., None], 3, axis=2)


def coloured_sites(mosaic: NDArray[np.uint16], calibration: Calibration, gain: float = 1.0) -> Picture:
    """A mosaic (y, x) with each site in the colour of its filter."""
    shade = _display(np.clip(levels(mosaic, calibration) * gain, 0, 1))
    channel = np.array(["RGB".index(letter) for letter in calibration.pattern]).reshape(2, 2)
    height, width = mosaic.shape
    sites = np.tile(channel, (-(-height // 2), -(-width // 2)))[:height, :width]
    return np.where(sites[..., None] == np.arange(3), shade[..., None], 0).astype(np.uint8)


def green_sites(mosaic: NDArray[np.uint16], calibration: Calibration, gain: float = 1.0) -> Picture:
    """The first green site of each 2 x 2 cell of a mosaic (y, x), in grey: half the size, no pattern, all the noise."""
    y, x = divmod(calibration.pattern.index("G"), 2)
    shade = _display(np.clip(levels(mosaic, calibration)[y::2, x::2] * gain, 0, 1))
    return np.repeat(shade[..., None], 3, axis=2)


def _display(linear: NDArray[np.float64]) -> Picture:
    return np.asarray(np.rint(255 * linear ** (1 / GAMMA)).astype(np.uint8))


def exposure_gain(mosaic: NDArray[np.uint16], calibration: Calibration, quantile: float = 0.995) -> float:
    """The gain that brings the given quantile of a mosaic's levels to 1; at least 1."""
    top = float(np.quantile(levels(mosaic, calibration), quantile))
    return max(1.0, 1 / top) if top > 0 else 1.0


def reduce(picture: NDArray[np.uint8], width_px: int) -> Picture:
    """Area average by the smallest whole factor that brings the width to at most `width_px`.

    Rows and columns that fill no whole block are left out.
    """
    factor = -(-picture.shape[1] // width_px)
    height, width = (n // factor * factor for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8))


def enlarge(picture: Picture, factor: int) -> Picture:
    """Each pixel as a square of `factor` pixels."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def coloured(mask: NDArray[np.uint8]) -> Picture:
    """Class indices (y, x) as colours; 0 is unknown, and colours repeat, without the first, after the last."""
    index = np.where(mask == 0, 0, (mask.astype(np.int64) - 1) % (len(PALETTE) - 1) + 1)
    return np.asarray(PALETTE[index])


def tinted(picture: Picture, mask: NDArray[np.uint8], opacity: float) -> Picture:
    """`picture` under the colours of a mask (y, x) of its size; where the mask is 0 it stays as it is."""
    mixed = np.rint(picture * (1 - opacity) + coloured(mask) * opacity).astype(np.uint8)
    return np.asarray(np.where((mask == 0)[..., None], picture, mixed))


def outlined(picture: Picture, mask: NDArray[np.uint8], colour: tuple[int, int, int]) -> Picture:
    """`picture` with the inner border, one pixel wide, of the region mask > 0 drawn in `colour`."""
    inside = np.pad(mask > 0, 1, mode="edge")
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    border = inside[1:-1, 1:-1] & ~core
    return np.asarray(np.where(border[..., None], np.array(colour, np.uint8), picture))


def differ_most(views: NDArray[np.uint16]) -> tuple[int, int, float]:
    """Of views (n, 3, y, x), n >= 2: the pair (i, j), i < j, of greatest root mean square difference, and that
    difference in units of full scale."""
    flat = views.reshape(len(views), -1).astype(np.float64) / FULL_SCALE_DN
    pairs = [(i, j) for i in range(len(flat)) for j in range(i + 1, len(flat))]
    distances = [float(np.sqrt(np.mean((flat[i] - flat[j]) ** 2))) for i, j in pairs]
    best = int(np.argmax(distances))
    return *pairs[best], distances[best]


def difference(a: NDArray[np.uint16], b: NDArray[np.uint16], gain: float) -> Picture:
    """A - B of two views (3, y, x), times `gain`, around mid-grey."""
    signed = (a.astype(np.float64) - b) * (255 / FULL_SCALE_DN) * gain
    return np.moveaxis(np.clip(np.rint(MID_GREY + signed), 0, 255).astype(np.uint8), 0, -1)


def busiest(picture: NDArray[np.uint8], side_px: int, step_px: int) -> tuple[int, int]:
    """Upper left corner (y, x) of the square window, on a grid of `step_px`, whose values vary most; the first of
    equals. The window is cut to the picture where that is smaller."""
    height, width = picture.shape[:2]
    corners = [
        (y, x)
        for y in range(0, max(1, height - side_px + 1), step_px)
        for x in range(0, max(1, width - side_px + 1), step_px)
    ]
    spread = [float(picture[y : y + side_px, x : x + side_px].std()) for y, x in corners]
    return corners[int(np.argmax(spread))]
