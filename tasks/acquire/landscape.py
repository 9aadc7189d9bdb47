"""A landscape from above: fields, roads, houses, trees and cars in sunlight, with the truth of where the cars are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import rng
from tasks.acquire import pictures
from tasks.acquire.fields import coverage, fractal, smooth
from tasks.acquire.params import DroneParams

Array32 = NDArray[np.float32]
Colour = tuple[float, float, float]

SKY_LIGHT = 0.42
"""Light in a shadow, relative to sunlight."""
SUNLIGHT = 1.25
"""Exposure: a reflectance of 0.8 in the sun is the white that developing maps to 1."""
HOUSES_TRIED, TREES_TRIED = 5, 16
CAR_INDEX = 1
"""Class index of cars in the masks; the rest is 0."""

FIELDS: tuple[tuple[Colour, str, float], ...] = (
    ((0.10, 0.17, 0.05), "grass", 0.35),
    ((0.22, 0.24, 0.09), "grass", 0.30),
    ((0.30, 0.23, 0.14), "gravel", 0.20),
    ((0.38, 0.33, 0.17), "grass", 0.22),
)
"""Linear reflectance, picture that gives the texture, and its contrast."""
ASPHALT: Colour = (0.13, 0.13, 0.14)
LINE: Colour = (0.60, 0.60, 0.58)
LEAVES: Colour = (0.045, 0.09, 0.025)
ROOFS: tuple[Colour, ...] = ((0.36, 0.12, 0.07), (0.25, 0.13, 0.09), (0.20, 0.20, 0.22))
PAINTS: tuple[Colour, ...] = (
    (0.72, 0.72, 0.72), (0.03, 0.03, 0.035), (0.28, 0.29, 0.31), (0.42, 0.04, 0.04),
    (0.04, 0.10, 0.34), (0.50, 0.51, 0.53), (0.62, 0.45, 0.06), (0.05, 0.20, 0.10),
)  # fmt: skip
GLASS: Colour = (0.05, 0.06, 0.08)


@dataclass
class Ground:
    """A frame in the making: reflectance (3, y, x), sun (y, x) in [0, 1], car mask (y, x)."""

    colour: Array32
    sun: Array32
    mask: NDArray[np.uint8]
    rows: Array32
    columns: Array32

    def paint(self, cover: Array32, colour: Colour | Array32) -> None:
        """Lay `colour` over the ground where `cover` (y, x) in [0, 1] says."""
        top = np.asarray(colour, np.float32)
        top = top[:, None, None] if top.ndim == 1 else top
        self.colour += cover * (top - self.colour)

    def shade(self, cover: Array32) -> None:
        """A shadow falls where `cover` says."""
        np.minimum(self.sun, 1 - cover, out=self.sun)

    def lift(self, cover: Array32) -> None:
        """What stands above its own shadow is in the sun."""
        np.maximum(self.sun, cover, out=self.sun)

    def near(self, y: float, x: float, reach: float) -> "Ground":
        """The part within `reach` pixels of (`y`, `x`), as views: what is drawn there is drawn here."""
        top, left = max(0, int(y - reach)), max(0, int(x - reach))
        window = (slice(top, max(top + 1, int(y + reach))), slice(left, max(left + 1, int(x + reach))))
        return Ground(
            self.colour[:, *window], self.sun[window], self.mask[window], self.rows[window], self.columns[window]
        )


def blank(shape: tuple[int, int]) -> Ground:
    """Black ground without cars, in the sun."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    sun = np.ones(shape, np.float32)
    return Ground(np.zeros((3, *shape), np.float32), sun, np.zeros(shape, np.uint8), rows, columns)


@dataclass(frozen=True)
class Pose:
    """Centre in pixels and heading in radians (0 along x)."""

    y: float
    x: float
    heading: float


@dataclass(frozen=True)
class Road:
    """A band about y = a + b x + c sin(d x + e), turned by 90 degrees when `upright`. Lengths in pixels."""

    a: float
    b: float
    c: float
    d: float
    e: float
    half_width: float
    upright: bool

    def centre(self, along: Array32 | float) -> Array32:
        return np.asarray(self.a + self.b * along + self.c * np.sin(self.d * along + self.e), np.float32)

    def heading(self, along: float) -> float:
        slope = float(np.arctan(self.b + self.c * self.d * np.cos(self.d * along + self.e)))
        return float(np.pi / 2 - slope) if self.upright else slope

    def offset(self, ground: Ground) -> Array32:
        """Signed distance of each pixel from the middle of the road, in pixels, and nearly so in curves."""
        along, across = (ground.rows, ground.columns) if self.upright else (ground.columns, ground.rows)
        slope = self.b + self.c * self.d * np.cos(self.d * along + self.e)
        return np.asarray((across - self.centre(along)) / np.sqrt(1 + slope**2), np.float32)


