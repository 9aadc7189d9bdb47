"""OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5/): how an image is laid out, and the metadata that say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

KIND = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


@dataclass(frozen=True)
class Image:
    """Layout of an OME-Zarr image: `axes` such as "cyx", level-0 `shape`, and what one pixel measures.

    Axes are a part of "tczyx" that ends in "yx".
    """

    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size_um: float | None
    levels: int
    chunk_px: int
    shard_px: int
    channels: tuple[tuple[str, str], ...] = ()
    """(name, RGB hex) of each channel, for viewers."""
    channel_max: float = 255.0
    label: bool = False
    """A label image: levels by nearest pixel instead of area averaging, and `image-label` metadata."""
    attributes: Mapping[str, Any] | None = None
    z_um: float | None = None
    t_s: float | None = None
    chunk_shape_px: tuple[int, int] | None = None
    """(height, width) of the chunks where they are not squares of `chunk_px`: the tiles of a source."""
    level0_codec: Literal["default", "jpeg"] = "default"
    """With "jpeg" level 0 holds whole JPEG streams (tasks/jpeg.py), RGB tiles of `chunk_shape_px`."""
    planes_together: bool = True
    """All planes of a "cyx" image stand in one chunk, as colours are read together. Of no meaning for other axes."""

    @property
    def lead(self) -> tuple[int, ...]:
        """Sides of a chunk, and of a shard, along the axes before y and x."""
        together = self.planes_together and self.axes == "cyx"
        return tuple(self.shape[:-2]) if together else (1,) * (len(self.shape) - 2)

    @property
    def chunk_yx(self) -> tuple[int, int]:
        return self.chunk_shape_px or (self.chunk_px, self.chunk_px)

    @property
    def shard_yx(self) -> tuple[int, int]:
        """`shard_px` square; of `chunk_shape_px` the largest doubling that `shard_px` holds."""
        if self.chunk_shape_px is None:
            return self.shard_px, self.shard_px
        height, width = self.chunk_shape_px
        doublings = max(0, (self.shard_px // max(height, width)).bit_length() - 1)
        return height << doublings, width << doublings

    @property
    def depth(self) -> int:
        """How many levels below level 0 hold a shard for each of its shards: log2(shard / chunk)."""
        sides = list(zip(self.shard_yx, self.chunk_yx, strict=True))
        depth = 0
        while all(shard % (chunk << depth + 1) == 0 for shard, chunk in sides):
            depth += 1
        return depth


def check(image: Image) -> None:
    """Raises `ValueError` where the layout contradicts itself: a bug of the caller, for it never comes from a file."""
    ordered = "".join(axis for axis in "tczyx" if axis in image.axes)
    if image.axes != ordered or not ordered.endswith("yx") or len(image.axes) != len(image.shape):
        raise ValueError(f"axes {image.axes!r} of shape {image.shape}, not a part of 'tczyx' that ends in 'yx'")
    if image.channels and "c" in image.axes and len(image.channels) != image.shape[image.axes.index("c")]:
        raise ValueError(f"{len(image.channels)} channels named, {image.shape[image.axes.index('c')]} there")
    if image.level0_codec == "jpeg" and (image.axes, image.lead, image.dtype) != ("cyx", (3,), "uint8"):
        raise ValueError(f"JPEG chunks of {image.axes} {image.dtype}, {image.lead} a chunk; not of RGB cyx uint8")


def level_shape(shape: Sequence[int], level: int) -> tuple[int, ...]:
    """Shape of pyramid level `level`: the last two axes halved, rounding up, `level` times."""
    return (*shape[:-2], *(-(-n // 2**level) for n in shape[-2:]))


def level_grid(image: Image, level: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(chunk, shard) shapes of a level, before they are cut to its shape.

    Down to `depth` the shards shrink with the level, so that one shard of level 0 is the source of just one
    shard of each; deeper levels, which are small, have whole shards again.
    """
    shrink = level if level <= image.depth else 0
    return (*image.lead, *image.chunk_yx), (*image.lead, *(side >> shrink for side in image.shard_yx))


def pyramid_levels(height: int, width: int, smallest_px: int) -> int:
    """How many levels bring the longer side to at most `smallest_px`."""
    levels = 1
    while -(-max(height, width) // 2 ** (levels - 1)) > smallest_px:
        levels += 1
    return levels


def _steps(image: Image) -> dict[str, tuple[float | None, str]]:
    """What one step along each axis measures, and in which UDUNITS unit; None where it is not known."""
    plane = (image.pixel_size_um, "micrometer")
    return {"t": (image.t_s, "second"), "c": (None, ""), "z": (image.z_um, "micrometer"), "y": plane, "x": plane}


def _multiscales(name: str, image: Image) -> dict[str, Any]:
    steps = _steps(image)
    axes = [{"name": a, "type": KIND[a], **({"unit": steps[a][1]} if steps[a][0] else {})} for a in image.axes]
    datasets = []
    for level in range(image.levels):
        sizes = [(steps[a][0] or 1.0, 2.0**level if a in "yx" else 1.0) for a in image.axes]
        scale = [size * factor for size, factor in sizes]
        # The centre of a level's first pixel lies (2^level - 1)/2 level-0 pixels inside the image.
        shift = [0.0 if image.label else size * (factor - 1) / 2 for size, factor in sizes]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {"name": name, "axes": axes, "datasets": datasets}


def document(name: str, image: Image) -> dict[str, Any]:
    """The attribute `ome` of an image group. `omero` lists a channel for each index of axis c, if there is one."""
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [_multiscales(name, image)]}
    if image.label:
        ome["image-label"] = {"source": {"image": "../../"}}
    if image.channels and "c" in image.axes:
        window = {"min": 0.0, "max": image.channel_max, "start": 0.0, "end": image.channel_max}
        ome["omero"] = {
            "channels": [{"label": n, "color": c, "active": True, "window": window} for n, c in image.channels]
        }
    return ome
