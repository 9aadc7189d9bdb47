"""The mask denoiser: diffusion on one-hot class masks, told the subtype of the tissue (thesis A's context prompt).

Masks are z (classes + 1, y, x) of -signal and +signal, unknown first, at one pixel in `reduction`. The thesis samples
them as ordinals in the latent space of an RGB autoencoder; one-hot channels have no order and need no autoencoder. The
signal is below 1 (Chen, "On the importance of noise scheduling for diffusion models", 2023: the more redundant an image
is, the smaller its scale should be). Conditions are constant planes [subtype 1, …, subtype n, null].
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.errors import InputError, fault
from tasks.rng import generator, normal
from tasks.synthesis import denoiser, networks
from tasks.synthesis.canvas import Canvas, State, Uniform
from tasks.synthesis.cleaning import Classes, clean_in_blocks
from tasks.synthesis.denoiser import Batch
from tasks.synthesis.evaluate import Evaluate, guided, in_threads
from tasks.synthesis.mask_params import MaskDenoiserModel, MaskDenoiserParams
from tasks.synthesis.masks import Mask
from tasks.synthesis.params import SamplerParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import Denoise, Process, forward_process, plan_steps
from tasks.synthesis.tiles import ORIENTATIONS, oriented

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Annotations:
    """Reduced annotations that windows are drawn from: `slides[id]` uint8 (y, x); `subtypes` where they are known."""

    slides: Mapping[str, Classes]
    subtypes: Mapping[str, str]

    def known(self) -> tuple[str, ...]:
        """Names of the subtypes, sorted."""
        return tuple(sorted({self.subtypes[item] for item in self.slides if self.subtypes.get(item)}))

    def of(self, subtype: str) -> "Annotations":
        """The slides of one subtype, or all for the empty name."""
        own = {item: mask for item, mask in self.slides.items() if subtype in ("", self.subtypes.get(item, ""))}
        return Annotations(own, self.subtypes)


@dataclass(frozen=True)
class WindowLaw:
    """How windows are drawn: side in reduced pixels, and how much of one should be annotated."""

    side: int
    minimum_coverage: float
    candidates: int


def one_hot(mask: Classes, classes: int, signal: float) -> Values:
    """float32 (classes + 1, y, x), `signal` for a pixel's class and its negative for the others; index 0 is unknown."""
    own = mask == np.arange(classes + 1, dtype=np.uint8)[:, None, None]
    return np.where(own, np.float32(signal), np.float32(-signal))


def prompt(subtypes: tuple[str, ...], name: str) -> Values:
    """The condition (subtypes + 1, 1, 1) of a subtype; the null prompt 0 … 0, 1 for the empty name.

    Raises `InputError` for a subtype that is not among them.
    """
    if name and name not in subtypes:
        known = f"one of {', '.join(subtypes)}" if subtypes else "none: the model's slides had no subtypes"
        raise InputError(fault("masks.generated.subtypes", name, known, "name one of them, or none"))
    found = np.zeros((len(subtypes) + 1, 1, 1), np.float32)
    found[subtypes.index(name) if name else -1] = 1
    return found


def draw_window(annotations: Annotations, law: WindowLaw, draw: np.random.Generator) -> tuple[Classes, str]:
    """A window (side, side) in one of eight orientations, and its subtype (empty where it is not known).

    Each slide is as likely as it is large; the first window that is annotated well enough is taken.
    """
    items = sorted(annotations.slides)
    areas = np.array([annotations.slides[item].size for item in items], np.float64)
    best: tuple[float, Classes, str] | None = None
    for _ in range(law.candidates):
        item = items[int(draw.choice(len(items), p=areas / areas.sum()))]
        window = _cut(annotations.slides[item], law.side, draw)
        covered = float((window > 0).mean())
        if best is None or covered > best[0]:
            best = covered, window, annotations.subtypes.get(item, "")
        if best[0] >= law.minimum_coverage:
            break
    assert best is not None
    return np.ascontiguousarray(oriented(best[1], int(draw.integers(ORIENTATIONS)))), best[2]


def _cut(slide: Classes, side: int, draw: np.random.Generator) -> Classes:
    """A window of a slide; beyond a slide that is smaller, all is unknown."""
    y, x = (int(draw.integers(max(n - side, 0) + 1)) for n in slide.shape)
    window = slide[y : y + side, x : x + side]
    return np.pad(window, [(0, side - n) for n in window.shape])


def law_of(params: MaskDenoiserParams, side: int | None = None) -> WindowLaw:
    """The law of the training windows, or the same for another side."""
    return WindowLaw(side or params.window_px, params.minimum_coverage, params.candidates)


def draw_batch(
    annotations: Annotations, classes: int, params: MaskDenoiserParams, step: int, part: slice = slice(None)
) -> Batch:
    """Windows, prompts, timesteps and noise of a step, or of a part of its rows: a function of the seed, the step's
    number and the part only."""
    draw = generator(params.seed, f"step/{step}", "batch")
    size, law, subtypes = params.fit.batch, law_of(params), annotations.known()
    free = draw.random(size) < params.p_unconditional
    t = draw.integers(params.diffusion.timesteps, size=size)
    drawn = [draw_window(annotations, law, draw) for _ in range(size)][part]
    z0 = np.stack([one_hot(window, classes, params.signal) for window, _ in drawn])
    prompts = ["" if f else subtype for f, (_, subtype) in zip(free[part], drawn, strict=True)]
    noise = normal((size, *z0.shape[1:]), params.seed, f"step/{step}", "noise")[part]
    told = _planes(subtypes, prompts, law.side)
    return Batch(torch.from_numpy(z0), told, torch.from_numpy(noise), torch.from_numpy(t[part]))


