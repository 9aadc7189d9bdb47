"""The last part of the stage `drift_forensics`: the signature, the table of the sweep, the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tasks import output
from tasks.contracts import Record
from tasks.disk import storage_faults
from tasks.drift.forensics import figures
from tasks.drift.forensics.inputs import ALL, PARTS, Opened
from tasks.drift.forensics.measure import Judge, Tally, tally_of
from tasks.drift.forensics.space import Space, space
from tasks.drift.mosaics import examples
from tasks.drift.statistics import without_width
from tasks.isp.parametrised import GROUPS
from tasks.learn.scores import main_metric
from tasks.lineage.digest import pretty
from tasks.output import Job

Facts = Mapping[str, Mapping[str, Any]]

NOTES = (
    "Each range holds while that group alone changes, and the parameters of a group together unless said one by one; "
    "several groups at once may do harm within all their ranges: see the sweep over all of theta.",
    "A range was found by search on the tiles called search. Where it did not hold on those called cut, which no "
    "search of that model saw, it was halved until it did, and is marked shrunk. Then it was judged on those called "
    "confirm, which had no say in either, at its adversarial points, its corners where they are few, and random "
    "settings. That is evidence, not proof: no search rules out a worse setting.",
    "confirmed means that the mean over the members lost no more than loss_stated at every setting that was evaluated; "
    "supported means that the interval of the loss at the worst of them ends there as well, has a width, and is of "
    "two or more confirming groups: models that agree on one smear tell nothing of other smears. The worst of many "
    "settings is picked by its loss on the confirming tiles, which makes the loss look larger than it is, not smaller.",
    "The sweep is evaluated on all tiles that a model's search never saw, called unseen.",
    "unbounded means that no failure was found up to the largest radius that is searched, one unit of scale.",
    "l2 is the mean squared change of a display value (full scale 1) over tiles, channels and pixels at the network's "
    "size. lambda multiplies it; the loss beside it is the task model's training loss of each tile by itself, a mean "
    "over tiles, where training pools the Dice term over a batch.",
)
SPREADS = {
    True: (
        "Intervals are Student's t over the members. Their training tiles overlap: variances are corrected for it "
        "(Nadeau and Bengio 2003), and the intervals stay approximate. One of no width says that the members agree on "
        "these tiles, not that nothing is uncertain. All members were trained with one seed: initial weights and the "
        "order of tiles are one draw, and what another would change is in no interval."
    ),
    False: (
        "One model: intervals are Student's t over groups of tiles (jackknife), and one group gives none. They say "
        "nothing about another training of it, with another seed or other tiles."
    ),
}


def publish(job: Job, what: Opened, searched: Facts, confirmed: Facts) -> Record:
    """Write what the facts of all items tell, and publish."""
    searched = joined(what, searched)
    found = document(what, searched, confirmed)
    with storage_faults(job.out):
        (job.content / "signature.json").write_bytes(pretty(found))
        pq.write_table(sweep_table(what, searched), job.content / "sweep.parquet")
    drawn = _figures(job, what, found, searched)
    return output.publish(
        job,
        metrics=_scalars(found),
        curves=_curves(what, searched),
        figures=[f.relative_to(job.content).as_posix() for f in drawn],
    )


def joined(what: Opened, searched: Facts) -> Facts:
    """`searched` with each joint solution replaced by a group's own where that has the lower objective.

    A group's setting is one of all theta, at theta-stat elsewhere: joint search can be no less harmful, though its
    steps in all directions at once may miss it.
    """
    whole = dict(searched)
    for member in what.rows:
        own = whole[f"{member}/{ALL}"]
        whole[f"{member}/{ALL}"] = {
            **own,
            "sweep": [_joint(what, searched, member, i) for i in range(len(own["sweep"]))],
        }
    return whole


def _joint(what: Opened, searched: Facts, member: str, at: int) -> dict[str, Any]:
    """The entry with the least objective at lambda number `at`, with all of theta."""
    entries = {name: searched[f"{member}/{name}"]["sweep"][at] for name in (ALL, *what.params.groups)}
    best = min(entries, key=lambda name: _objective(entries[name]))
    if best == ALL:
        return dict(entries[ALL])
    return {**entries[best], "theta": _embedded(space(what.model(), GROUPS), best, entries[best]["theta"])}


def _objective(entry: Mapping[str, Any]) -> float:
    return float(entry["lambda"]) * float(entry["searched"]["l2"]) - float(entry["searched"]["loss"])


def _embedded(box: Space, group: str, theta: Sequence[float]) -> list[float]:
    """All of theta (p,), with `theta` in the place of `group` and theta-stat elsewhere."""
    values = box.initial.tolist()
    first = box.offset(group)
    return [*values[:first], *theta, *values[first + len(theta) :]]


def _of(searched: Facts, what: Opened, group: str) -> dict[str, Mapping[str, Any]]:
    return {member: searched[f"{member}/{group}"] for member in what.rows}


def document(what: Opened, searched: Facts, confirmed: Facts) -> dict[str, Any]:
    """`signature.json`: what was searched and on how much, the metric at theta-stat (`base`), the `sweep` with a row a
    group and lambda, the ranges of `groups`, on how many groups of tiles they were confirmed, and `notes` on what all
    that may be used for. A cell is mean, sd, low, high and n."""
    params, judge = what.params, what.judge()
    base = {part: _tallies(_of(searched, what, ALL), part) for part in PARTS}
    base = {part: tallies for part, tallies in base.items() if tallies}
    judged = len({name for tally in base["confirm"].values() for name in tally.groups})
    return {
        "task": what.task.task,
        "main": main_metric(what.task),
        "confidence": params.confidence,
        "data_model": params.data_model,
        "row": what.row,
        "seed": params.seed,
        "loss_stated": params.loss_stated,
        "members": list(what.rows),
        "tiles": {part: _counted(tallies, "tiles") for part, tallies in base.items()},
        "tile_groups": {part: _counted(tallies, "groups") for part, tallies in base.items()},
        "base": {part: judge.metric(tallies) for part, tallies in base.items()},
        "sweep": [row for g in (*params.groups, ALL) for row in _sweep(what, judge, _of(searched, what, g), g, base)],
        "confirm_groups": judged,
        "groups": {group: ranged(confirmed[f"range/{group}"], judged, params.loss_stated) for group in params.groups},
        "notes": [*NOTES, SPREADS[len(what.rows) > 1]],
    }


def ranged(entry: Mapping[str, Any], groups: int, stated: float) -> dict[str, Any]:
    """A group's range; `supported` only where the tiles that confirm are of two `groups` or more and the interval of
    the loss has a width, which a few equal losses do not give."""
    loss = entry["at_limit"]["loss"]
    known = loss["high"] is not None and not without_width(loss) and loss["high"] <= stated
    return {**entry, "supported": bool(entry["confirmed"] and groups > 1 and known)}


def _tallies(facts: Facts, part: str) -> dict[str, Tally]:
    return {member: tally_of(fact["base"][part]) for member, fact in facts.items() if part in fact["base"]}


def _counted(tallies: Mapping[str, Tally], unit: str) -> dict[str, int]:
    counts = {member: t.tiles.sum() if unit == "tiles" else len(t.groups) for member, t in tallies.items()}
    return {member: int(count) for member, count in counts.items()}


def _sweep(
    what: Opened, judge: Judge, facts: Facts, group: str, base: Mapping[str, Mapping[str, Tally]]
) -> list[dict[str, Any]]:
    rows = []
    for at, lam in enumerate(what.params.lambdas):
        after = {member: tally_of(fact["sweep"][at]["tally"]) for member, fact in facts.items()}
        cells = {"metric": judge.metric(after), "l2": judge.l2(after), "loss": judge.loss(base["unseen"], after)}
        rows.append({"group": group, "lambda": lam, **cells, "epochs": what.params.epochs})
    return rows


def sweep_table(what: Opened, searched: Facts) -> pa.Table:
    """`sweep.parquet`: one row a member, group and lambda: `metric` and `l2` on the unseen tiles, what the search
    saw (`searched_metric` at the network's size, `searched_l2`, `searched_loss`), and `theta`."""
    judge, rows = what.judge(), []
    for member in what.rows:
        for group in (*what.params.groups, ALL):
            for entry in searched[f"{member}/{group}"]["sweep"]:
                tally = tally_of(entry["tally"])
                measured = {"metric": judge.value(tally), "l2": float(tally.squares.sum() / tally.tiles.sum())}
                seen = {f"searched_{name}": entry["searched"][name] for name in ("metric", "l2", "loss")}
                keys = {"member": member, "group": group, "lambda": float(entry["lambda"])}
                rows.append({**keys, **measured, **seen, "theta": entry["theta"]})
    return pa.Table.from_pylist(rows)


def _scalars(found: Mapping[str, Any]) -> dict[str, float]:
    scalars = {"base_unseen_mean": found["base"]["unseen"]["mean"]}
    for name, group in found["groups"].items():
        scalars |= {f"radius_{name}": group["radius"], f"loss_at_limit_{name}": group["at_limit"]["loss"]["value"]}
    least = min(row["lambda"] for row in found["sweep"])
    scalars |= {f"worst_{row['group']}": row["metric"]["mean"] for row in found["sweep"] if row["lambda"] == least}
    return {name: float(value) for name, value in scalars.items()}


def _curves(what: Opened, searched: Facts) -> dict[str, tuple[tuple[int, float], ...]]:
    """The task loss of the searched tiles after each epoch at the least lambda, for each member and group."""
    least = what.params.lambdas.index(min(what.params.lambdas))
    return {
        f"{item}/searched_loss": tuple((epoch, float(loss)) for epoch, (loss, _) in enumerate(fact["history"][least]))
        for item, fact in sorted(searched.items())
    }


def _figures(job: Job, what: Opened, found: Mapping[str, Any], searched: Facts) -> list[Any]:
    folder = job.content / "figures"
    main = str(found["main"])
    return [
        figures.over_lambda(folder / "metric_over_lambda.png", found["sweep"], found["base"]["unseen"], main),
        figures.over_l2(folder / "metric_over_l2.png", found["sweep"], found["base"]["unseen"], main),
        figures.ranges(folder / "ranges.png", found["groups"], found["loss_stated"], main),
        _samples(folder, what, searched),
    ]


def _samples(folder: Any, what: Opened, searched: Facts) -> Any:
    """Tiles that the first member's search never saw, at theta-stat and as all of theta is found at each lambda."""
    member = next(iter(what.rows))
    rows = _spaced(what.rows[member]["unseen"], what.params.shown_tiles)
    model, tiles = what.model(), what.tiles.pick(rows)
    box = space(model, GROUPS)
    columns = [("theta-stat", examples(model, tiles, what.task).views[:])]
    entries = sorted(searched[f"{member}/{ALL}"]["sweep"], key=lambda entry: -float(entry["lambda"]))
    for entry in entries:
        box.place_theta(model, torch.tensor(entry["theta"], dtype=torch.float32))
        columns.append((f"lambda {entry['lambda']:g}", examples(model, tiles, what.task).views[:]))
    return figures.samples(folder / "samples.png", columns, tiles.ids)


def _spaced(rows: Sequence[int], count: int) -> list[int]:
    """At most `count` of `rows`, evenly far apart."""
    count = min(count, len(rows))
    return [rows[(2 * i + 1) * len(rows) // (2 * count)] for i in range(count)]
