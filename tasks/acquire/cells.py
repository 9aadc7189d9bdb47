"""Leukocytes and red cells of a stained blood smear, as maps of stain concentration.

Shapes and colours follow the usual cytology of normal leukocytes in a May-Grünwald-Giemsa stain: lobes of the
nucleus, granules, colour of the cytoplasm, size. The anatomy below is part of the drawing, in micrometres and
in units of the cell radius; what an experiment varies stands in the params.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.acquire.fields import coverage, fractal

Array32 = NDArray[np.float32]
Stains = dict[str, Array32]
"""Concentration (y, x) by the name of the stain."""
Discs = list[tuple[float, float, float]]
"""(y, x, radius) in units of the cell radius."""

STAIN_OD: dict[str, tuple[float, float, float]] = {
    "nuclear": (0.62, 0.95, 0.34),
    "blue": (0.42, 0.26, 0.08),
    "pink": (0.05, 0.22, 0.12),
    "orange": (0.03, 0.38, 0.50),
    "violet": (0.66, 0.95, 0.30),
    "haemoglobin": (0.06, 0.26, 0.22),
}
"""Optical density (base 10) in R, G, B of one unit of each stain."""


@dataclass(frozen=True)
class Leukocyte:
    """Anatomy of one class. `cytoplasm` maps stains to concentration; `rim` is more blue at the edge."""

    diameter_um: tuple[float, float]
    nucleus: Callable[[np.random.Generator], Discs]
    nuclear_stain: float
    cytoplasm: tuple[tuple[str, float], ...]
    rim: float = 0.0
    granules: tuple[str, int, float, float] | None = None
    """Stain, how many, radius in micrometres, concentration."""
    vacuoles: int = 0
    smudged: bool = False
    blur_px: float = 0.0


def _arc(radius: float, width: float, degrees: float, count: int) -> Discs:
    angles = np.deg2rad(np.linspace(-degrees / 2, degrees / 2, count))
    return [(float(radius * np.sin(a)), float(radius * np.cos(a)), width) for a in angles]


def _strand(a: tuple[float, float, float], b: tuple[float, float, float], width: float) -> Discs:
    return [(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), width) for t in np.linspace(0, 1, 9).tolist()]


def _round(_: np.random.Generator) -> Discs:
    return [(0.0, 0.07, 0.80)]


def _indented(source: np.random.Generator) -> Discs:
    return [(0.0, -0.12, 0.52), (0.30 * float(source.uniform(0.7, 1.2)), 0.12, 0.36), (-0.28, 0.08, 0.34)]


def _kidney(source: np.random.Generator) -> Discs:
    return _arc(0.34, 0.33, float(source.uniform(150, 210)), 15)


def _band(source: np.random.Generator) -> Discs:
    return _arc(0.47, 0.17, float(source.uniform(200, 260)), 25)


def _segments(source: np.random.Generator, count: int, radius: float) -> Discs:
    """`count` lobes on an arc that do not touch, joined by thin strands."""
    spread = 255.0 if count > 2 else 165.0
    gap = 2 * 0.43 * np.sin(np.deg2rad(spread) / (count - 1) / 2)
    at = np.asarray(_arc(0.43, min(radius, 0.42 * gap), spread, count))
    at[:, :2] += source.normal(0, 0.02, (count, 2))
    at[:, 2] *= source.uniform(0.85, 1.10, count)
    lobes = [(y, x, r) for y, x, r in at.tolist()]
    strands = [disc for a, b in pairwise(lobes) for disc in _strand(a, b, 0.045)]
    return lobes + strands


def _segmented(source: np.random.Generator) -> Discs:
    return _segments(source, int(source.integers(3, 6)), 0.235)


def _bilobed(source: np.random.Generator) -> Discs:
    return _segments(source, 2, 0.34)


def _folded(source: np.random.Generator) -> Discs:
    return [(float(source.normal(0, 0.2)), float(source.normal(0, 0.2)), 0.42) for _ in range(3)]


def _smear(source: np.random.Generator) -> Discs:
    return [(float(source.normal(0, 0.25)), float(source.normal(0, 0.35)), 0.55) for _ in range(3)]


def _any(source: np.random.Generator) -> Discs:
    kinds = (_indented, _kidney, _folded, _bilobed)
    return kinds[int(source.integers(len(kinds)))](source)


LEUKOCYTES: dict[str, Leukocyte] = {
    "BAS": Leukocyte((11.0, 13.0), _folded, 0.55, (("pink", 0.3), ("blue", 0.15)), 0.0, ("violet", 70, 0.55, 0.95)),
    "EOS": Leukocyte((12.5, 15.0), _bilobed, 0.80, (("pink", 0.5),), 0.0, ("orange", 330, 0.36, 0.75)),
    "KSC": Leukocyte((14.0, 20.0), _smear, 0.42, (), smudged=True),
    "LYA": Leukocyte((15.0, 18.0), _indented, 0.66, (("blue", 0.75),), 0.55, vacuoles=3),
    "LYT": Leukocyte((8.5, 10.0), _round, 0.95, (("blue", 0.45),), 0.2),
    "MON": Leukocyte((16.0, 19.0), _kidney, 0.58, (("blue", 0.32), ("pink", 0.35)), 0.05, ("pink", 90, 0.2, 0.6), 8),
    "NGB": Leukocyte((12.5, 14.5), _band, 0.82, (("pink", 0.55),), 0.0, ("pink", 240, 0.2, 0.8)),
    "NGS": Leukocyte((12.0, 14.5), _segmented, 0.92, (("pink", 0.55),), 0.0, ("pink", 240, 0.2, 0.8)),
    "UNC": Leukocyte((10.0, 16.0), _any, 0.50, (("blue", 0.25), ("pink", 0.35)), 0.1, blur_px=3.0),
}
"""The nine labels of the smears: basophil, eosinophil, smudge cell, atypical and typical lymphocyte, monocyte,
band and segmented neutrophil, unclear."""


Window = tuple[slice, slice]


def window(side_px: int, centre_px: tuple[float, float], reach_px: float) -> Window:
    """The rows and columns within `reach_px` of a point, cut to a square of `side_px`; may be empty."""
    starts = [min(max(0, int(np.floor(c - reach_px))), side_px) for c in centre_px]
    stops = [min(max(0, int(np.ceil(c + reach_px)) + 1), side_px) for c in centre_px]
    return slice(starts[0], stops[0]), slice(starts[1], stops[1])


@dataclass(frozen=True)
class Frame:
    """Pixel positions relative to a cell: `y`, `x` in units of its radius, turned by its own angle."""

    y: Array32
    x: Array32
    radius_px: float
    centre_px: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.shape[0], self.y.shape[1]


def frame(part: Window, centre_px: tuple[float, float], radius_px: float, angle_rad: float) -> Frame:
    """The frame of a cell over the pixels of `part`."""
    rows, columns = np.ogrid[part]
    dy = ((rows - centre_px[0]) / radius_px).astype(np.float32)
    dx = ((columns - centre_px[1]) / radius_px).astype(np.float32)
    cos, sin = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
    return Frame(cos * dy - sin * dx, sin * dy + cos * dx, radius_px, centre_px)


def _inside(place: Frame, discs: Discs, wobble: Array32) -> Array32:
    """Distance in pixels (positive inside) from the edge of the union of `discs`, made irregular."""
    best = np.full(place.shape, -1e3, np.float32)
    for y, x, radius in discs:
        best = np.maximum(best, radius - np.hypot(place.y - y, place.x - x))
    return (best + wobble) * np.float32(place.radius_px)


def _granules(
    place: Frame, spec: tuple[str, int, float, float], pixel_um: float, source: np.random.Generator
) -> Array32:
    """Concentration map of granules: small discs all over the cell."""
    _, count, radius_um, strength = spec
    out = np.zeros(place.shape, np.float32)
    radii = radius_um * source.uniform(0.7, 1.3, count) / pixel_um
    distance, angle = 0.92 * place.radius_px * np.sqrt(source.uniform(0, 1, count)), source.uniform(0, 2 * np.pi, count)
    for r, d, a in zip(radii.tolist(), distance.tolist(), angle.tolist(), strict=True):
        centre = (place.centre_px[0] + d * float(np.sin(a)), place.centre_px[1] + d * float(np.cos(a)))
        part = window(place.shape[0], centre, r + 1)
        disc = frame(part, centre, r, 0.0)
        out[part] = np.maximum(out[part], coverage((1 - np.hypot(disc.y, disc.x)) * np.float32(r)))
    return out * np.float32(strength)


def leukocyte(kind: str, place: Frame, pixel_um: float, source: np.random.Generator) -> tuple[Stains, Array32]:
    """Stain concentrations of a leukocyte of class `kind`, and how much of each pixel its body covers."""
    spec = LEUKOCYTES[kind]
    edge = 0.035 * fractal(place.shape, 0.5 * place.radius_px, 3, source)
    chromatin = 1 + 0.22 * fractal(place.shape, 0.9 / pixel_um, 2, source)
    if spec.smudged:
        return _smudge(spec, place, chromatin, source)
    body = coverage(_inside(place, [(0.0, 0.0, 1.0)], 1.4 * edge))
    nucleus = coverage(_inside(place, spec.nucleus(source), edge)) * body
    stains = {"nuclear": nucleus * np.float32(spec.nuclear_stain) * chromatin}
    for stain, strength in spec.cytoplasm:
        stains[stain] = (body - nucleus) * np.float32(strength) * (0.7 + 0.3 * chromatin)
    if spec.rim:
        rim = np.clip((np.hypot(place.y, place.x) - 0.6) / 0.4, 0, 1) * (body - nucleus)
        stains["blue"] = stains["blue"] + np.float32(spec.rim) * rim
    if spec.granules:
        grains = _granules(place, spec.granules, pixel_um, source) * body
        hidden = 1 - 0.75 * nucleus if spec.granules[0] != "violet" else np.float32(1)
        stains[spec.granules[0]] = stains.get(spec.granules[0], np.float32(0)) + grains * hidden
    clear = _vacuoles(place, spec.vacuoles, nucleus, source)
    return {name: strength * clear for name, strength in stains.items()}, body


def _vacuoles(place: Frame, count: int, nucleus: Array32, source: np.random.Generator) -> Array32:
    clear = np.ones(place.shape, np.float32)
    for _ in range(count):
        d, a, r = source.uniform((0.5, 0, 0.04), (0.88, 2 * np.pi, 0.08)).tolist()
        gap = np.hypot(place.y - d * np.sin(a), place.x - d * np.cos(a))
        clear = clear * (1 - 0.6 * coverage((r - gap) * np.float32(place.radius_px)) * (1 - nucleus))
    return clear


def _smudge(spec: Leukocyte, place: Frame, chromatin: Array32, source: np.random.Generator) -> tuple[Stains, Array32]:
    """A burst cell: a nucleus without a membrane that runs out in streaks."""
    streaks = 0.22 * fractal(place.shape, 0.45 * place.radius_px, 4, source)
    inside = _inside(place, spec.nucleus(source), streaks) / np.float32(place.radius_px)
    body = np.clip(inside / 0.45 + 0.5, 0, 1).astype(np.float32)
    return {"nuclear": body * np.float32(spec.nuclear_stain) * chromatin**2}, body


def red_cell(place: Frame) -> Array32:
    """Haemoglobin concentration of a biconcave disc, thinnest in the middle."""
    distance = np.hypot(place.y, place.x)
    thickness = 1 - 0.62 * np.exp(-((distance / 0.42) ** 2))
    return (thickness * coverage((1 - distance) * np.float32(place.radius_px))).astype(np.float32)