def _planes(subtypes: tuple[str, ...], names: list[str], side: int) -> Tensor:
    """Prompts (n, subtypes + 1, side, side)."""
    each = np.stack([prompt(subtypes, name) for name in names])
    return torch.from_numpy(np.broadcast_to(each, (*each.shape[:2], side, side)).copy())


def held_out_losses(
    network: networks.Denoiser,
    held_out: Annotations,
    subtypes: tuple[str, ...],
    classes: int,
    params: MaskDenoiserParams,
    process: Process,
) -> dict[str, float]:
    """Loss on windows of held-out slides with the prompt of their own subtype, of the next one, and with none.

    Windows, noise and timesteps, which are spread evenly, are the same for the three. Empty where no held-out slide is
    annotated; null alone where none is of a known subtype.
    """
    told = {item: mask for item, mask in held_out.slides.items() if held_out.subtypes.get(item) in subtypes}
    seen = Annotations(told, held_out.subtypes) if told else held_out
    if not any((mask > 0).any() for mask in seen.slides.values()):
        return {}
    count, law = params.held_out_windows, law_of(params)
    draw = generator(params.seed, "held-out", "windows")
    drawn = [draw_window(seen, law, draw) for _ in range(count)]
    z0 = torch.from_numpy(np.stack([one_hot(window, classes, params.signal) for window, _ in drawn]))
    t = torch.arange(count) * params.diffusion.timesteps // count
    noise = torch.from_numpy(normal(tuple(z0.shape), params.seed, "held-out", "noise"))
    prompts = {"null": [""] * count}
    if told:
        prompts["own_prompt"] = [subtype for _, subtype in drawn]
    if told and len(subtypes) > 1:
        after = dict(zip(subtypes, (*subtypes[1:], subtypes[0]), strict=True))
        prompts["other_prompt"] = [after[subtype] for _, subtype in drawn]
    batches = {name: Batch(z0, _planes(subtypes, names, law.side), noise, t) for name, names in prompts.items()}
    return {f"held_out_loss_{name}": denoiser.mean_loss(network, batch, process) for name, batch in batches.items()}


@dataclass(frozen=True)
class Model:
    """A trained mask denoiser as the sampler sees it."""

    networks: tuple[Denoise, ...]
    """One, or one on each GPU."""
    process: Process
    about: MaskDenoiserModel

    def guided(self, guidance: float) -> Evaluate:
        """Its networks in threads, guided towards the prompt that they are given."""
        null = torch.from_numpy(prompt(self.about.subtypes, ""))
        return in_threads([guided(network, null, guidance) for network in self.networks])


def load(folder: Path, device: str = "cpu") -> Model:
    """The mask denoiser in a model folder, on the CPU or on every GPU. Raises as `denoiser.load` does."""
    about = networks.read_model(folder, MaskDenoiserModel)
    forward = forward_process(about.diffusion)
    loaded = []
    for place in networks.devices(device):
        network = networks.denoiser(about.architecture, len(about.classes) + 1, len(about.subtypes) + 1)
        networks.load_weights(network, folder)
        loaded.append(denoiser.predictor(network.to(place), forward, place))
    return Model(tuple(loaded), forward, about)


@dataclass(frozen=True)
class Asked:
    """A mask that is asked for: what its pixels depend on besides the model and the sampler."""

    subtype: str
    """Its context prompt, empty for none."""
    size_px: tuple[int, int]
    seed: int
    name: str
    thinnest_px: int
    smallest_region_px: int


def generate(model: Model, asked: Asked, params: SamplerParams, scratch: Path | None) -> Mask:
    """A cleaned mask of any size by the random-patch sampler; canvases lie below `scratch`, where a killed run goes on.

    Resident are windows and bands of the canvas, the mask at one byte a reduced pixel, and whose window each pixel is.
    Raises `InputError` for a subtype that the model does not know.
    """
    about = model.about
    small = (-(-asked.size_px[0] // about.reduction), -(-asked.size_px[1] // about.reduction))
    multiple = about.architecture.multiple
    height, width = (max(-(-n // multiple) * multiple, about.window_px) for n in small)
    told = Uniform(prompt(about.subtypes, asked.subtype), height, width)
    steps = plan_steps(model.process, params.steps, params.solver, params.eta)
    window = (about.window_px, about.window_px)
    how = Sampling(steps, params.law, window, multiple, params.batch_windows, asked.seed, f"{asked.name}/mask")
    channels = len(about.classes) + 1
    state = State((channels, height, width), scratch)
    evaluate = model.guided(params.guidance if asked.subtype else 0.0)
    labels = likeliest(sample(told, channels, evaluate, how, state))[: small[0], : small[1]]
    thinnest = math.ceil(asked.thinnest_px / about.reduction)
    smallest = -(-asked.smallest_region_px // about.reduction**2)
    cleaned = clean_in_blocks(labels, thinnest, smallest)
    return Mask(asked.size_px, cleaned, about.reduction, (), asked.subtype, "generated")


def likeliest(canvas: Canvas) -> Classes:
    """The channel with the highest value of each pixel, uint8 (y, x); the first of equals."""
    found = np.empty(canvas.shape[1:], np.uint8)
    for rows in canvas.bands():
        found[rows] = canvas.read(rows, slice(0, canvas.shape[2])).argmax(0)
    return found
