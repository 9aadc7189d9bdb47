"""Params of `autoencoder`, `denoiser`, `synthesise` and `inpaint`, and what `model.json` holds."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params import Params

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class FitParams(Params):
    """How weights are fitted: Adam with a one-cycle learning rate, and an exponential moving average of them."""

    batch: Count
    """Tiles a step, of all processes together."""
    accumulate: Count
    """Parts in which a process takes its tiles of a step, one after the other: less memory, the same gradient."""
    steps: Count
    max_learning_rate: Positive
    warmup_fraction: Annotated[float, Field(gt=0, lt=1)]
    """Part of the steps over which the learning rate rises."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every_steps: Count
    precision: Literal["float32", "bfloat16", "float16"]
    """Of the forward pass (autocast); weights, their average and the checkpoint stay float32."""
    compile: bool
    """Whether `torch.compile` makes the forward pass; asks for a C++ compiler on the CPU."""
    device: Literal["cpu", "cuda"]
    processes: Count
    """That train together on this machine, each with its part of the batch: on `cuda` one a GPU."""

    @model_validator(mode="after")
    def _tiles_for_all(self) -> Self:
        if self.processes * self.accumulate > self.batch:
            raise ValueError(
                f"{self.processes} processes x {self.accumulate} parts, more than the batch's {self.batch}"
            )
        return self


class PerceptualParams(Params):
    """Distance between features of a frozen encoder (`tasks.synthesis.perceptual`), as a term of a loss."""

    weight: NonNegative
    """0 leaves the term, and the encoder, out."""


class AdversarialParams(Params):
    """A discriminator of patches, trained in turn (`tasks.synthesis.adversarial`), as a term of a loss."""

    weight: NonNegative
    """0 leaves the term, and the discriminator, out."""
    feature_weight: NonNegative
    """Of the L1 distance between the discriminator's own features, beside `weight`."""
    start_step: Annotated[int, Field(ge=0)]
    """Step from which on it is trained and counts."""
    learning_rate: Positive
    channels: Count
    """Of its first layer; each further one has twice as many."""
    layers: Count
    """Of convolutions between the first and the last; all but one of them halve the sides."""


class AutoencoderArchitecture(Params):
    """MONAI `AutoencoderKL` on space-to-depth pixels; factor = patch_px * 2 ** (len(channels) - 1)."""

    patch_px: Count
    """Side of the pixel blocks that become channels before the first convolution; 1 = none."""
    channels: tuple[Count, ...]
    blocks_per_level: Count
    norm_groups: Count
    latent_channels: Count
    linear_path: bool
    """Beside the convolutions, a linear projection of factor x factor pixels to the latent and back, which begins as
    the best one for the training tiles (`tasks.synthesis.linear`); the convolutions learn only what it misses."""
    whitening: Fraction
    """Of a linear path at its start: components keep their deviation to the power 1 - whitening. 1 makes all equal;
    0 keeps their proportions, so that diffusion settles the coarse before the fine."""
    first_latent_noise: Positive
    """Deviation of the latents' noise at the start of a linear path, where the latents' is 1."""

    @property
    def factor(self) -> int:
        """Pixels a latent pixel, along one axis."""
        return int(self.patch_px * 2 ** (len(self.channels) - 1))


class AutoencoderParams(Params):
    """Section `train.autoencoder`."""

    seed: int
    architecture: AutoencoderArchitecture
    fit: FitParams
    kl_weight: NonNegative
    gradient_weight: NonNegative
    """Weight of the L1 distance between finite differences, which keeps edges."""
    perceptual: PerceptualParams
    adversarial: AdversarialParams
    held_out_tiles: Count
    """How many held-out tiles the reconstruction metrics use, at most."""


class DenoiserArchitecture(Params):
    """MONAI `DiffusionModelUNet` with scaled-dot-product attention at the levels that `attention` marks."""

    channels: tuple[Count, ...]
    attention: tuple[bool, ...]
    blocks_per_level: Count
    norm_groups: Count
    head_channels: Count
    heads: Count | None
    """Of every attention layer; null: as many as its channels hold of `head_channels`."""

    @property
    def multiple(self) -> int:
        """What the sides of a window must be multiples of: its levels halve it so often."""
        return int(2 ** (len(self.channels) - 1))


