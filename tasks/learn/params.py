"""Params of the stage `learn`: one section a task, `learn.microscopy` and `learn.drone`."""

from collections.abc import Sequence
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


ArchitectureParams = Annotated[ResNet18Params | UNetPlusPlusParams, Field(discriminator="name")]


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


class LearnParams(Params):
    """One task model: what it sees, what it is, how it is trained and judged."""

    task: Literal["classification", "segmentation"]
    variant: str
    """The data model (ISP variant) whose views it is trained on."""
    classes: tuple[str, ...]
    """In the order of the network's outputs; of a segmentation, the first is mask value 0, taken as annotated
    background: no pixel is unknown."""
    input_px: Positive
    """Side of the square views that the network sees; tiles are resized by area."""
    architecture: ArchitectureParams
    train: TrainParams
    loss: LossParams
    augment: AugmentParams
    validate_every_epochs: Positive
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Level of the intervals in metrics.json."""
    figure_tiles: Positive
    """How many test tiles the overlay of a segmentation shows."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be two or more different names")
        if self.task == "classification" and self.loss.dice:
            raise ValueError("the Dice term is for segmentation")
        if (self.task == "segmentation") != (self.architecture.name == "unet_plus_plus"):
            raise ValueError(f"{self.architecture.name} cannot do {self.task}")
        return self


def foreground(task: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Class indices that are scored: all of a classification, all but the first of a segmentation."""
    return tuple(range(1 if task == "segmentation" else 0, len(classes)))
