"""Params of the stage `mask_denoiser`, and what its `model.json` holds."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params import Params
from tasks.synthesis.params import (
    Count,
    DenoiserArchitecture,
    DiffusionParams,
    FitParams,
    Fraction,
    Positive,
    SamplerParams,
)


class MaskComparison(Params):
    """How label frequencies of generated masks are compared with those of the annotations (thesis A, fig. 5.7)."""

    sides_px: tuple[Count, ...]
    """Of the square masks, in pixels of the slides."""
    masks: Count
    """Generated, and cut from the annotations, of each subtype and side."""
    thinnest_px: Annotated[int, Field(ge=0)]
    smallest_region_px: Annotated[int, Field(ge=0)]
    sampler: SamplerParams
    draws: Count
    """Of the bootstrap and of the permutations, which both resample masks."""
    confidence: Annotated[float, Field(gt=0, lt=1)]


class MaskDenoiserParams(Params):
    """Section `train.mask_denoiser`."""

    seed: int
    architecture: DenoiserArchitecture
    diffusion: DiffusionParams
    fit: FitParams
    p_unconditional: Fraction
    """Probability that a window is learnt under the null prompt; one of an unknown subtype always is."""
    reduction: Count
    """Masks are learnt and sampled at one pixel in this many along an axis."""
    window_px: Count
    """Side of the training windows in reduced pixels."""
    signal: Positive
    """Value of a pixel's class, the others have its negative, where the noise's deviation is 1: large regions show
    through much noise, and only a small signal makes the sampler's steps settle them one after the other."""
    minimum_coverage: Fraction
    """Least annotated fraction of a window; the best of `candidates` is taken when none reaches it."""
    candidates: Count
    held_out_windows: Count
    comparison: MaskComparison

    @model_validator(mode="after")
    def _steps_are_timesteps(self) -> Self:
        if self.comparison.sampler.steps > self.diffusion.timesteps:
            raise ValueError(f"{self.comparison.sampler.steps} sampling steps, {self.diffusion.timesteps} timesteps")
        return self


class MaskDenoiserModel(Params):
    """`model.json` of a mask denoiser's folder."""

    kind: Literal["mask_denoiser"]
    architecture: DenoiserArchitecture
    diffusion: DiffusionParams
    classes: tuple[str, ...]
    """Names of the mask's indices 1, 2, …"""
    subtypes: tuple[str, ...]
    """Context prompts, in the order of their planes."""
    window_px: Count
    reduction: Count
    signal: Positive
