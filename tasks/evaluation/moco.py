"""Momentum contrast: features learnt without labels by telling views of one tile from views of others.

He et al., "Momentum Contrast", CVPR 2020, with the head and the cosine schedule of version 2 (Chen et al.,
arXiv 2003.04297). Keys of past batches wait in a queue. Two changes for training sets of a few hundred tiles:

* The queue holds views of the query's own tile too: those do not count as negatives, or the loss would push a
  tile from itself.
* The other keys of the batch count as negatives beside the queue. Batch statistics give a batch a signature;
  against the queue alone a network could tell its own key by that (the leak that the paper stops by shuffling
  between GPUs), against keys of the same batch it cannot.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tasks.evaluation.augment import view_of
from tasks.evaluation.manifold import nearest
from tasks.evaluation.networks import encoder, projector
from tasks.evaluation.params import EncoderParams
from tasks.evaluation.training import batch_rows
from tasks.learn.determinism import seeded
from tasks.rng import generator, seed_for

NOBODY = -1


def contrast(queries: Tensor, keys: Tensor, queue: Tensor, same: Tensor, temperature: float) -> Tensor:
    """InfoNCE in nats: -log of the share of the own key among all keys and the queue (eq. 1 of the paper).

    Unit vectors: `queries` and `keys` (n, d), row by row of one tile, `queue` (k, d). `same` (n, k) bool marks
    queue entries that show the query's own tile; they do not count.
    """
    others = (queries @ queue.T).masked_fill(same, -torch.inf)
    logits = torch.cat([queries @ keys.T, others], dim=1) / temperature
    return functional.cross_entropy(logits, torch.arange(len(queries)))


class Moco(nn.Module):
    """Query network, its slowly following key network, and the queue of past keys with the tile of each."""

    queue: Tensor
    owners: Tensor
    steps: Tensor

    def __init__(self, params: EncoderParams) -> None:
        super().__init__()
        seed = params.training.seed
        with seeded(seed_for(seed, "encoder", "weights")):
            self.encoder, features = encoder(params.network)
            self.head = projector(features, params.projection_features)
            queue = torch.randn(params.queue_keys, params.projection_features)
        self.follower = copy.deepcopy(nn.Sequential(self.encoder, self.head)).requires_grad_(False)
        self.register_buffer("queue", functional.normalize(queue, dim=1))
        self.register_buffer("owners", torch.full((params.queue_keys,), NOBODY, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.params = params

    def loss(self, tiles: NDArray[np.uint8], rows: NDArray[np.int64], step: int) -> Tensor:
        """InfoNCE of two views of each of `tiles` (n, c, y, x), uint8, numbered `rows`; puts the keys in the queue."""
        rng = generator(self.params.training.seed, f"step {step}", "views")
        first, second = (
            torch.from_numpy(np.stack([view_of(t, self.params.augmentation, rng) for t in tiles])) for _ in range(2)
        )
        queries = functional.normalize(self.head(self.encoder(first)), dim=1)
        with torch.no_grad():
            keys = functional.normalize(self.follower(second), dim=1)
        owners = torch.from_numpy(rows)
        same = owners[:, None] == self.owners[None, :]
        value = contrast(queries, keys, self.queue.clone(), same, self.params.temperature)
        self._enqueue(keys, owners)
        return value

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, owners: Tensor) -> None:
        places = (self.steps * len(keys) + torch.arange(len(keys))) % len(self.queue)
        self.queue[places], self.owners[places] = keys, owners
        self.steps += 1

    @torch.no_grad()
    def follow(self) -> None:
        """The key network moves towards the query network by 1 - momentum (eq. 2 of the paper)."""
        leader = [*self.encoder.parameters(), *self.head.parameters()]
        for slow, fast in zip(self.follower.parameters(), leader, strict=True):
            slow.lerp_(fast, 1 - self.params.momentum)

    def step_loss(self, tiles: NDArray[np.uint8], step: int) -> Tensor:
        """The loss of `step` on its own batch of `tiles`."""
        training = self.params.training
        rows = batch_rows(len(tiles), training.batch_tiles, training.seed, step)
        return self.loss(np.asarray(tiles[rows]), rows, step)


def retrieval(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Share of rows of `first` (n, d) whose most similar row of `second` is their own; ties lose.

    Similarity is the cosine after the common mean of both is taken off.
    """
    mean = np.concatenate([first, second]).mean(axis=0)
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (first - mean, second - mean))
    similar = a @ b.T
    own = np.diag(similar).copy()
    np.fill_diagonal(similar, -np.inf)
    return float((own > similar.max(axis=1)).mean())


def label_agreement(
    queries: NDArray[np.float64], names: NDArray[np.str_], references: NDArray[np.float64], known: NDArray[np.str_]
) -> float:
    """How often the nearest of `references` (n, d) has the label of the query (m, d): mean recall of the labels.

    `names` (m,) and `known` (n,) are the labels; chance is one over their number.
    """
    index, _ = nearest(queries, references, 1)
    right = known[index[:, 0]] == names
    return float(np.mean([right[names == name].mean() for name in np.unique(names)]))
