"""Whether a model does its task at home at all: without that, drops and ranges say nothing of it."""

from collections.abc import Sequence

from tasks.drift.page.words import ALIKE, ALONE, Cell, Finding, finding
from tasks.drift.statistics import ROUNDING, without_width

LITTLE = "A model without skill has little to lose: small drops and wide ranges say nothing of it."
ORDER = "Check that its classes are named in the order of its outputs (--classes)."


def told_above(score: Cell, chance: float | None) -> bool:
    """Whether the score's whole interval lies above `chance`; never where it has none, or none of any width, or where
    chance is not known."""
    if chance is None or score["low"] is None or without_width(score):
        return False
    return bool(score["low"] > chance)


def score_at_home(title: str, text: str, score: Cell, chance: float | None, given: bool) -> Finding:
    """The score, which `text` states, held against `chance`: `poor` where it may be no better. A score above chance
    that has no interval is open. `given` is for a model whose classes somebody else put in order."""
    if chance is None:
        return finding("fair", title, f"{text}; chance is not known without the models' scores on this page.")
    constant = f"the {chance:.3f} of the best constant answer"
    if told_above(score, chance):
        return finding("plain", title, f"{text}, told to be above {constant}.")
    if score["mean"] > chance + ROUNDING and (score["low"] is None or without_width(score)):
        why = ALONE if score["low"] is None else ALIKE
        return finding("fair", title, f"{text}, not told to be above {constant}: {why}.")
    hint = f" {ORDER}" if given else ""
    return finding("poor", title, f"{text}, not told to be above {constant}. {LITTLE}{hint}")


def capped(found: Sequence[Finding], skilled: bool) -> list[Finding]:
    """The findings, those that are `good` as `fair` where the model was not told above chance."""
    return [{**one, "tone": "fair"} if one["tone"] == "good" and not skilled else one for one in found]
