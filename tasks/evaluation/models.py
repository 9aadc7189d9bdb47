"""Networks on disk: `model.json` says which architecture, `weights.safetensors` holds its weights.

Any folder with these two files serves as an extractor, so that weights that a user brings (converted to
safetensors under an architecture named in tasks.evaluation.networks) are used in the same way. Nothing is
unpickled and no code comes from the folder.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.errors import InputError, fault
from tasks.evaluation import networks
from tasks.evaluation.augment import scaled
from tasks.evaluation.params import Network
from tasks.learn.checkpoint import read_tensors, write_tensors
from tasks.learn.determinism import one_thread, seeded
from tasks.lineage.digest import pretty
from tasks.params import parse

Tiles = NDArray[np.uint8]
MODEL, WEIGHTS = "model.json", "weights.safetensors"


def save(folder: Path, network: nn.Module, description: Mapping[str, Any]) -> list[Path]:
    """Write `network` and its `description` (kind, network, classes) into `folder`; returns the two files."""
    write_tensors(folder / WEIGHTS, network.state_dict())
    (folder / MODEL).write_bytes(pretty(dict(description)))
    return [folder / MODEL, folder / WEIGHTS]


def describe(folder: Path, kind: str) -> tuple[Network, dict[str, Any]]:
    """The architecture and the whole description in `folder`. Raises `InputError` where it is not of `kind`."""
    path = folder / MODEL
    try:
        document = dict(json.loads(path.read_bytes()))
        found, network = document["kind"], document["network"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(fault(path, f"unreadable ({error})", "a model of rawmill", "name another folder")) from None
    if found != kind:
        raise InputError(fault(path, f"a {found}", f"a {kind}", "name another folder"))
    return parse(Network, network, path), document


def _load(folder: Path, network: nn.Module) -> nn.Module:
    """`network` with the weights in `folder`; `InputError` names the first that does not fit."""
    tensors = read_tensors(folder / WEIGHTS)
    wanted: dict[str, Tensor] = network.state_dict()
    for name in sorted(set(wanted) | set(tensors)):
        sides = [tuple(side[name].shape) if name in side else "nothing" for side in (tensors, wanted)]
        if sides[0] != sides[1]:
            remedy = "name weights of this architecture"
            raise InputError(fault(folder / WEIGHTS, f"{sides[0]} for {name}", str(sides[1]), remedy))
    network.load_state_dict(tensors)
    return network.eval()


def batches(tiles: Iterable[Tiles], size: int) -> Iterator[Tiles]:
    """Stacks of up to `size` tiles (n, c, y, x)."""
    source = iter(tiles)
    while chunk := list(islice(source, size)):
        yield np.stack(chunk)


@dataclass(frozen=True)
class Extractor:
    """Images to features. `name` says which, for the report."""

    name: str
    network: nn.Module
    batch_tiles: int

    def __call__(self, tiles: Iterable[Tiles]) -> NDArray[np.float32]:
        """Features (n, d), float32, of n >= 1 tiles (c, y, x), uint8 display RGB."""
        with one_thread(), torch.inference_mode():
            parts = [self.network(torch.from_numpy(scaled(b))).numpy() for b in batches(tiles, self.batch_tiles)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Segmenter:
    """Images to class indices 1..len(classes)."""

    classes: tuple[str, ...]
    network: nn.Module
    batch_tiles: int

    def __call__(self, tiles: Iterable[Tiles]) -> Tiles:
        """Labels (n, y, x), uint8 in 1..K, of n >= 1 tiles (c, y, x), uint8 display RGB, sides of 32 or more."""
        with one_thread(), torch.inference_mode():
            scores = (self.network(torch.from_numpy(scaled(b))) for b in batches(tiles, self.batch_tiles))
            return np.concatenate([(s.argmax(dim=1) + 1).to(torch.uint8).numpy() for s in scores])


def load_extractor(folder: Path, batch_tiles: int) -> Extractor:
    """The encoder in `folder`, ready to extract. Raises `InputError`, `LineageError` (unreadable weights)."""
    network, document = describe(folder, "encoder")
    with seeded(0):
        return Extractor(str(document["name"]), _load(folder, networks.encoder(network)[0]), batch_tiles)


def load_segmenter(folder: Path, batch_tiles: int) -> Segmenter:
    """The segmenter in `folder`, ready to predict. Raises as `load_extractor`."""
    network, document = describe(folder, "segmenter")
    classes = tuple(str(c) for c in document["classes"])
    with seeded(0):
        return Segmenter(classes, _load(folder, networks.segmenter(network, len(classes))), batch_tiles)
