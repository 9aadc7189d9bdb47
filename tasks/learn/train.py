"""One training loop for all task models: fixed epochs of Adam, resumable after any epoch, bit for bit.

There is no early stopping and no choice of the best epoch: validation tiles are only ever looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks import rng
from tasks.errors import LineageError, fault
from tasks.learn import checkpoint
from tasks.learn.determinism import on_device, seeded
from tasks.learn.networks import Standardised, where
from tasks.learn.params import TrainParams

Row = tuple[int, str, float]
"""(epochs done, metric, value)."""

Loss = Callable[[Tensor, Tensor], Tensor]
Observe = Callable[[nn.Module, int], Sequence[tuple[str, float]]]
Optimiser = Callable[[nn.Module, TrainParams], torch.optim.Optimizer]


class Source(Protocol):
    """Training tiles: how many, and a batch of them as the network shall see it in an epoch."""

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        """Views (n, c, y, x) float32 and truth, of the tiles `indices`; depends on nothing but its arguments and the
        model's parameters, in which the views may have gradients."""
        ...


def batches(count: int, batch_tiles: int, seed: int, name: str, epoch: int) -> Iterator[NDArray[np.int64]]:
    """A shuffle of `range(count)` in as few batches as fit, of sizes that differ by at most one.

    Even sizes spare batch norm a last batch of one. Keyed by (seed, name, epoch).
    """
    order = rng.generator(seed, name, f"order in epoch {epoch}").permutation(count).astype(np.int64)
    yield from np.array_split(order, -(-count // batch_tiles))


def _drawing(model: nn.Module, seed: int, name: str, when: str) -> AbstractContextManager[None]:
    """What a user's own network draws (dropout) depends on the arguments alone, not on threads or on resuming.

    Torch's layers draw from its one global generator: such networks go forward one at a time.
    """
    if any(isinstance(part, Standardised) and part.own for part in model.modules()):
        return seeded(rng.seed_for(seed, name, f"drawn in {when}"))
    return nullcontext()


def _epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    source: Source,
    loss: Loss,
    params: TrainParams,
    name: str,
    epoch: int,
) -> float:
    """One pass over the source in shuffled batches; returns the mean loss over its tiles."""
    model.train()
    device, total = where(model), 0.0
    for number, indices in enumerate(batches(len(source), params.batch_tiles, params.seed, name, epoch)):
        views, truth = source.batch(indices, epoch)
        optimiser.zero_grad(set_to_none=True)
        with _drawing(model, params.seed, name, f"batch {number} of epoch {epoch}"):
            logits = model(views.to(device))
        value = loss(logits, truth.to(device))
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(value.detach()) * len(indices)
    return total / len(source)


def adam(model: nn.Module, params: TrainParams) -> torch.optim.Optimizer:
    """Adam on all parameters of `model`, at one rate."""
    return torch.optim.Adam(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)


def fit(
    model: nn.Module,
    source: Source,
    loss: Loss,
    params: TrainParams,
    name: str,
    place: Path,
    observe: Observe | None = None,
    optimiser_of: Optimiser = adam,
) -> tuple[Row, ...]:
    """Train `model` in place, from the checkpoint in `place` where there is one; returns the history.

    `name` keys the order of batches and is checked on resuming. `observe(model, epochs done)` gives further
    rows after each epoch; `optimiser_of` makes the optimiser. History holds `train_loss` per epoch and what
    `observe` gave. On the same machine kind a training killed after any epoch and resumed ends in the same bits.
    Raises `LineageError` for a checkpoint of another training.
    """
    with on_device(where(model)):
        optimiser = optimiser_of(model, params)
        mark = {"name": name, "params": params.model_dump(mode="json")}
        done, facts = checkpoint.resume(place, model, optimiser)
        if done and facts["mark"] != mark:
            raise LineageError(fault(place, f"a checkpoint of {facts['mark']}", mark, "delete that folder"))
        history: list[Row] = [(int(s), str(m), float(v)) for s, m, v in facts.get("history", [])]
        for epoch in range(done, params.epochs):
            value = _epoch(model, optimiser, source, loss, params, name, epoch)
            history.append((epoch + 1, "train_loss", value))
            history += [(epoch + 1, m, v) for m, v in (observe(model, epoch + 1) if observe else ())]
            checkpoint.save(place, model, optimiser, epoch + 1, {"mark": mark, "history": history})
    return tuple(history)
