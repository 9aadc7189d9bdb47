"""Params of the stage `develop`: what all variants share, and one chain a variant.

A run reads `develop.common` and `develop.variants.<its own>` and nothing else, so that DVC reruns one variant
when that variant's line changes.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tasks.isp.chain import Chain, parse_chain
from tasks.isp.engine import Tile
from tasks.params import Params, section

Intensity = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=16)]


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or len(set(values)) != len(values):
        raise ValueError("at least one intensity, and none twice")
    return values


class Common(Params):
    """Section `develop.common`."""

    intensities: Annotated[tuple[Intensity, ...], AfterValidator(_distinct)]
    """Rows of the raw store with these intensities are developed."""
    tile_height_px: Side
    tile_width_px: Side
    """Size of the pieces that are worked on; of no influence on values."""

    @property
    def tile(self) -> Tile:
        return self.tile_height_px, self.tile_width_px


def load_variant(path: Path, variant: str) -> Chain:
    """The chain under `develop.variants.<variant>` of the YAML file at `path`. Raises `ParamsError`."""
    name = f"develop.variants.{variant}"
    return parse_chain(section(path, name), f"{path}#{name}")
