"""The page: documents, figures and findings through one Jinja2 template into one self-contained HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.drift.page.paper import REFERENCES, published
from tasks.drift.page.params import DriftReportParams
from tasks.drift.page.parts import Part
from tasks.drift.page.verdict import ratio_told
from tasks.drift.page.words import bounds, named
from tasks.report.page import TEMPLATES as SHARED
from tasks.report.page import drawn_from
from tasks.report.text import number, percent

TEMPLATES = Path(__file__).parent / "templates"
PAGE, STYLE = TEMPLATES / "drift.html.j2", SHARED / "style.css"
PARTS = {
    "given": "Your model",
    "synthesis": "Synthesis",
    "forensics": "Forensics",
    "optimisation": "Optimisation",
}
Cell = Mapping[str, Any]


def render(
    parts: Mapping[str, Part], verdict: Sequence[Mapping[str, str]], params: DriftReportParams, pictures: Path
) -> str:
    """The page; `pictures` is the folder of the picture files that the parts name.

    Values are escaped, and a value that the template misses is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "named": named, "bounds": bounds}
    environment.globals |= {"picture": drawn_from(pictures), "published": published, "shown": shown, "groups": groups}
    environment.globals["ratio_told"] = ratio_told
    chosen = {name: heading for name, heading in PARTS.items() if name in parts}
    return environment.get_template(PAGE.name).render(
        parts=parts,
        headings=chosen,
        verdict=verdict,
        params=params,
        paper=None if params.reference is None else REFERENCES[params.reference],
        metric={"iou": "IoU"}.get(first_of(parts)["main"], first_of(parts)["main"]),
    )


def first_of(parts: Mapping[str, Part]) -> Mapping[str, Any]:
    """The document of the first part; all agree on the task."""
    return next(iter(parts.values())).document


def shown(part: Part, *words: str) -> list[str]:
    """Names of the part's figures that hold any of `words`, in the order of these; with none, those that no section
    asks for by a word."""
    if words:
        return list(dict.fromkeys(stem for word in words for stem in part.figures if word in stem))
    return [stem for stem in part.figures if not any(word in stem for word in ASKED[part.name])]


def groups(signature: Mapping[str, Any]) -> list[str]:
    """The groups of a signature in the order of the search; JSON has them by name."""
    searched = dict.fromkeys(str(entry["group"]) for entry in signature["sweep"])
    return [name for name in searched if name in signature["groups"]]


ASKED = {
    "given": ("matrix", "drop", "worst"),
    "synthesis": ("matrix", "severity", "drop", "worst"),
    "forensics": ("lambda", "l2", "range"),
    "optimisation": ("curve",),
}
"""Words in the names of figures that the template puts at a place of their own."""
