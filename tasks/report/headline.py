"""The tiles at the head of the page: one number each, beside what it must be compared with, and how it stands.

`tone` is `good`, `fair` or `poor` by a rule that stands beside it; the rules use only baselines and intervals that
were measured in the same run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.lineage.diagram import size_text
from tasks.report.text import words

Tile = dict[str, str]


def tiles(sections: Mapping[str, Mapping[str, Any]]) -> list[Tile]:
    """The tiles of the page from the values of its sections."""
    lineage, fidelity = sections["origins"], sections["fidelity"]
    learnt = [of_task(task) for task in sections["learnt"]["tasks"]]
    return [
        of_lineage(lineage),
        *learnt,
        of_distance(fidelity["comparisons"]),
        of_steering(fidelity["steering"]["synthetic"], fidelity["confidence"]),
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


def of_distance(pairs: Sequence[Mapping[str, Any]]) -> Tile:
    """Good where the synthetic interval meets that of real training tiles, poor where it meets noise's."""
    ours, real, noise = (pair(pairs, name)["frechet"] for name in ("synthetic", "real_train", "gaussian_noise"))
    tone = "good" if ours["low"] <= real["high"] else "poor" if ours["high"] >= noise["low"] else "fair"
    note = f"real against real {real['value']:.2f}, noise {noise['value']:.2f}; lower is nearer"
    return _tile("Distance to real tissue", f"{ours['value']:.2f}", note, tone, "Fréchet")


def pair(pairs: Sequence[Mapping[str, Any]], candidate: str, reference: str = "real_test") -> Mapping[str, Any]:
    """The comparison of that name."""
    return next(p for p in pairs if (p["candidate"], p["reference"]) == (candidate, reference))


def of_steering(synthetic: Mapping[str, Any], confidence: float) -> Tile:
    """Good where own masks fit better than shuffled ones beyond chance, else poor; fair where undefined."""
    own, shuffled = synthetic["own"], synthetic["shuffled"]
    if own["value"] is None or shuffled["p_value"] is None:
        return _tile("Masks steer the images", "undefined", "the masks show no known class", "fair")
    note = f"with own masks; {shuffled['mean']:.2f} with shuffled ones (p = {shuffled['p_value']:.3f})"
    tone = "good" if shuffled["p_value"] < 1 - confidence else "poor"
    return _tile("Masks steer the images", f"{own['value']:.2f}", note, tone, "IoU")


def of_copies(copies: Mapping[str, Any], confidence: float) -> Tile:
    """Poor where more synthetic than held-out tiles lie suspiciously near a training tile, beyond chance."""
    tone = "poor" if copies["p_value"] < 1 - confidence else "good"
    note = f"suspiciously near a training tile; held-out {copies['heldout_flagged']} of {copies['heldout_tiles']}"
    return _tile(
        "Copies", str(copies["flagged"]), f"{note} (p = {copies['p_value']:.2f})", tone, f"of {copies['tiles']}"
    )


def _tile(title: str, value: str, note: str, tone: str, beside: str = "") -> Tile:
    return {"title": title, "value": value, "beside": beside, "note": note, "tone": tone}
