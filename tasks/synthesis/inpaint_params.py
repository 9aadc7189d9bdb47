"""Params of `inpaint`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params import Params
from tasks.synthesis.params import Count, Fraction, NonNegative, SamplerParams, SolverParams

SAME = "same"
"""Instead of a class's name: the class that is annotated there."""


class InpaintParams(Params):
    """Section `inpaint`."""

    seed: int
    region: Literal["largest", "annotated"]
    """What of a tile is made again: its largest connected area of one class, or all that is annotated."""
    region_fractions: tuple[Fraction, Fraction]
    """Least and most part of a tile that its region may be, where tiles are not named: the rest is what it must fit."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    """What the region is to show, one sample each: names of classes, or `same`."""
    guidances: Annotated[tuple[NonNegative, ...], Field(min_length=1)]
    """w of thesis A, eq. 2.7, one sample each, from the same noise."""
    resample: Count
    """How often each step is taken, with a jump back between (RePaint's r); 1 = no jumps."""
    feather_px: Annotated[int, Field(ge=0)]
    """Width of the crossfade from the original, inside the region; none where another class is asked than annotated."""
    sampler: SolverParams

    @model_validator(mode="after")
    def _jumps_are_ddims(self) -> Self:
        if self.resample > 1 and self.sampler.solver != "ddim":
            raise ValueError("resample > 1 goes with solver ddim")
        return self

    def sampler_at(self, guidance: float) -> SamplerParams:
        """The sampler with one of the guidances."""
        return SamplerParams(**self.sampler.model_dump(), guidance=guidance, record=False)
