"""Params of the stages encoder, segmenter and evaluate."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params import Params

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Network(Params):
    """An architecture by name and what it takes; see tasks.evaluation.networks."""

    name: Literal["residual", "resnet18", "basic_unet"]
    widths: tuple[Count, ...]


class Augmentation(Params):
    """How far two views of a tile may differ; 0 leaves a property alone."""

    crop_px: Count
    brightness: Share
    """Common gain within 1 +- this."""
    contrast: Share
    """Gain about the tile's mean within 1 +- this."""
    stain: Share
    """Gain of each channel's optical density within 1 +- this."""


class Training(Params):
    """What every training here needs."""

    seed: int
    steps: Count
    batch_tiles: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    checkpoint_steps: Count


class EncoderParams(Params):
    """Momentum contrast on the training tiles of a slides store."""

    network: Network
    augmentation: Augmentation
    training: Training
    projection_features: Count
    queue_keys: Count
    momentum: Share
    temperature: Positive


class SegmenterParams(Params):
    """A U-Net on the annotated training tiles of a slides store."""

    network: Network
    augmentation: Augmentation
    training: Training
    min_coverage: Share
    """Tiles with a smaller annotated fraction are left out."""


class EvaluateParams(Params):
    """Sizes and draws of the evaluation."""

    seed: int
    batch_tiles: Count
    max_tiles: Count
    """At most so many tiles a set; all sets get the same number."""
    max_steering_tiles: Count
    """At most so many real held-out tiles under the segmenter: every pair of tile and mask is counted."""
    max_steering_canvases: Annotated[int, Field(ge=2)]
    """The same for synthetic canvases."""
    steering_share: Share
    """Share of the ceiling (what own masks gain over shuffled ones on real tiles) that counts as steered."""
    block_px: Count
    """Side of the blocks of a slide whose tiles are taken to depend on each other."""
    frechet_dimensions: Count
    """Principal components of the real training features that the Fréchet distance sees."""
    neighbours: Count
    """k of precision, recall, density and coverage."""
    nearest_originals: Count
    """Nearest training tiles listed for each synthetic tile."""
    gallery_rows: Count
    """Synthetic tiles shown with their nearest training tiles: those most like a copy."""
    draws: Count
    permutations: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    blur_sigma_px: Positive
    alarm_quantile: Annotated[float, Field(gt=0, lt=1)]
    """Share of training tiles held back that a distance ratio may flag as a copy (calibrates the copy test)."""
