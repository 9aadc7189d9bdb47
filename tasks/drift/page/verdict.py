"""What the intervals allow to say, in plain words; what they do not is said to be open.

Two scores are told apart where their intervals do not overlap, which is stricter than a test of their difference;
a difference is told apart from none where its interval leaves out 0. An interval without width, which a few equal
values give, tells nothing, and tiles of one group tell nothing of others. Each finding has a tone: `poor` for harm that
was told apart and for a model that was not told above chance, `good` for harm that stays below the loss stated and for
choices and gains that were told apart, `fair` for what is open, `plain` for what is told apart but neither. Nothing of
a model that was not told above chance is `good`: it has little to lose.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.drift.models import GIVEN
from tasks.drift.page.skill import capped, score_at_home, told_above
from tasks.drift.page.words import ALIKE, ALONE, ONE, Cell, Document, Finding, bounds, finding, listed, metric_of, named
from tasks.drift.statistics import sign, without_width

OWN, CLEAN, UNSEEN = "their own data model", "the same views uncorrupted", "on tiles that the search never saw"


def findings(documents: Mapping[str, Document]) -> list[Finding]:
    """All findings, in the order of the page; `documents` by part."""
    stated = documents["forensics"]["loss_stated"] if "forensics" in documents else None
    found = []
    if "given" in documents:
        found += of_given(documents["given"], stated)
    if "synthesis" in documents:
        found += of_synthesis(documents["synthesis"], stated)
    if "forensics" in documents:
        found += of_forensics(documents["forensics"], _chance(documents))
    if "optimisation" in documents:
        found += of_optimisation(documents["optimisation"])
    return found


def figure(cell: Cell, digits: int = 3, key: str = "mean") -> str:
    """`0.821 [0.790, 0.852]`, or the number alone where it has no interval."""
    value = cell[key]
    text = "undefined" if value is None else f"{value:.{digits}f}"
    return f"{text} {bounds(cell, digits)}".strip()


def _chance(documents: Mapping[str, Document]) -> float | None:
    """Of the models that were searched, from the matrix that they are in; None where that is not on the page."""
    scored = documents.get("given" if documents["forensics"]["row"] == GIVEN else "synthesis")
    return None if scored is None else float(scored["chance"])


def below(one: Cell | None, other: Cell | None) -> bool:
    """Whether the whole interval of `one` lies below that of `other`; never where either has no width, which a few
    equal values give."""
    if one is None or other is None or None in (one["low"], one["high"], other["low"], other["high"]):
        return False
    return bool(one["high"] < other["low"] and not (without_width(one) or without_width(other)))


def of_synthesis(found: Document, stated: float | None) -> list[Finding]:
    """The score at home, what changed data models and corruptions cost on average, which conditions harm, and whether
    the choice of the training data model was told apart."""
    home, models = found["drops"]["data_models"]["same"], len(found["matrix"])
    text = f"{metric_of(found)} {figure(home)} on {OWN}, a mean over {models} models"
    first = score_at_home("Score at home", text, home, found["chance"], False)
    rest = [*_costs("", found, None, OWN, stated), _serving(found["stars"]["data_models"])]
    return [first, *capped(rest, told_above(home, found["chance"]))]


def of_given(found: Document, stated: float | None) -> list[Finding]:
    """The same of a model that was given, whose home is the first data model."""
    whose, own = "Your model: ", f"{found['data_models'][0]}, the reference"
    home = found["drops"]["data_models"]["same"]
    text = f"{metric_of(found)} {figure(home)} under {own}"
    first = score_at_home(f"{whose}score at home", text, home, found["chance"], True)
    return [first, *capped(_costs(whose, found, 0, own, stated), told_above(home, found["chance"]))]


def _costs(whose: str, found: Document, home: int | None, own: str, stated: float | None) -> list[Finding]:
    shown, metric, drops = str(found["shown_severity"]), metric_of(found), found["drops"]
    counts = harmed(found["data_models"], found["matrix"], home)
    out = [
        _drop(f"{whose}other data models", drops["data_models"]["drop"], metric, stated),
        _conditions(f"{whose}single data models", counts, found, own),
    ]
    if found["corrupted"]:
        counts = harmed(found["corruptions"], found["corrupted"][shown], 0)
        title = f"{whose}single corruptions, severity {shown}"
        drop = drops["corruptions"][shown]["drop"]
        out += [
            _drop(f"{whose}corruptions of severity {shown}", drop, metric, stated),
            _conditions(title, counts, found, CLEAN),
            _ratio(f"{whose}corruptions of severity {shown} against data models", drops, shown),
        ]
    return out


def _drop(title: str, drop: Cell, metric: str, stated: float | None) -> Finding:
    told = sign(drop)
    text = f"mean drop in {metric} {figure(drop)}"
    if drop["low"] is None:
        return finding("fair", title, f"{text}; {ALONE}.")
    if without_width(drop):
        return finding("plain" if drop["mean"] else "fair", title, f"{text}; {ALIKE}.")
    within = stated is not None and drop["high"] <= stated
    bound = f"; at most the {stated:g} that was stated as bearable" if within else ""
    if told > 0:
        return finding("good" if within else "poor", title, f"they cost something: {text}{bound}.")
    if told < 0:
        return finding("good", title, f"they do not cost, they gain: {text}.")
    return finding("good" if within else "fair", title, f"not told apart from no effect: {text}{bound}.")


def ratio_told(drops: Document, severity: str) -> bool:
    """Whether the ratio of the drops may be stated: it has an interval, and either drop was told to be above 0."""
    ratio, both = drops["ratio"][severity], (drops["data_models"], drops["corruptions"][severity])
    known = ratio is not None and ratio["value"] is not None and ratio["low"] is not None
    return known and all(sign(cells["drop"]) > 0 for cells in both)


def _ratio(title: str, drops: Document, severity: str) -> Finding:
    if not ratio_told(drops, severity):
        return finding("fair", title, "their ratio is not defined: not both drops were told to be above 0.")
    ratio = drops["ratio"][severity]
    text = f"the drop under corruptions is {figure(ratio, 1, 'value')} times that under other data models"
    if without_width(ratio):
        return finding("fair", title, f"{text}; {ALIKE}.")
    if ratio["low"] > 1:
        return finding("plain", title, f"{text}, told to be more.")
    if ratio["high"] is not None and ratio["high"] < 1:
        return finding("plain", title, f"{text}, told to be less.")
    return finding("fair", title, f"{text}, not told apart from equal.")


def harmed(columns: Sequence[str], matrix: Sequence[Sequence[Cell]], home: int | None) -> dict[str, int]:
    """For each condition of `columns` how many models score wholly below their score at home, which is the column
    `home` of the matrix, or the diagonal for None. The home column itself is left out."""
    counts = dict.fromkeys((name for k, name in enumerate(columns) if k != home), 0)
    for number, row in enumerate(matrix):
        at_home = row[number if home is None else home]
        for name, cell in zip(columns, row, strict=True):
            if name in counts:
                counts[name] += below(cell, at_home)
    return counts


def _conditions(title: str, counts: Mapping[str, int], found: Document, home: str) -> Finding:
    models = len(found["matrix"])
    bad = sorted((name for name, n in counts.items() if n), key=lambda name: (-counts[name], name))
    rest = [name for name in counts if not counts[name]]
    if not bad:
        return finding("fair", title, f"none of the {len(counts)} was told to score below {home}.")
    of = f" of {models} models" if models > 1 else ""
    harm = listed(f"{named(name)} ({counts[name]}{of})" if of else named(name) for name in bad)
    still = f" Not told apart: {listed(map(named, rest))}." if rest else ""
    return finding("poor", title, f"told to score below {home}: {harm}.{still}")


def _serving(stars: Mapping[str, Mapping[str, Any]]) -> Finding:
    told = [test for test, star in stars.items() if star["told_apart"]]
    if not told:
        text = f"in none of the {len(stars)} environments was the best model told apart from every rival."
        return finding("fair", "Which model to serve", text)
    pairs = listed(f"{stars[test]['train']} in {test}" for test in told)
    rest = f"; in the other {len(stars) - len(told)} it was not" if len(told) < len(stars) else ""
    return finding("good", "Which model to serve", f"the best was told apart from every rival: {pairs}{rest}.")


def of_forensics(found: Document, chance: float | None) -> list[Finding]:
    """The score before the search, whether search broke the model, which group bears least, and for which none was
    found to fail; `chance` is None where it is not known."""
    home, given = found["base"]["unseen"], found["row"] == GIVEN
    text = f"{metric_of(found)} {figure(home)} {UNSEEN}"
    first = score_at_home("Score before the search", text, home, chance, given)
    return [first, *capped([_broken(found), *_ranges(found)], told_above(home, chance))]


def _broken(found: Document) -> Finding:
    base, metric = found["base"]["unseen"], metric_of(found)
    weakest = min(entry["lambda"] for entry in found["sweep"])
    free = [entry for entry in found["sweep"] if entry["lambda"] == weakest]
    broke = [entry for entry in free if sign(entry["loss"]) > 0]
    lost = [entry for entry in free if entry["loss"]["value"] > 0]
    alike = [entry for entry in lost if without_width(entry["loss"])]
    alone = [entry for entry in lost if entry["loss"]["low"] is None]
    title, at = "Adversarial search", f"{metric} {figure(base)} {UNSEEN}"
    ways = listed(f"{figure(entry['loss'], 3, 'value')} by {_group(entry['group'])}" for entry in [*broke, *alike])
    if broke:
        return finding("poor", title, f"{at}; at lambda {weakest:g} it lost {ways}.")
    if alike or alone:
        ways = listed(f"{entry['loss']['value']:.3f} by {_group(entry['group'])}" for entry in alike or alone)
        tone, why = ("plain", ALIKE) if alike else ("fair", ALONE)
        return finding(tone, title, f"{at}; at lambda {weakest:g} it lost {ways}; {why}.")
    return finding("fair", title, f"found no settings that were told to be worse than the camera's own: {at}.")


def _group(name: str) -> str:
    return "all parameters jointly" if name == "all" else named(name)


def _ranges(found: Document) -> list[Finding]:
    """Groups by what is known of their ranges. That the search met too great a loss beyond a range is a mean over the
    tiles searched, without an interval: it is told, and not claimed as harm."""
    groups, stated = found["groups"], f"{found['loss_stated']:g} of {metric_of(found)}"
    held = [name for name, group in groups.items() if group["unbounded"] and group["supported"]]
    none = [name for name, group in groups.items() if not group["radius"]]
    bounded = (name for name, group in groups.items() if group["radius"] and not group["unbounded"])
    limited = sorted(bounded, key=lambda n: (groups[n]["radius"], n))
    out = []
    if none:
        text = f"not even the smallest range searched kept the loss within {stated}: {listed(map(named, none))}."
        out.append(finding("plain", "No range kept", text))
    if limited:
        text = listed(f"{named(n)} (±{groups[n]['radius']:.3g} of its scale)" for n in limited)
        out.append(finding("plain", "Limits found", f"beyond these the search met a loss above {stated}: {text}."))
    if held:
        text = f"up to the largest range searched no setting tried lost more than {stated}: {listed(map(named, held))}."
        out.append(finding("good", "No limit found", text))
    return [*out, *_doubtful(found, stated)]


def _doubtful(found: Document, stated: str) -> list[Finding]:
    """Ranges that are not supported, by why."""
    why: dict[str, list[str]] = {}
    for name, group in found["groups"].items():
        if group["radius"] > 0 and not group["supported"]:
            why.setdefault(_why(group, found["confirm_groups"]), []).append(named(name))
    return [finding("fair", title, f"{_doubts(stated)[title]}: {listed(names)}.") for title, names in why.items()]


def _why(group: Mapping[str, Any], judged: int) -> str:
    if not group["confirmed"]:
        return "Not confirmed"
    if judged < 2:
        return "One group"
    return "No interval" if without_width(group["at_limit"]["loss"]) else "Not supported"


def _doubts(stated: str) -> dict[str, str]:
    kept = "inside their ranges the mean is kept, but"
    return {
        "Not confirmed": f"inside their ranges a mean loss above {stated} was met on the tiles that confirm",
        "One group": f"{kept} it was confirmed on {ONE}",
        "No interval": f"{kept} all folds or groups lost alike, so that the loss has no interval",
        "Not supported": f"{kept} a loss above {stated} is not ruled out by the interval",
    }


def of_optimisation(found: Document) -> list[Finding]:
    """For each intensity and pair of settings, the paired differences with what their intervals say."""
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in found["differences"]:
        pairs.setdefault((entry["intensity"], entry["what"].partition(",")[0]), []).append(entry)
    return [_compared(*pair, entries, metric_of(found)) for pair, entries in pairs.items()]


def _compared(intensity: str, pair: str, entries: Sequence[Mapping[str, Any]], metric: str) -> Finding:
    signs = [sign(entry["value"]) if entry["told_apart"] else 0 for entry in entries]
    texts = [
        f"{_place(entry)} {figure(entry['value'])}, {_said(entry, told)}"
        for entry, told in zip(entries, signs, strict=True)
    ]
    told = {one for one in signs if one}
    tone = {frozenset({1}): "good", frozenset({-1}): "poor", frozenset[int](): "fair"}.get(frozenset(told), "plain")
    title = f"{pair.replace(' - ', ' against ').capitalize()}, {intensity} intensity"
    return finding(tone, title, f"difference in {metric} {'; '.join(texts)}.")


def _place(entry: Mapping[str, Any]) -> str:
    if entry["on"] != "test":
        return PLACES[entry["on"]]
    return "on one test group" if entry["groups"] == 1 else f"on the {entry['groups']} test groups"


def _said(entry: Mapping[str, Any], told: int) -> str:
    if entry["groups"] == 1:
        return "open, for one group tells nothing of others"
    if entry["value"]["low"] is None:
        return f"open: {ALONE}"
    if without_width(entry["value"]):
        return f"not told apart: {ALIKE}"
    return {1: "a gain", -1: "a loss", 0: "not told apart"}[told]


PLACES = {"average": "over training", "final": "at the end"}
"""Where settings are compared, beside the test groups."""
