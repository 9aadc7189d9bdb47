"""The ranges of the forensic signature: found by search on some tiles, cut on others, confirmed on others again."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks import rng
from tasks.drift.forensics import search
from tasks.drift.forensics.measure import Bench, Cell, Judge, Tally
from tasks.drift.forensics.search import MARGIN, Point, Subject
from tasks.drift.forensics.space import Space
from tasks.drift.params import ForensicsParams
from tasks.isp.parametrised import Parametrised

RANDOM_STARTS = 2
CORNERS = 4
"""A box of at most so many parameters is confirmed at all its corners."""


def drawn(space: Space, seed: int, name: str, purpose: str, count: int) -> list[Tensor]:
    """Directions (p,), uniform in [-1, 1], keyed by (seed, name, purpose, number) alone."""
    streams = [rng.generator(seed, name, f"{purpose} {k}") for k in range(count)]
    return [torch.from_numpy(g.uniform(-1, 1, space.size).astype(np.float32)) for g in streams]


def found(
    what: Subject, space: Space, visited: Sequence[Point], params: ForensicsParams, item: str
) -> tuple[float, list[Tensor]]:
    """The largest radius in which the search finds no loss of the main metric above `loss_stated`, on the searched
    tiles; and the worst directions that it met there and just beyond."""
    base, met = visited[0], dict[float, Tensor]()

    def fails(point: Point) -> bool:
        return base.metric - point.metric > params.loss_stated + MARGIN

    starts = _starts(space, visited, params.seed, item)

    def holds(radius: float) -> bool:
        latest = list(met.values())[-1:]
        worst = search.ascend(what, space, radius, [*latest, *starts], fails)
        met[radius] = worst.u / radius
        return not fails(worst)

    radius = search.limit(holds, params.range_steps)
    beyond = [r for r in met if r > radius]
    return radius, [met[r] for r in ([radius] if radius else []) + ([min(beyond)] if beyond else [])]


def _starts(space: Space, visited: Sequence[Point], seed: int, item: str) -> list[Tensor]:
    """The corner that the slope at theta-stat points to, the most harmful point that the sweep saw, random ones."""
    first = visited[0].slope
    harmful = max(visited, key=lambda p: p.loss).u
    reach = float(harmful.abs().max())
    known = ([] if first is None else [-first.sign()]) + ([harmful / reach] if reach else [])
    return known + drawn(space, seed, item, "start", RANDOM_STARTS)


@dataclass(frozen=True)
class Trial:
    """What decides whether a setting keeps the metric: benches of all members, by part, at theta-stat `before`."""

    bench: Bench
    judge: Judge
    before: Mapping[str, Tally]
    loss_stated: float

    def at(self, model: Parametrised, space: Space, u: Tensor) -> tuple[float, dict[str, Tally]]:
        """The mean loss over the members at `u`, and what it is taken from."""
        space.place(model, u)
        after = self.bench.tallies(model)
        return self.judge.mean_loss(self.before, after), after

    def keeps(self, loss: float) -> bool:
        return loss <= self.loss_stated + MARGIN


@dataclass(frozen=True)
class Worst:
    """Of all settings that a box was evaluated at, the one that loses most."""

    u: Tensor
    loss: float
    after: Mapping[str, Tally]


def worst_of(trial: Trial, model: Parametrised, space: Space, radius: float, directions: Sequence[Tensor]) -> Worst:
    """The worst of `directions` at `radius`, or the first that loses too much."""
    worst: Worst | None = None
    for direction in directions:
        u = radius * direction
        loss, after = trial.at(model, space, u)
        if worst is None or loss > worst.loss:
            worst = Worst(u, loss, after)
        if not trial.keeps(loss):
            break
    assert worst is not None
    return worst


def directions(space: Space, adversarial: Sequence[Tensor], params: ForensicsParams, group: str) -> list[Tensor]:
    """Where a box is evaluated: the members' adversarial points, its corners where they are few, random draws."""
    fixed: list[Tensor] = []
    if space.size <= CORNERS:
        fixed = [torch.tensor(c, dtype=torch.float32) for c in itertools.product((-1.0, 1.0), repeat=space.size)]
    random = drawn(space, params.seed, group, "confirm", params.range_draws)
    return [*adversarial, *fixed, *random]


@dataclass(frozen=True)
class Trials:
    """A range is found on the tiles of `search`, cut on those of `cut` (none: not at all), judged on `confirm`."""

    search: Trial
    cut: Trial | None
    confirm: Trial


def kept(trial: Trial | None, model: Parametrised, space: Space, radius: float, ways: Sequence[Tensor]) -> float:
    """`radius`, cut until every one of `ways` keeps the metric on the trial's tiles; as it is without a trial."""
    if trial is None:
        return radius
    return cut(lambda r: trial.keeps(worst_of(trial, model, space, r, ways).loss), radius)


def cut(holds: Callable[[float], bool], radius: float) -> float:
    """The first of `radius`, its half, its quarter … that `holds`; 0 where the smallest does not."""
    while radius >= search.SMALLEST_RADIUS:
        if holds(radius):
            return radius
        radius /= 2
    return 0.0


@dataclass(frozen=True)
class Side:
    """How far (share of its scale) one parameter may go to one side: as searched, as cut, and whether that is
    confirmed."""

    searched: float
    reach: float
    confirmed: bool


def single(trials: Trials, model: Parametrised, space: Space, at: int, side: float, steps: int) -> Side:
    """How far parameter `at` alone may go to one `side` (-1 or 1), by bisection on the searched tiles; cut and judged
    on the others there and halfway."""
    way = side * torch.eye(space.size)[at]
    ways = [way, 0.5 * way]

    def holds(radius: float) -> bool:
        return trials.search.keeps(worst_of(trials.search, model, space, radius, [way]).loss)

    searched = search.limit(holds, steps)
    reach = kept(trials.cut, model, space, searched, ways)
    last = worst_of(trials.confirm, model, space, reach, ways)
    return Side(searched, reach, reach > 0 and trials.confirm.keeps(last.loss))


def one_by_one(
    trials: Trials, model: Parametrised, space: Space, names: Sequence[str], steps: int
) -> Iterator[dict[str, Any]]:
    """The range of each parameter by itself, in the parameter's own unit."""
    for at, name in enumerate(names):
        down, up = (single(trials, model, space, at, side, steps) for side in (-1.0, 1.0))
        initial, scale = float(space.initial[at]), float(space.scale[at])
        yield {
            "name": name,
            "initial": initial,
            "low": initial - scale * down.reach,
            "high": initial + scale * up.reach,
            "confirmed": down.confirmed and up.confirmed,
            "shrunk": down.reach < down.searched or up.reach < up.searched,
            "unbounded_low": down.reach == 1,
            "unbounded_high": up.reach == 1,
        }


def limits(trial: Trial, worst: Worst) -> dict[str, Cell]:
    """What the models do at the worst setting of their range."""
    return {"metric": trial.judge.metric(worst.after), "loss": trial.judge.loss(trial.before, worst.after)}
