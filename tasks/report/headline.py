"""The tiles at the head of the page: one number each, beside what it must be compared with, and how it stands.

`tone` is `good`, `fair` or `poor` by a rule that stands beside it; the rules use only baselines and intervals that
were measured in the same run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.lineage.diagram import size_text
from tasks.report.text import interval, percent, words

Tile = dict[str, str]
UNSTATED = {"value": None, "low": None, "high": None}
REMARKS = {
    "blind": "; these features do not tell noise from tissue",
    "noise": "; not told to be below noise",
    "blurred": "; not told to be below blurred tissue",
    "unstated": "; differences not measured",
}


def tiles(sections: Mapping[str, Mapping[str, Any]]) -> list[Tile]:
    """The tiles of the page from the values of its sections."""
    lineage, fidelity = sections["origins"], sections["fidelity"]
    judged = fidelity.get("judgement", {"fidelity": "unstated", "steering": "unstated"})
    learnt = [of_task(task) for task in sections["learnt"]["tasks"]]
    return [
        of_lineage(lineage),
        *learnt,
        of_distance(fidelity["comparisons"], judged["fidelity"]),
        of_steering(fidelity["steering"], judged["steering"]),
        of_copies(fidelity["copies"], fidelity["confidence"]),
    ]


def of_lineage(found: Mapping[str, Any]) -> Tile:
    """An audit that is there has passed: a broken one leaves nothing behind."""
    hashed = f"{found['files']:,} files, {size_text(found['bytes'])} hashed anew"
    note = f"{hashed}, {found['edges']} edges, {found['leaves']} source files"
    return _tile("Lineage holds", str(len(found["outputs"])), note, "good", "outputs")


def of_task(task: Mapping[str, Any]) -> Tile:
    """Mean over the folds' models on the held-out groups. Good where its whole interval lies above what an answer
    that looks at nothing reaches, poor where even its upper end does not."""
    spread, bar = task["roles"]["test"]["summary"][task["main"]], task["trivial"]
    low, high = (spread["mean"] if spread[end] is None else spread[end] for end in ("low", "high"))
    tone = "good" if low > bar else "poor" if high <= bar else "fair"
    name = f"{task['name'].capitalize()}: {words(task['main'])}"
    note = f"on held-out groups, {spread['n']:.0f} folds; {bar:.2f} without looking"
    return _tile(name, f"{spread['mean']:.2f}", note, tone, "" if spread["sd"] is None else f"± {spread['sd']:.2f}")


def of_distance(pairs: Sequence[Mapping[str, Any]], found: str) -> Tile:
    """Good where not told from real training tiles while noise is, and below noise and blurred tiles; poor where not
    below noise. `found` is the evaluation's own `judgement`; one without it is never good."""
    ours, real, noise = (pair(pairs, name)["frechet"] for name in ("synthetic", "real_train", "gaussian_noise"))
    tone = {"real": "good", "noise": "poor"}.get(found, "fair")
    note = f"real against real {real['value']:.2f}, noise {noise['value']:.2f}; lower is nearer"
    return _tile("Distance to real tissue", f"{ours['value']:.2f}", note + REMARKS.get(found, ""), tone, "Fréchet")


def pair(pairs: Sequence[Mapping[str, Any]], candidate: str, reference: str = "real_test") -> Mapping[str, Any]:
    """The comparison of that name."""
    return next(p for p in pairs if (p["candidate"], p["reference"]) == (candidate, reference))


def of_steering(steering: Mapping[str, Any], found: str) -> Tile:
    """Good where own masks fit better than shuffled ones beyond chance and the low end of the share of the ceiling
    clears the least that is asked for; poor where not beyond chance; else fair, as where undefined."""
    own, shuffled = steering["synthetic"]["own"], steering["synthetic"]["shuffled"]
    share = steering.get("share", UNSTATED)
    if own["value"] is None or shuffled["p_value"] is None:
        return _tile("Masks steer the images", "undefined", "the masks show no known class", "fair")
    note = f"with own masks; {shuffled['mean']:.2f} with shuffled ones (p = {shuffled['p_value']:.3f}); "
    told = "undefined" if share["value"] is None else f"{share['value']:.2f} {interval(share)}"
    tone = {"yes": "good", "no": "poor"}.get(found, "fair")
    return _tile("Masks steer the images", f"{own['value']:.2f}", f"{note}share of the ceiling {told}", tone, "IoU")


def of_copies(copies: Mapping[str, Any], confidence: float) -> Tile:
    """Poor where synthetic tiles lie suspiciously near training tiles more often than training tiles of other places
    do, beyond chance. Else fair, never good: to find nothing proves little, and the note says how little."""
    tone = "poor" if copies["p_value"] < 1 - confidence else "fair"
    held = f"{copies['heldout_flagged']} of {copies['heldout_tiles']}"
    note = f"suspiciously near a training tile; of training tiles elsewhere {held} (p = {copies['p_value']:.2f})"
    share = copies.get("detectable")
    power = "no share of copies is sure to be found" if share is None else f"{percent(share)} would be found"
    return _tile("Copies", str(copies["flagged"]), f"{note}; {power}", tone, f"of {copies['tiles']}")


def _tile(title: str, value: str, note: str, tone: str, beside: str = "") -> Tile:
    return {"title": title, "value": value, "beside": beside, "note": note, "tone": tone}
