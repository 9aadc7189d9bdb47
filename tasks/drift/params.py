"""Params of the drift controls; one section a task in each of `drift_synthesis`, `drift_forensics` and
`drift_optimisation`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.drift.corruptions import NAMES
from tasks.isp.parametrised import GROUPS
from tasks.learn.params import Positive, TaskParams
from tasks.params import Params

Share = Annotated[float, Field(gt=0, lt=1)]
Above = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]
Severity = Annotated[int, Field(ge=1, le=5)]
Group = Literal["black_level", "demosaic", "white_balance", "colour_matrix", "sharpening", "blur", "gamma"]
Corruption = Annotated[str, Field(pattern=f"^({'|'.join(NAMES)})$")]


class ScoringParams(Params):
    """Under what a task model is tested, and how sure one may be of it."""

    data_models: Annotated[tuple[str, ...], Field(min_length=2)]
    """Names in `develop.variants`: the test environments and, where models are trained, the training ones."""
    corruptions: tuple[Corruption, ...]
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)]
    shown_severity: Severity
    """Stands in the matrix and in the comparison of drops."""
    resamples: Positive
    """Bootstrap resamples of groups."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.shown_severity not in self.severities:
            raise ValueError("shown_severity must be one of severities")
        return self


class SynthesisParams(TaskParams):
    """Drift synthesis: train on each data model, test on all of them and on corruptions."""

    intensity: Above
    """Exposure whose tiles are used."""
    scoring: ScoringParams


class ForensicsParams(Params):
    """Drift forensics: adversarial search over the parametrised data model (thesis A, eq. 3.33)."""

    seed: int
    data_model: str
    """The static data model that the parametrised one starts from, and whose task model is searched: bi,s,ga."""
    channels: Literal["luma", "yuv", "rgb"]
    """What sharpening and denoising work on; as in the static data model."""
    intensity: Above
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    """Searched one by one; all of theta jointly comes beside them."""
    lambdas: Annotated[tuple[AtLeast0, ...], Field(min_length=2)]
    epochs: Positive
    learning_rate: Above
    """Of Adam; in units of each parameter's scale (see tasks/drift/forensics)."""
    batch_tiles: Positive
    search_tiles: Positive | None
    """At most so many tiles are searched with, alike from each class; null: all."""
    loss_stated: Share
    """The signature's ranges keep the main metric within this of its value at theta-stat."""
    range_steps: Positive
    """Steps of bisection for each limit."""
    range_draws: Positive
    """Random settings inside a range that the confirmation evaluates."""
    confidence: Share
    shown_tiles: Positive

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.groups)) != len(self.groups) or not set(self.groups) <= set(GROUPS):
            raise ValueError("groups must be different groups of theta")
        return self


class SettingsParams(Params):
    """The settings of drift optimisation: what is learned of the data model, at which intensities."""

    channels: Literal["luma", "yuv", "rgb"]
    intensities: Annotated[dict[str, Above], Field(min_length=1)]
    """Name (`low`, `high`): exposure relative to full; tiles of that intensity must be there."""
    raw_intensities: tuple[str, ...]
    """Names of `intensities` under which the task model is also trained directly on raw values."""
    data_model_learning_rate: Above
    """Of Adam on the data model's parameters in the learned setting."""
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    """What of theta is learned."""
    validate_every_epochs: Positive
    shown_tiles: Positive


class OptimisationParams(TaskParams, SettingsParams):
    """Drift optimisation: the data model learned with the task model, frozen, or left out (thesis A, 3.3.3)."""
