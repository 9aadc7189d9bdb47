"""Stage `drift_forensics`: what a task model cannot bear in its data model, by adversarial search.

An item is one member and one group of theta (or `all`): the sweep over lambdas, and the group's range for that
member. A closing item is a group: its range for all members, cut on tiles that no search of that member saw, and
confirmed on others again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks import output
from tasks.contracts import Record
from tasks.drift import models
from tasks.drift.forensics import ranges, search, summarise
from tasks.drift.forensics.home import check_home
from tasks.drift.forensics.inputs import ALL, PARTS, Opened, opened, tiles_of
from tasks.drift.forensics.measure import tally_of
from tasks.drift.forensics.space import SMALL, UNITS, Space, names, space
from tasks.drift.params import ForensicsParams
from tasks.errors import InputError, ParamsError, fault
from tasks.isp.parametrised import GROUPS
from tasks.learn.determinism import on_device, stated
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job


def prepare(folder: Path, row: str, raw: Path, out: Path, params: ForensicsParams, repair: str) -> Job:
    """Check the trained models `folder` (of drift synthesis, or adopted) and the raw store; open the staging place.

    `row` is the data model whose task models are searched: `params.data_model`, or `given`. Raises `LineageError`
    where an input is not what its recipe says or has no such model, `ParamsError` where no tile has the intensity, the
    row is another data model's or that one is not theta-stat, `InputError` where a member has nothing to be searched
    or confirmed on.
    """
    if row not in (params.data_model, models.GIVEN):
        raise ParamsError(fault(out, f"models of {row}", params.data_model, "search the models of that data model"))
    inputs = [artefact("models", folder, out), artefact("raw", raw, out)]
    found, task = models.members(folder, row), models.read_task(folder)
    if row != models.GIVEN:
        check_home(folder, row, params.channels)
    table = tiles_of(raw, task, params)
    for member in found:
        _check(raw, member, models.searched_rows(table, member))
    notes, values = {**stated(task.device), "row": row}, params.model_dump(mode="json")
    plan = Plan("drift_forensics", out.name, inputs, values, __name__, repair, params.seed, notes)
    items = [f"{member}/{group}" for member in found for group in (*params.groups, ALL)]
    return output.start(out, plan, items, lambda content: None, [f"range/{group}" for group in params.groups])


def _check(raw: Path, member: str, rows: models.TaskPart) -> None:
    for part in ("search", "confirm"):
        if not rows[part]:
            wrong = f"no tile to {part} {member} on"
            raise InputError(fault(raw / "tiles.parquet", wrong, "some", "bring tiles of more groups"))


def process(job: Job, item: str) -> None:
    """Search one member's weakness in one group (`<member>/<group>`), or confirm a group's range (`range/<group>`)."""
    first, _, group = item.partition("/")
    with on_device(job.plan["notes"]["device"]):
        what = opened(job)
        facts = _ranged(job, what, group) if item in job.closing else _searched(what, first, group)
        output.mark_done(job, item, [], facts)


def _searched(what: Opened, member: str, group: str) -> dict[str, Any]:
    params, model = what.params, what.model()
    box = space(model, GROUPS if group == ALL else (group,))
    network = models.read_network(what.folder, what.row, member)
    tiles = what.tiles.pick(what.rows[member]["search"])
    subject = search.subject(network, model, tiles, what.task, params.batch_tiles)
    start = search.origin(subject, box)
    paths = [search.descend(subject, box, start, lam, params.epochs, params.learning_rate) for lam in params.lambdas]
    visited = [start, *(point for path in paths for point in path[1:])]
    solutions = [search.solution(visited, lam) for lam in params.lambdas]
    facts: dict[str, Any] = {
        "sweep": _evaluated(what, member, box, solutions),
        "history": [[[p.loss, p.l2] for p in path] for path in paths],
    }
    if group == ALL:
        facts["base"] = {
            part: what.bench(part, [member]).tallies(what.model())[member].document()
            for part in PARTS
            if what.rows[member][part]
        }
    else:
        radius, ways = ranges.found(subject, box, visited, params, f"{member}/{group}")
        facts |= {"radius": radius, "directions": [way.tolist() for way in ways]}
    return facts


def _evaluated(what: Opened, member: str, box: Space, solutions: Sequence[search.Point]) -> list[dict[str, Any]]:
    """Each lambda's solution on the tiles that the search never saw."""
    model, measured = what.model(), what.bench("unseen", [member])
    rows, seen = [], dict[int, dict[str, Any]]()
    for lam, point in zip(what.params.lambdas, solutions, strict=True):
        if id(point) not in seen:
            box.place(model, point.u)
            seen[id(point)] = measured.tallies(model)[member].document()
        searched = {"loss": point.loss, "l2": point.l2, "metric": point.metric}
        theta = box.theta(point.u).tolist()
        rows.append({"lambda": lam, "searched": searched, "theta": theta, "tally": seen[id(point)]})
    return rows


