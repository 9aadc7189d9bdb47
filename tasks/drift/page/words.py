"""The words that findings are made of: intervals, lists, names, and why something is open."""

from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]
Cell = Mapping[str, Any]
Finding = dict[str, str]
ALIKE = "all folds or groups are alike, so that it has no interval"
ALONE = "one fold or group alone gives no interval"
ONE = "one group (smear, frame or slide), which tells nothing of others"


def finding(tone: str, title: str, text: str) -> Finding:
    return {"tone": tone, "title": title[:1].upper() + title[1:], "text": text}


def bounds(cell: Cell, digits: int = 3) -> str:
    """`[0.790, 0.852]`, `[0.790, …]` where one end is unknown, or nothing where both are."""
    low, high = ("…" if cell[end] is None else f"{cell[end]:.{digits}f}" for end in ("low", "high"))
    return "" if low == high == "…" else f"[{low}, {high}]"


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def named(name: str) -> str:
    """A condition as people write it."""
    return name.replace("_", " ")


def metric_of(found: Document) -> str:
    """The main metric's name as people write it."""
    return "IoU" if found["main"] == "iou" else str(found["main"])
