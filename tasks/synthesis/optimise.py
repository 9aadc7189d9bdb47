"""The training loop of the synthesis networks: Adam, one-cycle learning rate, moving average, exact resume.

A step's batch and noise are functions of the step's number alone (`tasks.rng`), and a checkpoint holds weights,
their average, both moments of Adam and the running loss, so that a run that was killed and resumed ends with the
same bits as one that was not. A batch may go through the network in parts (`accumulate`) and in several processes
(`tasks.synthesis.ranks`): the gradient is that of the whole batch's mean. Weights, their average and the checkpoint
are float32 whatever the precision of the forward pass.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks.errors import ParamsError, fault
from tasks.learn.determinism import on_device
from tasks.progress import at
from tasks.synthesis import budget, checkpoint
from tasks.synthesis.checkpoint import Learner, Run, learner
from tasks.synthesis.feed import feed
from tasks.synthesis.params import FitParams
from tasks.synthesis.ranks import ALONE, Group

log = logging.getLogger("rawmill")
CURVE_POINTS = 50
"""How many means of the loss a run records, and how often it reports progress."""
Batch = Sequence[Tensor]
"""Tensors with a row a tile along their first axes."""
Loss = Callable[[Batch, int], Tensor]
"""(batch or a part of it, step) -> the mean over its rows, a scalar with a graph."""


@dataclass(frozen=True)
class Adversary:
    """A second network, trained in turn with the first from step `start` on, with its own Adam.

    Its weights take no gradient while the first is trained, whose loss may use it.
    """

    network: nn.Module
    loss: Loss
    start: int
    learning_rate: float


@dataclass(frozen=True)
class Objective:
    """What a network is trained to do.

    `draw(step, rows)` gives these rows of the step's batch on the CPU: a function of its arguments alone, called
    ahead of the step and from other threads. `loss` must depend on its arguments and the weights only.
    """

    draw: Callable[[int, slice], Batch]
    loss: Loss
    adversary: Adversary | None = None
    cache_bytes: int = 0
    """What the data hold in memory while the network is trained."""


def one_cycle(step: int, fit: FitParams) -> float:
    """Learning rate of a step: cosine up from 1/25 of the highest, cosine down to 1/250000 of it.

    The law and constants of PyTorch's OneCycleLR (Smith and Topin 2019) as a function of the step, of the learning rate
    alone: Adam's first moment is not cycled.
    """
    low, high, end = fit.max_learning_rate / 25, fit.max_learning_rate, fit.max_learning_rate / 25e4
    top = fit.warmup_fraction * fit.steps - 1
    if step <= top:
        return high + (low - high) * (1 + math.cos(math.pi * step / top)) / 2 if top > 0 else high
    return end + (high - end) * (1 + math.cos(math.pi * (step - top) / (fit.steps - 1 - top))) / 2


def fit_network(
    network: nn.Module, objective: Objective, fit: FitParams, path: Path, what: str, group: Group = ALONE
) -> Run:
    """Train `network` in place for `fit.steps` steps from the checkpoint at `path`, if there is one, else from step 0.

    Returns the run, on the CPU, with the moving average of the weights and the loss curve (mean since the last
    point). `network` is compiled in place where `fit` says so: its forward pass only, names of weights stay. Raises
    `ParamsError` where not even one tile fits into memory or the loss is not a number.
    """
    device = group.device(fit.device)
    with on_device(device):
        run = _begin(network.to(device), objective, fit, device)
        if path.exists():
            checkpoint.restore(run, path)
            log.info("%s: resumed at step %d", what, run.step)
        run.micro = _micro(run, objective, fit, what, group, device)
        if fit.compile:
            network.compile()
        if group.writes:
            log.debug("%s: step %d of %d", what, run.step, fit.steps, extra=at(what, run.step, fit.steps))
        _train(run, objective, fit, path, what, group, device)
    _to_cpu(run)
    return run


def _begin(network: nn.Module, objective: Objective, fit: FitParams, device: torch.device) -> Run:
    network.train()
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    scaler = torch.amp.GradScaler(device.type, enabled=fit.precision == "float16")
    against = objective.adversary
    opponent = learner(against.network.to(device).train(), against.learning_rate) if against else None
    return Run(learner(network, fit.max_learning_rate), average, opponent, scaler)


def _micro(run: Run, objective: Objective, fit: FitParams, what: str, group: Group, device: torch.device) -> int:
    """Rows at a time: as the params say, fewer where these do not fit, and no more than the run began with."""
    rows = group.rows(fit.batch)
    wanted = -(-fit.batch // (group.size * fit.accumulate))
    if run.step == fit.steps:
        return run.micro or wanted
    one = [part[:1].clone().to(device) for part in objective.draw(run.step, rows)]

    def forward(count: int) -> Tensor:
        with _autocast(fit, device):  # at the last step, when every term of the loss counts
            return objective.loss([part.expand(count, *part.shape[1:]).clone() for part in one], fit.steps - 1)

    cast = fit.precision != "float32"
    found = budget.plan(run, forward, one, wanted, objective.cache_bytes, cast, what, group, device)
    return min(found, run.micro or found)


def _train(
    run: Run, objective: Objective, fit: FitParams, path: Path, what: str, group: Group, device: torch.device
) -> None:
    with feed(lambda step: objective.draw(step, group.rows(fit.batch)), run.step, fit.steps) as batches:
        for batch in batches:
            _one_step(run, objective, fit, [part.to(device) for part in batch], group)
            _record(run, fit, what, group)
            if group.writes and run.step % fit.checkpoint_every_steps == 0 and run.step < fit.steps:
                checkpoint.save(run, path)
    if group.writes:
        checkpoint.save(run, path)


def _one_step(run: Run, objective: Objective, fit: FitParams, batch: Batch, group: Group) -> None:
    against = objective.adversary
    if run.opponent:
        run.opponent.network.requires_grad_(False)
    run.running += _update(run, run.learner, objective.loss, one_cycle(run.step, fit), fit, batch, group)
    _follow(run, fit.ema_decay)
    if against and run.opponent and run.step >= against.start:
        run.opponent.network.requires_grad_(True)
        _update(run, run.opponent, against.loss, against.learning_rate, fit, batch, group)
    run.step += 1


def _update(run: Run, learner: Learner, loss: Loss, rate: float, fit: FitParams, batch: Batch, group: Group) -> float:
    """One step of Adam on the mean over the whole batch of all processes; returns that mean."""
    for settings in learner.adam.param_groups:
        settings["lr"] = rate
    learner.adam.zero_grad(set_to_none=True)
    total = torch.zeros((), device=batch[0].device)
    for part in _parts(batch, run.micro or len(batch[0])):
        with _autocast(fit, part[0].device):
            value = loss(part, run.step) * (len(part[0]) / fit.batch)
        run.scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        total += value.detach()
    gradients = [weight.grad for weight in learner.network.parameters() if weight.grad is not None]
    group.add([*gradients, total])
    run.scaler.step(learner.adam)
    run.scaler.update()
    return float(total)


def _parts(batch: Batch, rows: int) -> Iterator[Batch]:
    for start in range(0, len(batch[0]), rows):
        yield [part[start : start + rows] for part in batch]


def _autocast(fit: FitParams, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, getattr(torch, fit.precision), enabled=fit.precision != "float32")


def _follow(run: Run, decay: float) -> None:
    """Move the average towards the weights; early on the decay is lower, so that the first weights are forgotten."""
    decay = min(decay, (1 + run.step) / (10 + run.step))
    weights = [value.detach() for value in run.network.state_dict().values()]
    torch._foreach_lerp_(list(run.average.values()), weights, 1 - decay)


def _record(run: Run, fit: FitParams, what: str, group: Group) -> None:
    every = max(1, fit.steps // CURVE_POINTS)
    whole = run.step % every == 0
    last = run.step == fit.steps
    mean = run.running / (every if whole else run.step % every)
    if group.writes:
        level, told = logging.INFO if whole or last else logging.DEBUG, (what, run.step, fit.steps)
        log.log(level, "%s: step %d of %d, loss %.4f", *told, mean, extra=at(*told))
    if (whole or last) and not math.isfinite(mean):
        remedy = "lower max_learning_rate, or write precision: float32"
        raise ParamsError(fault(f"{what}: step {run.step}", f"a loss of {mean}", "a number", remedy))
    if whole:
        run.running = 0.0
        run.curve.append((run.step, mean))


def _to_cpu(run: Run) -> None:
    run.network.to("cpu")
    run.network._compiled_call_impl = None  # what follows has other shapes, and the CPU may have no compiler
    run.average = {name: value.cpu() for name, value in run.average.items()}