class DiffusionParams(Params):
    """The forward process and what the network's last layer stands for."""

    timesteps: Count
    schedule: Literal["linear", "scaled_linear", "cosine", "flow"]
    prediction: Literal["epsilon", "velocity", "flow"]
    """What the last layer gives; a loss on epsilon but for `flow`, whose loss is on the layer itself."""

    @model_validator(mode="after")
    def _flow_goes_with_flow(self) -> Self:
        if (self.schedule == "flow") != (self.prediction == "flow"):
            raise ValueError("schedule flow goes with prediction flow, and with no other")
        return self


class DenoiserParams(Params):
    """Section `train.denoiser`."""

    seed: int
    architecture: DenoiserArchitecture
    diffusion: DiffusionParams
    fit: FitParams
    p_unconditional: Fraction
    """Probability of a step on unlabelled tiles with the null condition (thesis A, algorithm 1 and table 5.1)."""
    orientations: Annotated[int, Field(ge=1, le=8)]
    """How many of the eight flips and quarter turns of each tile are encoded and trained on."""
    mask_reduction: Count
    """The training slides' annotations are kept with the model at one pixel in this many, for `synthesise`."""
    held_out_tiles: Count


class SolverParams(Params):
    """How a canvas is sampled, whatever it is told."""

    steps: Count
    solver: Literal["ddim", "dpm_solver_pp"]
    """With a flow, `ddim` is Euler's method; see tasks.synthesis.schedule."""
    eta: Fraction
    """Share of fresh noise in each step of `ddim`; 0 is deterministic."""
    law: Literal["random", "grid"]
    """Where windows lie: as thesis A draws them, or on a shifted grid near the tile minimum."""
    batch_windows: Count
    """Windows that the network gets at a time; with w > 0 it sees twice as many."""
    device: Literal["cpu", "cuda"]
    """`cuda` uses all GPUs that are visible."""

    @model_validator(mode="after")
    def _fresh_noise_is_ddims(self) -> Self:
        if self.eta > 0 and self.solver != "ddim":
            raise ValueError("eta > 0 goes with solver ddim")
        return self


class SamplerParams(SolverParams):
    """How a canvas is sampled; stated once for the stage and for the command."""

    guidance: NonNegative
    """w of thesis A, eq. 2.7; 0 is conditional only."""
    record: bool
    """Keep the canvas after every step, so that a crop can be made again alone, from its neighbourhood. Not of masks,
    which are kept whole."""


class AutoencoderModel(Params):
    """`model.json` of an autoencoder's folder."""

    kind: Literal["autoencoder"]
    architecture: AutoencoderArchitecture
    latent_mean: tuple[float, ...]
    """Of each latent channel over the training tiles."""
    latent_std: Positive
    """Of all channels together, about their means; latents are used less the mean, over this."""
    tile_px: Count
    pixel_size_um: Positive | None


class DenoiserModel(Params):
    """`model.json` of a denoiser's folder."""

    kind: Literal["denoiser"]
    architecture: DenoiserArchitecture
    diffusion: DiffusionParams
    classes: tuple[str, ...]
    """Names of the mask's indices 1, 2, …"""
    latent_channels: Count
    window_latent_px: Count
    """Side of the training tiles in latent pixels."""
    autoencoder: str
    """Recipe of the autoencoder whose latents it was trained on."""


class GeneratedMaskParams(Params):
    """How masks are generated; used where `source` is `generated`."""

    subtypes: tuple[str, ...]
    """Context prompts of the samples, taken in turn; the empty name is none. No names: all that the model knows."""
    thinnest_px: Annotated[int, Field(ge=0)]
    """Slivers between regions that are thinner become unknown; see tasks.synthesis.cleaning."""
    sampler: SamplerParams


class MaskParams(Params):
    """Where masks come from: windows of the real annotations, or the mask denoiser."""

    source: Literal["annotations", "generated"]
    zoom: tuple[Positive, Positive]
    """Range of magnifications that a window of the annotations is drawn at (log-uniform); 1 = as annotated."""
    minimum_coverage: Fraction
    """Least annotated fraction of a mask; the best of `candidates` is taken when none reaches it."""
    candidates: Count
    smallest_region_px: Annotated[int, Field(ge=0)]
    """Regions of fewer pixels become unknown."""
    generated: GeneratedMaskParams


class SynthesiseParams(Params):
    """Section `synthesise`."""

    seed: int
    count: Count
    sizes_px: tuple[tuple[Count, Count], ...]
    """(height, width) of the samples, taken in turn."""
    sampler: SamplerParams
    masks: MaskParams


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