def _trial(what: Opened, part: str, bases: Mapping[str, Mapping[str, Any]]) -> ranges.Trial | None:
    """Of the members that have tiles of `part`; None where none has."""
    before = {member: tally_of(base[part]) for member, base in bases.items() if part in base}
    if not before:
        return None
    return ranges.Trial(what.bench(part, list(before)), what.judge(), before, what.params.loss_stated)


def _ranged(job: Job, what: Opened, group: str) -> dict[str, Any]:
    """The signature's entry of `group`: no further than the most sensitive member's search allows, cut to what holds
    on the groups for that, and judged on the groups that had no say in either."""
    facts = list(output.facts(job, [f"{member}/{group}" for member in what.rows]).values())
    model = what.model()
    box = space(model, (group,))
    found, cutting, last = (_trial(what, part, _bases(job, what)) for part in ("search", "cut", "confirm"))
    assert found and last  # `prepare` refuses members without such tiles
    trials = ranges.Trials(found, cutting, last)
    adversarial = [torch.tensor(way, dtype=torch.float32) for fact in facts for way in fact["directions"]]
    ways = ranges.directions(box, adversarial, what.params, group)
    reached = min(float(fact["radius"]) for fact in facts)
    radius = ranges.kept(trials.cut, model, box, reached, ways)
    worst = ranges.worst_of(trials.confirm, model, box, radius, ways)
    called = names(group, what.tiles.calibration.pattern) if box.size <= SMALL else ()
    singles = ranges.one_by_one(trials, model, box, called, what.params.range_steps)
    return {
        "unit": UNITS[group],
        **_box(box, radius),
        "searched_radius": reached,
        "shrunk": radius < reached,
        "worst": box.theta(worst.u).tolist(),
        "settings": len(ways),
        "at_limit": ranges.limits(trials.confirm, worst),
        "confirmed": radius > 0 and trials.confirm.keeps(worst.loss),
        "unbounded": radius == 1,
        "parameters": list(singles),
    }


def _bases(job: Job, what: Opened) -> dict[str, Mapping[str, Any]]:
    """Each member's tallies at theta-stat, by part."""
    return {member: output.facts(job, [f"{member}/{ALL}"])[f"{member}/{ALL}"]["base"] for member in what.rows}


def _box(box: Space, radius: float) -> dict[str, Any]:
    reach = radius * torch.ones(box.size)
    values: dict[str, Tensor] = {"initial": box.initial, "low": box.theta(-reach), "high": box.theta(reach)}
    return {"radius": radius, "scale": box.scale.tolist(), **{name: value.tolist() for name, value in values.items()}}


def finish(job: Job) -> Record:
    """Write the signature, the table of the sweep and the figures, and publish."""
    with on_device(job.plan["notes"]["device"]):
        what = opened(job)
        searched, confirmed = output.facts(job, job.items), output.facts(job, job.closing)
        return summarise.publish(job, what, searched, confirmed)
