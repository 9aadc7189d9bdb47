"""Params of the stages `autoencoder`, `denoiser` and `synthesise`, and what stands in their models' `model.json`."""

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
    """Tiles a step."""
    steps: Count
    max_learning_rate: Positive
    warmup_fraction: Annotated[float, Field(gt=0, lt=1)]
    """Part of the steps over which the learning rate rises."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every_steps: Count


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
    held_out_tiles: Count
    """How many held-out tiles the reconstruction metrics use, at most."""


class DenoiserArchitecture(Params):
    """MONAI `DiffusionModelUNet` with scaled-dot-product attention at the levels that `attention` marks."""

    channels: tuple[Count, ...]
    attention: tuple[bool, ...]
    blocks_per_level: Count
    norm_groups: Count
    head_channels: Count


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


class SamplerParams(Params):
    """How a canvas is sampled; stated once for the stage and for the command."""

    steps: Count
    solver: Literal["ddim", "dpm_solver_pp"]
    """With a flow, `ddim` is Euler's method; see tasks.synthesis.schedule."""
    eta: Fraction
    """Share of fresh noise in each step of `ddim`; 0 is deterministic."""
    law: Literal["random", "grid"]
    """Where windows lie: as thesis A draws them, or on a shifted grid near the tile minimum."""
    guidance: NonNegative
    """w of thesis A, eq. 2.7; 0 is conditional only."""
    batch_windows: Count
    """Windows that the network gets at a time; with w > 0 it sees twice as many."""
    record: bool
    """Keep the canvas after every step, so that a crop can be made again alone, from its neighbourhood."""
    device: Literal["cpu", "cuda"]
    """`cuda` uses all GPUs that are visible."""

    @model_validator(mode="after")
    def _fresh_noise_is_ddims(self) -> Self:
        if self.eta > 0 and self.solver != "ddim":
            raise ValueError("eta > 0 goes with solver ddim")
        return self


class MaskParams(Params):
    """How masks are cut from the real annotations."""

    zoom: tuple[Positive, Positive]
    """Range of magnifications that a cut window is drawn at (log-uniform); 1 = as annotated."""
    minimum_coverage: Fraction
    """Least annotated fraction of a mask; the best of `candidates` is taken when none reaches it."""
    candidates: Count
    smallest_region_px: Annotated[int, Field(ge=0)]
    """Regions of fewer pixels become unknown."""


class SynthesiseParams(Params):
    """Section `synthesise`."""

    seed: int
    count: Count
    sizes_px: tuple[tuple[Count, Count], ...]
    """(height, width) of the samples, taken in turn."""
    sampler: SamplerParams
    masks: MaskParams