def _local(ground: Ground, pose: Pose) -> tuple[Array32, Array32]:
    """Coordinates (across, along) of each pixel in the frame of `pose`, in pixels."""
    dy, dx = ground.rows - np.float32(pose.y), ground.columns - np.float32(pose.x)
    cos, sin = np.float32(np.cos(pose.heading)), np.float32(np.sin(pose.heading))
    return cos * dy - sin * dx, cos * dx + sin * dy


def _box(across: Array32, along: Array32, half_width: float, half_length: float, corner: float) -> Array32:
    """Coverage of a rectangle with round corners; all lengths in pixels."""
    y, x = np.abs(across) - (half_width - corner), np.abs(along) - (half_length - corner)
    outside = np.hypot(np.maximum(y, 0), np.maximum(x, 0)) + np.minimum(np.maximum(y, x), 0)
    return coverage((corner - outside).astype(np.float32))


def _fields(ground: Ground, source: np.random.Generator) -> None:
    """Fields that meet along smooth lines, each with its own soil, texture and furrows."""
    shape = ground.mask.shape
    votes = np.stack([smooth(shape, min(shape) / 2.2, source) for _ in FIELDS])
    owner = np.argmax(votes, axis=0)
    patchy = 1 + 0.10 * fractal(shape, min(shape) / 5, 3, source)
    for index, (colour, picture, contrast) in enumerate(FIELDS):
        grain = pictures.texture(picture, ground.rows, ground.columns, float(source.uniform(0.7, 1.1)))
        angle, period = float(source.uniform(0, np.pi)), float(source.uniform(14, 26))
        furrow = np.sin(2 * np.pi / period * (ground.rows * np.sin(angle) + ground.columns * np.cos(angle)))
        relief = np.clip(patchy * (1 + contrast * grain + 0.12 * index * furrow), 0.15, 3)
        ground.paint((owner == index).astype(np.float32), np.asarray(colour, np.float32)[:, None, None] * relief)


def _road(ground: Ground, road: Road, metre: float) -> None:
    """Asphalt with a broken line in the middle and lines along the edges."""
    offset = road.offset(ground)
    grain = pictures.texture("gravel", ground.rows, ground.columns, 1.7)
    asphalt = np.asarray(ASPHALT, np.float32)[:, None, None] * np.clip(1 + 0.12 * grain, 0.4, 2)
    ground.paint(coverage(road.half_width - np.abs(offset)), asphalt)
    along = ground.rows if road.upright else ground.columns
    dashes = (np.mod(along, 6 * metre) < 3 * metre).astype(np.float32)
    ground.paint(coverage(0.09 * metre - np.abs(offset)) * dashes, LINE)
    ground.paint(coverage(0.07 * metre - np.abs(np.abs(offset) - road.half_width + 0.35 * metre)), LINE)


def roads(params: DroneParams, source: np.random.Generator) -> list[Road]:
    """A road across the frame and one up it."""
    height, width, metre = params.height_px, params.width_px, 1 / params.ground_m
    found = []
    for upright, along, across in ((False, width, height), (True, height, width)):
        middle = across * float(source.uniform(0.35, 0.65))
        tilt = float(source.uniform(-0.15, 0.15))
        bend, turn = 4 * metre * float(source.uniform(0.3, 1)), 2 * np.pi / along * float(source.uniform(0.5, 1.1))
        start = middle - tilt * along / 2
        found.append(Road(start, tilt, bend, turn, float(source.uniform(0, 6)), 3.6 * metre, upright))
    return found


def _clear(ways: list[Road], pose: Pose, reach: float) -> bool:
    """Whether a disc of radius `reach` about `pose` stays off all roads."""
    for way in ways:
        along, across = (pose.y, pose.x) if way.upright else (pose.x, pose.y)
        if abs(float(way.centre(along)) - across) < way.half_width + reach:
            return False
    return True


def _free(ground: Ground, ways: list[Road], tried: int, reach: float, source: np.random.Generator) -> list[Pose]:
    """Of `tried` random poses those whose disc of radius `reach` stays off the roads."""
    height, width = ground.mask.shape
    poses = [Pose(y, x, heading) for y, x, heading in source.uniform(0, (height, width, np.pi), (tried, 3)).tolist()]
    return [pose for pose in poses if _clear(ways, pose, reach)]


def _house(ground: Ground, pose: Pose, metre: float, sun: tuple[float, float], source: np.random.Generator) -> None:
    """A gabled roof whose slopes face the sun differently, and its shadow."""
    half_width, half_length = (metre * source.uniform((3.5, 4.5), (5.0, 7.5))).tolist()
    shift = Pose(pose.y + 4.5 * metre * sun[0], pose.x + 4.5 * metre * sun[1], pose.heading)
    ground.shade(_box(*_local(ground, shift), half_width, half_length, 1.0))
    across, along = _local(ground, pose)
    cover = _box(across, along, half_width, half_length, 1.0)
    tiles = pictures.texture("brick", across + 600, along + 600, 1.6)
    slope = np.where(across * np.float32(np.cos(pose.heading)) * np.float32(sun[0]) > 0, 0.75, 1.15)
    roof = np.asarray(ROOFS[int(source.integers(len(ROOFS)))], np.float32)[:, None, None]
    ground.paint(cover, roof * np.clip(slope * (1 + 0.13 * tiles), 0.2, 2).astype(np.float32))
    ground.lift(cover)


