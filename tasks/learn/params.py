"""Params of a task model, and of the stage `learn`: one section a task, `learn.microscopy` and `learn.drone`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params import Params

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class ResNet18Params(Params):
    """An 18-layer residual net (He et al., CVPR 2016); `inplanes` (64, 128, 256, 512) is the published one."""

    name: Literal["resnet18"]
    inplanes: tuple[Positive, Positive, Positive, Positive]
    """Channels of the four stages."""


class UNetPlusPlusParams(Params):
    """U-Net++ (Zhou et al., DLMIA 2018), with instance norm, as MONAI builds it."""

    name: Literal["unet_plus_plus"]
    features: tuple[Positive, Positive, Positive, Positive, Positive, Positive]
    """Channels of the five levels, finest first, and of the last upsampling."""


class ModuleParams(Params):
    """A user's own network: what a callable on the import path returns.

    It takes views (n, 3, y, x) float32 in [0, 1], standardises them itself where it wants to, and gives logits
    (n, classes) or (n, classes, y, x).
    """

    name: Literal["module"]
    path: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """`package.module:callable`."""
    arguments: Mapping[str, int | float | str | bool]
    """Keywords that the callable is given."""


ArchitectureParams = Annotated[ResNet18Params | UNetPlusPlusParams | ModuleParams, Field(discriminator="name")]


class AugmentParams(Params):
    """Common augmentations of the training tiles; geometry is exact, so that masks stay class indices."""

    flips: bool
    quarter_turns: bool
    brightness_fraction: Fraction
    """The view is multiplied by a factor in [1 - f, 1 + f]."""
    contrast_fraction: Fraction
    """Distances from the view's mean are multiplied by a factor in [1 - f, 1 + f]."""


class TrainParams(Params):
    """Adam (Kingma & Ba, ICLR 2015) over shuffled batches, for a fixed number of epochs."""

    seed: int
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_tiles: Positive
    epochs: Positive


class LossParams(Params):
    """Weights of the terms of the loss; see `tasks.learn.losses`."""

    cross_entropy: Annotated[float, Field(ge=0)]
    dice: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.cross_entropy + self.dice == 0:
            raise ValueError("one weight must be above 0")
        return self


class TaskParams(Params):
    """One task model: what it sees, what it is, how it is trained."""

    task: Literal["classification", "segmentation"]
    classes: tuple[str, ...]
    """In the order of the network's outputs; of a segmentation, the first is mask value 0, taken as annotated
    background: no pixel is unknown."""
    window_px: Positive | None
    """Side of the window around a tile's centre that the network sees; null: the whole tile."""
    input_px: Positive
    """Side of the square views that the network sees; tiles or their windows are resized by area."""
    architecture: ArchitectureParams
    device: Literal["cpu", "cuda"]
    """Where torch computes; part of the params, for a GPU's bytes are not a CPU's."""
    train: TrainParams
    loss: LossParams
    augment: AugmentParams
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Level of the intervals."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be two or more different names")
        if self.task == "classification" and self.loss.dice:
            raise ValueError("the Dice term is for segmentation")
        if self.task == "segmentation" and self.window_px is not None:
            raise ValueError("a window is for classification: a segmentation is scored on whole tiles")
        fits = {"classification": "resnet18", "segmentation": "unet_plus_plus"}[self.task]
        if self.architecture.name not in (fits, "module"):
            raise ValueError(f"{self.architecture.name} cannot do {self.task}")
        return self


class LearnParams(TaskParams):
    """The stage `learn`: a task model on the views of one data model."""

    variant: str
    """The data model (ISP variant) whose views it is trained on."""
    validate_every_epochs: Positive
    figure_tiles: Positive
    """How many test tiles the overlay of a segmentation shows."""


def foreground(task: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Class indices that are scored: all of a classification, all but the first of a segmentation."""
    return tuple(range(1 if task == "segmentation" else 0, len(classes)))
