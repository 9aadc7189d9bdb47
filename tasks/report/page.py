"""The page: sections' values and pictures through one Jinja2 template into one self-contained HTML file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.lineage.diagram import size_text
from tasks.report import encode, headline
from tasks.report.text import interval, number, percent, words

TEMPLATES = Path(__file__).parent / "templates"
PAGE, STYLE = "page.html.j2", "style.css"


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