def _tree(ground: Ground, pose: Pose, metre: float, sun: tuple[float, float], source: np.random.Generator) -> None:
    """A crown with a ragged edge, lit on the side of the sun."""
    radius = metre * float(source.uniform(1.6, 3.6))
    phases, lobes = source.uniform(0, 2 * np.pi, 3), (3, 5, 8)
    dy, dx = ground.rows - np.float32(pose.y), ground.columns - np.float32(pose.x)

    def crown(y: Array32, x: Array32) -> Array32:
        angle = np.arctan2(y, x)
        ragged = sum(0.07 * np.cos(n * angle + p) for n, p in zip(lobes, phases.tolist(), strict=True))
        return coverage((radius * (1 + ragged) - np.hypot(y, x)).astype(np.float32))

    drop = 1.1 * radius
    ground.shade(crown(dy - drop * sun[0], dx - drop * sun[1]))
    cover = crown(dy, dx)
    leaves = pictures.texture("grass", ground.rows + pose.y, ground.columns, 1.3)
    lit = 1 - 0.45 * (dy * sun[0] + dx * sun[1]) / radius
    shade = np.clip(lit * (1 + 0.35 * leaves), 0.1, 3)
    ground.paint(cover, np.asarray(LEAVES, np.float32)[:, None, None] * shade)
    ground.lift(cover)


def _parked(params: DroneParams, ways: list[Road], source: np.random.Generator) -> Pose:
    """A place in a lane of a road, heading along it."""
    way = ways[int(source.integers(len(ways)))]
    along = float(source.uniform(0, params.height_px if way.upright else params.width_px))
    lane = way.half_width * (0.45 if source.uniform() < 0.5 else -0.45)
    heading = way.heading(along) + float(source.normal(0, 0.03))
    if way.upright:
        return Pose(along, float(way.centre(along)) + lane, heading)
    return Pose(float(way.centre(along)) + lane, along, heading)


def _car(ground: Ground, pose: Pose, metre: float, sun: tuple[float, float], source: np.random.Generator) -> bool:
    """A car with shadow, windows and roof; False, and nothing drawn, where another car is too near."""
    half_width, half_length = metre * float(source.uniform(0.86, 0.98)), metre * float(source.uniform(2.0, 2.5))
    across, along = _local(ground, pose)
    body = _box(across, along, half_width, half_length, 0.45 * metre)
    margin = _box(across, along, half_width + 0.4 * metre, half_length + 0.6 * metre, 0.5 * metre)
    if (ground.mask[margin > 0] == CAR_INDEX).any():
        return False
    shift = Pose(pose.y + 1.1 * metre * sun[0], pose.x + 1.1 * metre * sun[1], pose.heading)
    ground.shade(_box(*_local(ground, shift), half_width, half_length, 0.45 * metre) * (1 - body))
    paint = np.asarray(PAINTS[int(source.integers(len(PAINTS)))], np.float32)
    round_off = 1 - 0.25 * (across / half_width) ** 2
    ground.paint(body, paint[:, None, None] * round_off)
    ground.paint(_box(across, along + 0.15 * half_length, 0.82 * half_width, 0.58 * half_length, 0.3 * metre), GLASS)
    roof = _box(across, along + 0.18 * half_length, 0.72 * half_width, 0.36 * half_length, 0.2 * metre)
    ground.paint(roof, 1.05 * paint[:, None, None] * np.ones_like(roof))
    ground.lift(body)
    ground.mask[body >= 0.5] = CAR_INDEX
    return True


def frame(params: DroneParams, name: str) -> tuple[Array32, NDArray[np.uint8]]:
    """The scene `name`: linear sRGB (3, y, x) float32, and its car mask (y, x) uint8."""
    source = rng.generator(params.seed, name, "scene")
    shape, metre = (params.height_px, params.width_px), 1 / params.ground_m
    ground = blank(shape)
    azimuth = float(source.uniform(0, 2 * np.pi))
    sun = (float(np.sin(azimuth)), float(np.cos(azimuth)))
    _fields(ground, source)
    ways = roads(params, source)
    for way in ways:
        _road(ground, way, metre)
    for pose in _free(ground, ways, HOUSES_TRIED, 10 * metre, source):
        _house(ground.near(pose.y, pose.x, 15 * metre), pose, metre, sun, source)
    for _ in range(params.cars):
        pose = _parked(params, ways, source)
        _car(ground.near(pose.y, pose.x, 5 * metre), pose, metre, sun, source)
    for pose in _free(ground, ways, TREES_TRIED, 4.5 * metre, source):
        _tree(ground.near(pose.y, pose.x, 10 * metre), pose, metre, sun, source)
    light = (SKY_LIGHT + (1 - SKY_LIGHT) * ground.sun) * np.float32(SUNLIGHT)
    return np.asarray(ground.colour * light, dtype=np.float32), ground.mask
