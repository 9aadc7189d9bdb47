"""One resumable loop over steps for the encoder and the segmenter; see tasks.learn.checkpoint for what is kept.

A step depends on its number alone: batch and views come from tasks.rng keyed by it, the learning rate from a
half cosine over all steps (Loshchilov and Hutter, ICLR 2017). A training killed anywhere and started again
therefore ends in the same bits.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from tasks.errors import LineageError, fault
from tasks.evaluation.params import Training
from tasks.learn import checkpoint
from tasks.learn.determinism import one_thread
from tasks.rng import generator

Row = tuple[int, str, float]
"""(steps done, metric, value)."""

log = logging.getLogger("rawmill")


def batch_rows(count: int, batch_tiles: int, seed: int, step: int) -> NDArray[np.int64]:
    """Rows of the batch of `step`: distinct where `count` allows it, else all of them."""
    rng = generator(seed, f"step {step}", "batch")
    return rng.permutation(count)[: min(batch_tiles, count)].astype(np.int64)


def learning_rate(training: Training, step: int) -> float:
    """The rate of `step`: half a cosine from the full rate down to 0."""
    return training.learning_rate * (1 + math.cos(math.pi * step / training.steps)) / 2


def fit(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    training: Training,
    place: Path,
    name: str,
    after: Callable[[], None] | None = None,
) -> tuple[Row, ...]:
    """Minimise `loss(step)` over the weights of `model` that want gradients, from the checkpoint in `place` on.

    `after()` runs behind each update (momentum weights). Returns the history: the mean loss since the last
    checkpoint, every `checkpoint_steps`. Raises `LineageError` for a checkpoint of another training.
    """
    mark: dict[str, Any] = {"name": name, "training": training.model_dump(mode="json")}
    with one_thread():
        weights = [w for w in model.parameters() if w.requires_grad]
        optimiser = AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
        done, facts = checkpoint.resume(place, model, optimiser)
        if done and facts["mark"] != mark:
            raise LineageError(fault(place, f"a checkpoint of {facts['mark']}", mark, "delete that folder"))
        history: list[Row] = [(int(s), str(m), float(v)) for s, m, v in facts.get("history", [])]
        losses: list[float] = []
        model.train()
        for step in range(done, training.steps):
            losses.append(_update(optimiser, loss, training, step))
            if after:
                after()
            if (step + 1) % training.checkpoint_steps == 0 or step + 1 == training.steps:
                history.append((step + 1, "train_loss", float(np.mean(losses))))
                log.info("%s: step %d of %d, loss %.4f", name, step + 1, training.steps, history[-1][2])
                checkpoint.save(place, model, optimiser, step + 1, {"mark": mark, "history": history})
                losses.clear()
    model.eval()
    return tuple(history)


def _update(optimiser: AdamW, loss: Callable[[int], Tensor], training: Training, step: int) -> float:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(training, step)
    optimiser.zero_grad(set_to_none=True)
    value = loss(step)
    value.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(value.detach())
