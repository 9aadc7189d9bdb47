"""Bayer geometry: a mosaic as four quarter planes on one lattice, and neighbours on it.

All demosaicing is written for RGGB. The other three patterns are RGGB seen in a mirror, so a mosaic of even
sides is flipped to bring red to (0, 0), and the result is flipped back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.contracts import Pattern
from tasks.isp.arrays import Array, namespace
from tasks.isp.operator import Place, Plane, crop, margin_px
from tasks.isp.scratch import Take, scratch

HALF, THIRD, QUARTER, EIGHTH = 1 / 2, 1 / 3, 1 / 4, 1 / 8

Neighbour = Callable[[int, int], Array]


@dataclass(frozen=True)
class Quads:
    """The quarter planes (…, quads) of an RGGB mosaic, flattened from (…, rows, columns).

    In quad (i, j): `r` at (2i, 2j), `g1` right of it, `g2` below it, `b` at (2i+1, 2j+1).
    """

    r: Array
    g1: Array
    g2: Array
    b: Array
    columns: int

    def near(self, plane: Array) -> Neighbour:
        """`f(dy, dx)`: `plane` as seen from the quad at that distance, each in {-1, 0, 1}.

        Beyond the array stands its other end, beyond a row the next one: such values never leave the halo.
        """
        guard, size = self.columns + 1, plane.shape[-1]
        padded = namespace(plane).concatenate([plane[..., size - guard :], plane, plane[..., :guard]], -1)

        def at(dy: int, dx: int) -> Array:
            start = guard + dy * self.columns + dx
            return padded[..., start : start + size]

        return at


def turned(pattern: Pattern, place: Place) -> tuple[int, ...]:
    """The axes of (y, x) that must be flipped to bring red of an even-sided mosaic at `place` to (0, 0)."""
    y, x = divmod(pattern.index("R"), 2)
    odd = (y + place.y_px) % 2, (x + place.x_px) % 2
    return tuple(axis for axis, flip in zip((-2, -1), odd, strict=True) if flip)


def flipped(image: Array, axes: tuple[int, ...]) -> Array:
    """`image` in the mirror along `axes`."""
    return namespace(image).flip(image, axes) if axes else image


def split(mosaic: Array) -> Quads:
    """The quarter planes of an RGGB `mosaic` (…, y, x) with even sides. Raises ValueError for odd sides."""
    if mosaic.shape[-2] % 2 or mosaic.shape[-1] % 2:
        raise ValueError(f"a mosaic of {tuple(mosaic.shape)} has half quads; expected even sides")
    front = tuple(mosaic.shape[:-2])
    r, g1, g2, b = (mosaic[..., y::2, x::2].reshape((*front, -1)) for y in (0, 1) for x in (0, 1))
    return Quads(r, g1, g2, b, mosaic.shape[-1] // 2)


Channel = tuple[Array, Array, Array, Array]
"""One colour at the sites r, g1, g2, b."""


def _interleaved(channel: Channel, columns: int, margin: int) -> Array:
    """(…, y, x) of one colour, less `margin` quads on each side."""
    xp = namespace(channel[0])
    front, rows = tuple(channel[0].shape[:-1]), channel[0].shape[-1] // columns
    inner = (..., slice(margin, rows - margin), slice(margin, columns - margin))
    r, g1, g2, b = (site.reshape((*front, rows, columns))[inner] for site in channel)
    quads = xp.stack([xp.stack([r, g1], -1), xp.stack([g2, b], -1)], -3)
    return quads.reshape((*front, 2 * r.shape[-2], 2 * r.shape[-1]))


def join(channels: tuple[Channel, Channel, Channel], columns: int, halo_px: int) -> Array:
    """Interleave colours known at all four sites to RGB (…, 3, y, x), less an even `halo_px` on each side."""
    planes = [_interleaved(channel, columns, halo_px // 2) for channel in channels]
    return namespace(planes[0]).stack(planes, -3)


def demosaic(mosaic: Array, place: Place, kernel: Callable[[Quads], tuple[Channel, ...]], halo_px: int) -> Array:
    """Run an RGGB `kernel` on a mosaic (…, y, x) of any pattern; RGB (…, 3, y, x), less `halo_px` on each side."""
    axes = turned(place.calibration.pattern, place)
    quads = split(flipped(mosaic, axes))
    red, green, blue = kernel(quads)
    return flipped(join((red, green, blue), quads.columns, halo_px), axes)


Compiled = Callable[[Plane, int, Plane, Take], None]
"""Takes quarter planes (4, quads) and their columns, writes (12, quads): red, green, blue at the sites r, g1, g2, b."""


def demosaic_into(image: Plane, out: Plane, place: Place, kernel: Compiled, halo_px: int) -> None:
    """As `demosaic`, by a compiled `kernel`; `out` may be smaller by more than the halo."""
    from tasks.isp.compiled import quarters

    spare = margin_px(image, out) - halo_px
    mosaic = crop(image, spare)
    axes = turned(place.calibration.pattern, place.inside(spare))
    columns = mosaic.shape[1] // 2
    with scratch() as take:
        quads, channels = take(4, mosaic.size // 4), take(12, mosaic.size // 4)
        quarters.split(flipped(mosaic, axes), quads)
        kernel(quads, columns, channels, take)
        quarters.join(channels, columns, halo_px // 2, flipped(out, axes))
