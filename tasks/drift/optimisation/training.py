"""One training: a setting at an intensity, one fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tasks.disk import storage_faults
from tasks.drift import mosaics
from tasks.drift.mosaics import Mosaics
from tasks.drift.optimisation import raw_views
from tasks.drift.optimisation.cases import Case
from tasks.drift.optimisation.joint import Joint, adam
from tasks.drift.optimisation.sources import Augmented, Developed, Fixed, Tiles
from tasks.drift.params import OptimisationParams
from tasks.isp.parametrised import Parametrised, free_only, static
from tasks.learn import losses, scores
from tasks.learn.checkpoint import read_tensors, write_tensors
from tasks.learn.data import Examples
from tasks.learn.determinism import device_of
from tasks.learn.networks import CHANNELS, network_of
from tasks.learn.predict import probabilities
from tasks.learn.train import Row, fit

SHOWN = "shown"
"""The part, beside the roles, that the figures show."""


@dataclass(frozen=True)
class Trained:
    """What a training gave: the model, its history, and the scored and shown tiles as it sees them at the end."""

    model: Joint
    history: tuple[Row, ...]
    parts: Mapping[str, Examples]
    steps_per_epoch: int
    first: Tensor | None
    """Classes (n, y, x) uint8 that the model of the first epoch gives the shown tiles of a segmentation."""


@dataclass(frozen=True)
class Watch:
    """Looks on after each epoch: scores the validation tiles, and keeps what a segmenter first saw in those shown."""

    tiles: Mapping[str, Tiles]
    source: Augmented
    params: OptimisationParams
    file: Path

    def __call__(self, model: nn.Module, epoch: int) -> list[tuple[str, float]]:
        first, due = epoch == 1, epoch % self.params.validate_every_epochs == 0 or epoch == self.params.train.epochs
        if isinstance(model, Joint) and (first or due):
            model.settle(*statistics_of(self.source, epoch - 1))
        if first and self.params.task == "segmentation":
            with storage_faults(self.file):
                self.file.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(self.file, {"classes": predicted(model, self.tiles[SHOWN].examples())})
        return scores.validation(model, self.tiles["validation"].examples(), self.params) if due else []

    def first(self) -> Tensor | None:
        return read_tensors(self.file)["classes"] if self.params.task == "segmentation" else None


def statistics_of(source: Augmented, epoch: int, batch: int = 16) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of all training views as they were augmented in `epoch`, under theta as
    it is. Without the augmentation the task model's own batch norms would not fit."""
    moments = torch.zeros(2, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        for first in range(0, len(source), batch):
            views = source.batch(np.arange(first, min(first + batch, len(source))), epoch)[0].cpu().double()
            moments += torch.stack([views, views.square()]).mean((3, 4)).sum(1)
    mean, square = moments / len(source)
    return mean.tolist(), (square - mean.square()).clamp(min=0).sqrt().tolist()


def predicted(model: nn.Module, tiles: Examples) -> Tensor:
    """The likeliest class (n, y, x) uint8 of each pixel of `tiles`."""
    return torch.from_numpy(probabilities(model, tiles.views[:]).argmax(axis=1).astype(np.uint8))


def data_model_of(case: Case, params: OptimisationParams, tiles: Mosaics) -> Parametrised | None:
    """The camera's static data model, which the learned and the frozen setting both begin with; free is what the
    setting learns of it."""
    if case.setting == "direct":
        return None
    model = static(tiles.calibration, params.channels).to(device_of(params.device))
    free_only(model, params.groups if case.setting == "learned" else ())
    return model


def tiles_of(case: Case, params: OptimisationParams, model: Parametrised | None, part: Mosaics) -> Tiles:
    """`part` as the task model of the case sees it; developed once where nothing before it is learned."""
    if model is None:
        return Fixed(raw_views.examples(part, params.input_px))
    return Developed(part, model, params) if case.setting == "learned" else Fixed(mosaics.examples(model, part, params))


def train(case: Case, params: OptimisationParams, parts: Mapping[str, Mosaics], fold: int, place: Path) -> Trained:
    """Train the model of `fold` on `parts["train"]`, from the checkpoint in `place` where there is one.

    `parts` has the roles and `SHOWN`; `params.input_px` is the side that this case's network sees. All cases begin
    with the same weights and go through the tiles in the same order, so that folds pair them.
    """
    data_model = data_model_of(case, params, parts["train"])
    tiles = {role: tiles_of(case, params, data_model, part) for role, part in parts.items()}
    model = Joint(network_of(params), data_model).to(device_of(params.device))
    part, seed = parts["train"], params.train.seed
    source = Augmented(tiles["train"], part.ids, part.truth, params.augment, seed)
    watch = Watch(tiles, source, params, place / "first.safetensors")
    loss = partial(losses.loss, params.loss)
    optimiser = partial(adam, model, data_model_learning_rate=params.data_model_learning_rate)
    history = fit(model, source, loss, params.train, f"fold{fold}", place, watch, lambda _, train: optimiser(train))
    last = {role: tiles[role].examples() for role in (*scores.SCORED, SHOWN)}
    return Trained(model, history, last, -(-len(source) // params.train.batch_tiles), watch.first())
