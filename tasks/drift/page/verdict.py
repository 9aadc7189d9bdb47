"""What the intervals allow to say, in plain words; what they do not is said to be open.

Two scores are told apart where their intervals do not overlap, which is stricter than a test of their difference;
a difference is told apart from none where its interval leaves out 0. Each finding has a tone: `poor` for harm that
was told apart, `good` for harm that stays below the loss stated and for choices and gains that were told apart,
`fair` for what is open, `plain` for what is told apart but neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Cell = Mapping[str, Any]
Finding = dict[str, str]
OWN, CLEAN = "their own data model", "the same views uncorrupted"
ALIKE = "all folds or groups are alike, so that it has no interval"


def findings(documents: Mapping[str, Document]) -> list[Finding]:
    """All findings, in the order of the page; `documents` by part."""
    stated = documents["forensics"]["loss_stated"] if "forensics" in documents else None
    found = []
    if "given" in documents:
        found += of_given(documents["given"], stated)
    if "synthesis" in documents:
        found += of_synthesis(documents["synthesis"], stated)
    if "forensics" in documents:
        found += of_forensics(documents["forensics"])
    if "optimisation" in documents:
        found += of_optimisation(documents["optimisation"])
    return found


def finding(tone: str, title: str, text: str) -> Finding:
    return {"tone": tone, "title": title[:1].upper() + title[1:], "text": text}


def figure(cell: Cell, digits: int = 3, key: str = "mean") -> str:
    """`0.821 [0.790, 0.852]`, or the number alone where it has no interval."""
    value = cell[key]
    text = "undefined" if value is None else f"{value:.{digits}f}"
    return f"{text} {bounds(cell, digits)}".strip()


def bounds(cell: Cell, digits: int = 3) -> str:
    """`[0.790, 0.852]`, `[0.790, …]` where one end is unknown, or nothing where both are."""
    low, high = ("…" if cell[end] is None else f"{cell[end]:.{digits}f}" for end in ("low", "high"))
    return "" if low == high == "…" else f"[{low}, {high}]"


def below(one: Cell | None, other: Cell | None) -> bool:
    """Whether the whole interval of `one` lies below that of `other`; never where both have no width, which a few
    equal values give."""
    if one is None or other is None or None in (one["low"], one["high"], other["low"], other["high"]):
        return False
    return bool(one["high"] < other["low"] and (one["low"] < one["high"] or other["low"] < other["high"]))


def sign(difference: Cell | None) -> int:
    """1 where the interval lies above 0, -1 where below, else 0, as for an interval without width."""
    if difference is None or difference["low"] is None or difference["high"] is None:
        return 0
    told = int(difference["low"] > 0) - int(difference["high"] < 0)
    return told if difference["low"] < difference["high"] else 0


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def of_synthesis(found: Document, stated: float | None) -> list[Finding]:
    """What changed data models and corruptions cost on average, which conditions harm, and whether the choice of the
    training data model was told apart."""
    return [*_costs("", found, None, OWN, stated), _serving(found["stars"]["data_models"])]


def of_given(found: Document, stated: float | None) -> list[Finding]:
    """The same of a model that was given, whose home is the first data model."""
    return _costs("Your model: ", found, 0, f"{found['data_models'][0]}, the reference", stated)


def _costs(whose: str, found: Document, home: int | None, own: str, stated: float | None) -> list[Finding]:
    shown, metric, drops = str(found["shown_severity"]), _metric(found), found["drops"]
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
            _ratio(f"{whose}corruptions of severity {shown} against data models", drops["ratio"][shown]),
        ]
    return out


def _metric(found: Document) -> str:
    return "IoU" if found["main"] == "iou" else str(found["main"])


def _drop(title: str, drop: Cell, metric: str, stated: float | None) -> Finding:
    told = sign(drop)
    text = f"mean drop in {metric} {figure(drop)}"
    if without_width(drop):
        return finding("plain" if drop["mean"] else "fair", title, f"{text}; {ALIKE}.")
    within = stated is not None and drop["high"] is not None and drop["high"] <= stated
    bound = f"; at most the {stated:g} that was stated as bearable" if within else ""
    if told > 0:
        return finding("good" if within else "poor", title, f"they cost something: {text}{bound}.")
    if told < 0:
        return finding("good", title, f"they do not cost, they gain: {text}.")
    return finding("good" if within else "fair", title, f"not told apart from no effect: {text}{bound}.")


def without_width(cell: Cell) -> bool:
    """Whether an interval is one point, as that of a few equal values is: no measure of how sure one may be."""
    return cell["low"] is not None and cell["low"] == cell["high"]


def _ratio(title: str, ratio: Mapping[str, Any] | None) -> Finding:
    if ratio is None or ratio["value"] is None or ratio["low"] is None:
        return finding("fair", title, "their ratio is not defined: no drop under other data models was told from 0.")
    text = f"the drop under corruptions is {figure(ratio, 1, 'value')} times that under other data models"
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


def named(name: str) -> str:
    """A condition as people write it."""
    return name.replace("_", " ")


def _serving(stars: Mapping[str, Mapping[str, Any]]) -> Finding:
    told = [test for test, star in stars.items() if star["told_apart"]]
    if not told:
        text = f"in none of the {len(stars)} environments was the best model told apart from every rival."
        return finding("fair", "Which model to serve", text)
    pairs = listed(f"{stars[test]['train']} in {test}" for test in told)
    rest = f"; in the other {len(stars) - len(told)} it was not" if len(told) < len(stars) else ""
    return finding("good", "Which model to serve", f"the best was told apart from every rival: {pairs}{rest}.")


def of_forensics(found: Document) -> list[Finding]:
    """Whether search broke the model, which group bears least, and for which none was found to fail."""
    return [_broken(found), *_ranges(found)]


def _broken(found: Document) -> Finding:
    base, metric = found["base"]["unseen"], _metric(found)
    weakest = min(entry["lambda"] for entry in found["sweep"])
    free = [entry for entry in found["sweep"] if entry["lambda"] == weakest]
    broke = [entry for entry in free if sign(entry["loss"]) > 0]
    alike = [entry for entry in free if without_width(entry["loss"]) and entry["loss"]["value"] > 0]
    title, at = "Adversarial search", f"{metric} {figure(base)} on tiles it never saw"
    if alike and not broke:
        ways = listed(f"{entry['loss']['value']:.3f} by {_group(entry['group'])}" for entry in alike)
        return finding("plain", title, f"{at}; at lambda {weakest:g} it lost {ways}; {ALIKE}.")
    if not broke:
        return finding("fair", title, f"found no settings that were told to be worse than the camera's own: {at}.")
    ways = listed(f"{figure(entry['loss'], 3, 'value')} by {_group(entry['group'])}" for entry in [*broke, *alike])
    return finding("poor", title, f"{at}; at lambda {weakest:g} it lost {ways}.")


def _group(name: str) -> str:
    return "all parameters jointly" if name == "all" else named(name)


def _ranges(found: Document) -> list[Finding]:
    """Groups by what is known of their ranges. That the search met too great a loss beyond a range is a mean over the
    tiles searched, without an interval: it is told, and not claimed as harm."""
    groups, stated = found["groups"], f"{found['loss_stated']:g} of {_metric(found)}"
    held = [name for name, group in groups.items() if group["unbounded"] and group["supported"]]
    none = [name for name, group in groups.items() if not group["radius"]]
    bounded = (name for name, group in groups.items() if group["radius"] and not group["unbounded"])
    limited = sorted(bounded, key=lambda n: (groups[n]["radius"], n))
    doubtful = [name for name, group in groups.items() if group["radius"] > 0 and not group["supported"]]
    out = []
    if none:
        text = f"not even the smallest range searched kept the loss within {stated}: {listed(map(named, none))}."
        out.append(finding("plain", "No range kept", text))
    if limited:
        text = listed(f"{named(n)} (±{groups[n]['radius']:.3g} of its scale)" for n in limited)
        out.append(finding("plain", "Limits found", f"beyond these the search met a loss above {stated}: {text}."))
    if held:
        text = f"up to the largest range searched, the loss stays below {stated}: {listed(map(named, held))}."
        out.append(finding("good", "No limit found", text))
    if doubtful:
        text = f"inside their ranges the mean is kept, but a loss above {stated} is not ruled out by the interval: "
        out.append(finding("fair", "Not supported", f"{text}{listed(map(named, doubtful))}."))
    return out


def of_optimisation(found: Document) -> list[Finding]:
    """For each intensity and pair of settings, the paired differences with what their intervals say."""
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in found["differences"]:
        pairs.setdefault((entry["intensity"], entry["what"].partition(",")[0]), []).append(entry)
    return [_compared(*pair, entries, _metric(found)) for pair, entries in pairs.items()]


def _compared(intensity: str, pair: str, entries: Sequence[Mapping[str, Any]], metric: str) -> Finding:
    signs = [sign(entry["value"]) if entry["told_apart"] else 0 for entry in entries]
    words = {1: "a gain", -1: "a loss", 0: "not told apart"}
    texts = [
        f"{PLACES[entry['on']]} {figure(entry['value'])}, {words[told]}"
        for entry, told in zip(entries, signs, strict=True)
    ]
    told = {one for one in signs if one}
    tone = {frozenset({1}): "good", frozenset({-1}): "poor", frozenset[int](): "fair"}.get(frozenset(told), "plain")
    title = f"{pair.replace(' - ', ' against ').capitalize()}, {intensity} intensity"
    return finding(tone, title, f"difference in {metric} {'; '.join(texts)}.")


PLACES = {"average": "over training", "final": "at the end", "test": "on test groups"}
"""Where settings are compared."""
