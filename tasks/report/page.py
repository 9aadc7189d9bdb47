"""The page: sections' values and pictures through one Jinja2 template into one self-contained HTML file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.lineage.diagram import size_text
from tasks.report import encode, headline

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "page.html.j2"
WRITTEN = {
    "frechet": "Fréchet",
    "iou": "IoU",
    "dice": "Dice",
    "f1": "F1",
    "f1_mean": "F1, mean of classes",
    "iou_tile_mean": "IoU, mean of tiles",
    "dice_tile_mean": "Dice, mean of tiles",
    "accuracy_of_majority": "accuracy of one answer to all",
    "iou_of_everywhere": "IoU of everywhere",
    "held_out_psnr_db": "held-out PSNR in dB",
    "held_out_ssim": "held-out SSIM",
}
"""Identifiers that read better otherwise."""


def render(sections: Mapping[str, Mapping[str, Any]], pictures: Path) -> str:
    """The page for the values of all sections; `pictures` is the folder of the picture files they name.

    Values are escaped; only the two SVG drawings, which escape their own text, are taken as they are. A value
    that the template misses is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "bytes": size_text,
        "percent": percent,
        "words": words,
    }
    environment.globals |= {"picture": drawn_from(pictures)}
    drawings = {key: Markup(sections["origins"][key]) for key in ("graph", "story")}
    return environment.get_template(PAGE).render(
        **{**sections, "origins": {**sections["origins"], **drawings}}, tiles=headline.tiles(sections)
    )


def drawn_from(folder: Path) -> Callable[..., Markup]:
    """A function for the template: `picture(name, alt)` gives an `img` element that holds the file itself."""

    def picture(name: str, alt: str, sharp: bool = False) -> Markup:
        width, height = encode.size_px(folder / name)
        kind = "sharp" if sharp else "smooth"
        form = '<img src="{}" alt="{}" width="{}" height="{}" class="{}" loading="lazy">'
        return Markup(form).format(encode.data_uri(folder / name), alt, width, height, kind)

    return picture


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(estimate: Mapping[str, float | None], digits: int = 2) -> str:
    """`[low, high]`, or nothing where it is not defined."""
    low, high = estimate["low"], estimate["high"]
    return "" if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def percent(value: float) -> str:
    """A fraction in percent, without digits that say nothing."""
    return f"{100 * value:.0f} %" if value >= 0.1 or value == 0 else f"{100 * value:.1f} %"


def words(name: str) -> str:
    """An identifier as words."""
    return WRITTEN.get(name, name.replace("_", " "))
