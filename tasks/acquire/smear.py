"""A crop of a blood smear: one leukocyte among red cells, as light that passes through stains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import rng
from tasks.acquire import cells
from tasks.acquire.fields import smooth
from tasks.acquire.params import MicroscopyParams

Array32 = NDArray[np.float32]

RED_CELL_UM = 7.5
RED_CELLS_TRIED = 26
BACKGROUND = 0.80
"""Light through plain glass and plasma, relative to the white that developing maps to 1."""


@dataclass(frozen=True)
class Preparation:
    """What all crops of one smear share: stain strengths and the colour of the lamp."""

    stain: dict[str, float]
    lamp: tuple[float, float, float]


def preparation(params: MicroscopyParams, smear: str) -> Preparation:
    """The preparation of `smear`, log-normal about 1 with the spreads of `params`."""
    source = rng.generator(params.seed, smear, "preparation")
    stain = {name: float(np.exp(source.normal(0, params.stain_spread))) for name in cells.STAIN_OD}
    lamp = np.exp(source.normal(0, params.illumination_spread, 3))
    return Preparation(stain, (float(lamp[0]), float(lamp[1]), float(lamp[2])))


def transmitted(stains: dict[str, Array32], prepared: Preparation, shape: tuple[int, int]) -> Array32:
    """Linear RGB (3, y, x) of light through `stains`: Beer-Lambert's law, per colour."""
    density = np.zeros((3, *shape), np.float32)
    for name, strength in stains.items():
        od = np.asarray(cells.STAIN_OD[name], np.float32) * np.float32(prepared.stain[name])
        density += od[:, None, None] * strength
    lamp = np.asarray(prepared.lamp, np.float32)[:, None, None] * np.float32(BACKGROUND)
    return np.asarray(lamp * np.float32(10) ** -density, dtype=np.float32)


def _red_cells(radius_px: float, body: Array32, source: np.random.Generator) -> Array32:
    """Haemoglobin (y, x) of red cells that keep clear of the leukocyte `body` and of each other."""
    side = body.shape[0]
    out, placed = np.zeros_like(body), np.full((1, 2), -1e6)
    for _ in range(RED_CELLS_TRIED):
        centre = source.uniform(-radius_px, side + radius_px, 2)
        size, squeeze = radius_px * float(source.normal(1, 0.06)), float(source.uniform(0.94, 1.06))
        at, angle = (float(centre[0]), float(centre[1])), float(source.uniform(0, np.pi))
        part = cells.window(side, at, 1.15 * size)
        place = cells.frame(part, at, size, angle)
        touches = (body[part] > 0.05) & (np.hypot(place.y, place.x) < 0.9)
        if touches.any() or np.hypot(*(placed - centre).T).min() < 1.7 * radius_px:
            continue
        placed = np.vstack([placed, centre])
        out[part] += cells.red_cell(cells.Frame(place.y * np.float32(squeeze), place.x, size, at))
    return out


def crop(params: MicroscopyParams, smear: str, kind: str, name: str) -> tuple[Array32, float]:
    """The scene `name` of `smear` with a leukocyte of class `kind`.

    Returns linear RGB (3, y, x), float32, and the extra blur in pixels that a cell out of focus has.
    """
    source = rng.generator(params.seed, name, "scene")
    side, spec = params.crop_px, cells.LEUKOCYTES[kind]
    radius = float(source.uniform(*spec.diameter_um)) / 2 / params.pixel_um
    y, x = (side / 2 + source.normal(0, 0.05 * side, 2)).tolist()
    part = (slice(0, side), slice(0, side))
    place = cells.frame(part, (y, x), radius, float(source.uniform(0, 2 * np.pi)))
    stains, body = cells.leukocyte(kind, place, params.pixel_um, source)
    red = _red_cells(RED_CELL_UM / 2 / params.pixel_um, body, source)
    plasma = 0.03 + 0.01 * smooth((side, side), side / 6, source)
    stains = {**stains, "haemoglobin": red * (1 - body) + stains.get("haemoglobin", np.float32(0))}
    stains["pink"] = stains.get("pink", np.float32(0)) + plasma
    return transmitted(stains, preparation(params, smear), (side, side)), spec.blur_px
