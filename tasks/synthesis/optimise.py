"""The training loop of the synthesis networks: Adam, one-cycle learning rate, moving average, exact resume.

A step's batch and noise are functions of the step's number alone (`tasks.rng`), and a checkpoint holds weights,
their average, both moments of Adam and the running loss, so that a run that was killed and resumed ends with the
same bits as one that was not.
"""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.disk import storage_faults
from tasks.errors import StoreError, fault
from tasks.progress import at
from tasks.synthesis.params import FitParams

log = logging.getLogger("rawmill")
CURVE_POINTS = 50
"""How many means of the loss a run records, and how often it reports progress."""
Loss = Callable[[int], Tensor]
"""The loss of step number `step`, a scalar tensor with a graph."""


def one_cycle(step: int, fit: FitParams) -> float:
    """Learning rate of a step: cosine up from 1/25 of the highest, cosine down to 1/250000 of it.

    The law and constants of PyTorch's OneCycleLR (Smith and Topin 2019), as a function of the step.
    """
    low, high, end = fit.max_learning_rate / 25, fit.max_learning_rate, fit.max_learning_rate / 25e4
    top = fit.warmup_fraction * fit.steps - 1
    if step <= top:
        return high + (low - high) * (1 + math.cos(math.pi * step / top)) / 2 if top > 0 else high
    return end + (high - end) * (1 + math.cos(math.pi * (step - top) / (fit.steps - 1 - top))) / 2


@dataclass
class Run:
    """The state of a training run: all that a checkpoint holds."""

    network: nn.Module
    adam: torch.optim.Adam
    average: dict[str, Tensor]
    step: int = 0
    running: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)


def fit_network(network: nn.Module, loss: Loss, fit: FitParams, checkpoint: Path, what: str) -> Run:
    """Train `network` in place for `fit.steps` steps from the checkpoint, if there is one, else from step 0.

    `loss(step)` must depend on the step and the weights only. Returns the run, with the moving average of the
    weights and the loss curve (mean since the last point).
    """
    run = _begin(network, fit)
    if checkpoint.exists():
        _restore(run, checkpoint)
        log.info("%s: resumed at step %d", what, run.step)
    log.debug("%s: step %d of %d", what, run.step, fit.steps, extra=at(what, run.step, fit.steps))
    network.train()
    while run.step < fit.steps:
        _one_step(run, loss, fit)
        _record(run, fit, what)
        if run.step % fit.checkpoint_every_steps == 0 and run.step < fit.steps:
            _checkpoint(run, checkpoint)
    _checkpoint(run, checkpoint)
    return run


def _begin(network: nn.Module, fit: FitParams) -> Run:
    adam = torch.optim.Adam(network.parameters(), lr=fit.max_learning_rate, foreach=True)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return Run(network, adam, average)


def _one_step(run: Run, loss: Loss, fit: FitParams) -> None:
    for group in run.adam.param_groups:
        group["lr"] = one_cycle(run.step, fit)
    run.adam.zero_grad(set_to_none=True)
    value = loss(run.step)
    value.backward()  # type: ignore[no-untyped-call]
    run.adam.step()
    run.running += float(value.detach())
    _follow(run, fit.ema_decay)
    run.step += 1


def _follow(run: Run, decay: float) -> None:
    """Move the average towards the weights; early on the decay is lower, so that the first weights are forgotten."""
    decay = min(decay, (1 + run.step) / (10 + run.step))
    weights = [value.detach() for value in run.network.state_dict().values()]
    torch._foreach_lerp_(list(run.average.values()), weights, 1 - decay)


def _record(run: Run, fit: FitParams, what: str) -> None:
    every = max(1, fit.steps // CURVE_POINTS)
    whole = run.step % every == 0
    mean = run.running / (every if whole else run.step % every)
    level = logging.INFO if whole else logging.DEBUG
    log.log(level, "%s: step %d of %d, loss %.4f", what, run.step, fit.steps, mean, extra=at(what, run.step, fit.steps))
    if whole:
        run.running = 0.0
        run.curve.append((run.step, mean))


def _checkpoint(run: Run, path: Path) -> None:
    """One safetensors file, replaced in one move; small state stands as JSON in its header."""
    tensors = {f"weights/{k}": v.detach() for k, v in run.network.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in run.average.items()}
    for name, parameter in run.network.named_parameters():
        state = run.adam.state[parameter]
        tensors |= {f"adam/{name}/{key}": state[key] for key in ("step", "exp_avg", "exp_avg_sq")}
    state_json = json.dumps({"step": run.step, "running": run.running, "curve": run.curve})
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, metadata={"state": state_json})
        part.replace(path)


def _restore(run: Run, path: Path) -> None:
    """Raises `StoreError` for a checkpoint that cannot be read or is of another network."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = json.loads(file.metadata()["state"])
        run.network.load_state_dict(_below(tensors, "weights/"))
        for name, parameter in run.network.named_parameters():
            run.adam.state[parameter] = {k: v.clone() for k, v in _below(tensors, f"adam/{name}/").items()}
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        wrong = " ".join(str(error).split())[:200]
        raise StoreError(fault(path, wrong, "a checkpoint of this run", "remove it to train from the start")) from None
    kept = _below(tensors, "average/")
    run.average = {name: kept[name].clone() for name in run.average}
    run.step, run.running = int(state["step"]), float(state["running"])
    run.curve = [(int(step), float(value)) for step, value in state["curve"]]


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
