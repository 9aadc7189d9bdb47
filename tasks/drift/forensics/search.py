"""Adversarial search over the parameters of the data model (thesis A, eq. 3.33).

minimise over theta~ in Theta:  lambda * l2(V, V~) - L(V~, Y)

l2 is the mean squared difference of display values (full scale 1) over tiles, channels and pixels at the network's
size, not their sum: a lambda means the same whatever the size and number of the images. L is the task model's training
loss of each tile by itself, a mean over tiles (Dice, pooled over a batch in training, would depend on the batches). The
task model is frozen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from tasks.drift.forensics.measure import main_value, parts_of
from tasks.drift.forensics.space import Space
from tasks.drift.mosaics import Mosaics, examples, views_of
from tasks.isp.parametrised import Parametrised, free_only
from tasks.learn import losses, metrics
from tasks.learn.networks import where
from tasks.learn.params import TaskParams

ASCENT_STEPS = 3
"""Signed steps of one radius each after a start: enough to leave a corner and to come back."""
SMALLEST_RADIUS = 2.0**-8
"""Ranges below are called none."""
NO_NUMBER = -1e30
"""Stands for a loss that is none: finite, for JSON."""
MARGIN = 1e-9
"""What rounding may add to a loss."""


@dataclass(frozen=True)
class Subject:
    """A frozen task model and the tiles that are searched with: mosaics (n, y, x), truth, views at theta-stat. Tiles
    lie in the host's memory and go to the model's device a batch at a time."""

    network: nn.Module
    model: Parametrised
    mosaics: Tensor
    truth: Tensor
    still: Tensor
    task: TaskParams
    batch_tiles: int


@dataclass(frozen=True)
class Point:
    """What the search saw at `u`: L, l2, the main metric at the network's size; `slope` of the objective in u."""

    u: Tensor
    loss: float
    l2: float
    metric: float
    slope: Tensor | None


def subject(network: nn.Module, model: Parametrised, mosaics: Mosaics, task: TaskParams, batch_tiles: int) -> Subject:
    """`mosaics` are the searched tiles; `model` is at theta-stat, and all is computed where it lies."""
    still = torch.from_numpy(examples(model, mosaics, task).views.base)
    pixels, truth = torch.from_numpy(mosaics.pixels), torch.from_numpy(mosaics.truth)
    return Subject(network, model, pixels, truth, still, task, batch_tiles)


def evaluate(what: Subject, space: Space, u: Tensor, weight: float, slope: bool) -> Point:
    """The objective's parts at `u` over all tiles, with lambda = `weight`; and its gradient where asked for.

    Gradients of batches are summed by their share of tiles, so that `batch_tiles` bounds memory and, rounding apart,
    does no more.
    Where a network gives no number there, the loss is `NO_NUMBER` (no search chooses it) and the gradient 0.
    """
    space.place(what.model, u)
    for parameter in free_only(what.model, space.groups if slope else ()):
        parameter.grad = None
    loss, l2 = 0.0, 0.0
    device, classes = where(what.model), len(what.task.classes)
    counts = np.zeros((classes, classes), dtype=np.int64)
    for first in range(0, len(what.truth), what.batch_tiles):
        span = slice(first, first + what.batch_tiles)
        truth, still = what.truth[span].to(device), what.still[span].to(device)
        share = len(truth) / len(what.truth)
        with torch.set_grad_enabled(slope):
            views = views_of(what.model, what.mosaics[span], what.task.input_px)
            logits = what.network(views)
            harm = losses.mean_of_tiles(what.task.loss, logits, truth)
            change = (views - still).square().mean()
            if slope:
                ((weight * change - harm) * share).backward()  # type: ignore[no-untyped-call]
        loss, l2 = loss + share * float(harm.detach()), l2 + share * float(change.detach())
        counts += metrics.confusion(truth.numpy(force=True), logits.argmax(1).numpy(force=True), classes)
    metric = float(main_value(parts_of(counts, what.task), what.task))
    loss = loss if isfinite(loss) else NO_NUMBER
    return Point(u.clone(), loss, l2, metric, _finite(space.slope(what.model)) if slope else None)


def _finite(slope: Tensor) -> Tensor:
    return slope if bool(slope.isfinite().all()) else torch.zeros_like(slope)


def origin(what: Subject, space: Space) -> Point:
    """Theta-stat. The slope of l2 is 0 there, so that it serves every lambda."""
    return evaluate(what, space, torch.zeros_like(space.initial), 0.0, True)


def descend(what: Subject, space: Space, start: Point, weight: float, epochs: int, learning_rate: float) -> list[Point]:
    """`epochs` steps of Adam from `start` on the objective with lambda = `weight`, one a pass over all tiles, kept in
    the box; all points that it came to.

    A step that does not lower the objective is taken back and the next one is half as long: Adam's steps are as long
    whatever the slope, so that a large lambda would only be jumped over.
    """
    best, visited = start, [start]
    u = start.u.clone().requires_grad_()
    adam = torch.optim.Adam([u], lr=learning_rate)
    for _ in range(epochs):
        if best.slope is None or not bool(best.slope.any()):
            break
        u.grad = best.slope
        adam.step()
        with torch.no_grad():
            u.clamp_(-1, 1)
        visited.append(evaluate(what, space, u.detach(), weight, True))
        if objective(visited[-1], weight) < objective(best, weight):
            best = visited[-1]
            continue
        adam.param_groups[0]["lr"] /= 2
        with torch.no_grad():
            u.copy_(best.u)
    return visited


def objective(point: Point, weight: float) -> float:
    """Of thesis A, eq. 3.33, with lambda = `weight`."""
    return weight * point.l2 - point.loss


def solution(visited: Sequence[Point], weight: float) -> Point:
    """Of all points that any search of this model and these groups came to, theta-stat among them, the one with the
    least objective at lambda = `weight`; the first of equals.

    Choosing from one set for all lambdas makes l2 fall as lambda grows, and theta-stat the limit.
    """
    return min(visited, key=lambda p: objective(p, weight))


def ascend(
    what: Subject, space: Space, radius: float, starts: Sequence[Tensor], fails: Callable[[Point], bool]
) -> Point:
    """The point with the lowest metric (of equals, the highest loss) that signed gradient ascent of L finds in
    |u| <= `radius` from `starts` (directions in [-1, 1]); the first that `fails`, if one does.

    Projected gradient in the maximum norm, as Madry et al., ICLR 2018.
    """
    found: list[Point] = []
    for start in starts:
        u = (radius * start).to(space.initial.device)
        for step in range(ASCENT_STEPS + 1):
            point = evaluate(what, space, u, 0.0, step < ASCENT_STEPS)
            found.append(point)
            if fails(point):
                return point
            if point.slope is None:
                break
            further = (u - radius * point.slope.sign()).clamp(-radius, radius)
            if torch.equal(further, u):
                break
            u = further
    return min(found, key=lambda p: (p.metric, -p.loss))


def limit(holds: Callable[[float], bool], steps: int) -> float:
    """The largest radius up to 1 that `holds`, by bisection of its logarithm; 0 where the smallest fails.

    Takes for granted that what holds at a radius holds at smaller ones. The result itself was seen to hold.
    """
    if holds(1.0):
        return 1.0
    low, high = SMALLEST_RADIUS, 1.0
    if not holds(low):
        return 0.0
    for _ in range(steps):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
