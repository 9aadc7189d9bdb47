"""A directed acyclic graph drawn as SVG, layer by layer from left to right.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers by longest path, a bend point in every layer that a
long edge crosses, order in a layer by barycentres, and then heights pulled towards the neighbours' mean while the
order and the distances are kept. Everything is deterministic: ties are broken by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

BOX_WIDTH_PX, BOX_HEIGHT_PX, GAP_X_PX, GAP_Y_PX, BEND_HEIGHT_PX, MARGIN_PX = 190.0, 58.0, 58.0, 16.0, 14.0, 12.0
SWEEPS = 12
TITLE_LETTERS, LINE_LETTERS = 23, 30


@dataclass(frozen=True)
class Box:
    """A node. `tone` picks its colour; `href` makes it a link."""

    id: str
    title: str
    lines: tuple[str, ...]
    tone: str
    href: str = ""


@dataclass(frozen=True)
class Arrow:
    """From what was used to what was made of it; `label` shows on hovering."""

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True)
class Layout:
    """Centres (x, y) in px of boxes and bend points, the way of each arrow through them, and the size."""

    centres: Mapping[str, tuple[float, float]]
    ways: Mapping[Arrow, tuple[str, ...]]
    width_px: float
    height_px: float


def layers(names: Sequence[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """Layer of each node: the number of arrows on the longest way to it. Raises `ValueError` on a cycle."""
    into: dict[str, list[str]] = {name: [] for name in names}
    for arrow in arrows:
        into[arrow.end].append(arrow.start)
    depth: dict[str, int] = {}
    while len(depth) < len(into):
        ready = [n for n in into if n not in depth and all(s in depth for s in into[n])]
        if not ready:
            raise ValueError("the graph has a cycle")
        depth.update({n: max((depth[s] + 1 for s in into[n]), default=0) for n in ready})
    return _near_users(depth, arrows)


def _near_users(depth: dict[str, int], arrows: Sequence[Arrow]) -> dict[str, int]:
    """Sources stand one layer before their first user, so that their arrows are short."""
    has_input = {arrow.end for arrow in arrows}
    first = {n: min((depth[a.end] for a in arrows if a.start == n), default=1) for n in depth if n not in has_input}
    return {n: max(0, first[n] - 1) if n in first else d for n, d in depth.items()}


def _bend(names: Sequence[str], arrows: Sequence[Arrow]) -> tuple[dict[Arrow, tuple[str, ...]], dict[str, int]]:
    depth = layers(names, arrows)
    ways, every = {}, dict(depth)
    for number, arrow in enumerate(arrows):
        between = range(depth[arrow.start] + 1, depth[arrow.end])
        bends = {f"\x00{number}.{layer}": layer for layer in between}
        every.update(bends)
        ways[arrow] = (arrow.start, *bends, arrow.end)
    return ways, every


def _neighbours(ways: Mapping[Arrow, tuple[str, ...]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for way in ways.values():
        for a, b in pairwise(way):
            before.setdefault(b, []).append(a)
            after.setdefault(a, []).append(b)
    return before, after


def _ordered(ways: Mapping[Arrow, tuple[str, ...]], depth: Mapping[str, int]) -> list[list[str]]:
    """Nodes of each layer from top to bottom, by barycentres, swept forth and back."""
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in sorted(depth):
        rows[depth[name]].append(name)
    before, after = _neighbours(ways)
    for sweep in range(SWEEPS):
        near, sequence = (before, rows) if sweep % 2 == 0 else (after, rows[::-1])
        place = {name: i / max(1, len(row) - 1) for row in rows for i, name in enumerate(row)}
        for row in sequence:
            means = {n: _mean([place[m] for m in near.get(n, [])], place[n]) for n in row}
            row.sort(key=lambda n: (means[n], n))
            place.update({name: i / max(1, len(row) - 1) for i, name in enumerate(row)})
    return rows


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _height(name: str) -> float:
    return BEND_HEIGHT_PX if name.startswith("\x00") else BOX_HEIGHT_PX


def _pack(row: Sequence[str], wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights as near to `wanted` as the order and the distances allow: the mean of packing down and packing up."""
    down: list[float] = []
    for i, name in enumerate(row):
        room = (_height(row[i - 1]) + _height(name)) / 2 + GAP_Y_PX if i else 0.0
        down.append(max(wanted[name], down[-1] + room) if i else wanted[name])
    up: list[float] = []
    for i, name in enumerate(reversed(row)):
        room = (_height(row[len(row) - i]) + _height(name)) / 2 + GAP_Y_PX if i else 0.0
        up.append(min(wanted[name], up[-1] - room) if i else wanted[name])
    return {name: (d + u) / 2 for name, d, u in zip(row, down, reversed(up), strict=True)}


def arrange(names: Sequence[str], arrows: Sequence[Arrow]) -> Layout:
    """Where each node stands. Raises `ValueError` on a cycle."""
    ways, depth = _bend(sorted(names), arrows)
    rows = _ordered(ways, depth)
    before, after = _neighbours(ways)
    y = {name: p for row in rows for name, p in _pack(row, dict.fromkeys(row, 0.0)).items()}
    for sweep in range(SWEEPS):
        near = (after, before)[sweep % 2]
        for row in rows:
            y.update(_pack(row, {n: _mean([y[m] for m in near.get(n, [])], y[n]) for n in row}))
    top = min((y[n] - _height(n) / 2 for n in y), default=0.0) - MARGIN_PX
    bottom = max((y[n] + _height(n) / 2 for n in y), default=0.0) + MARGIN_PX
    step = BOX_WIDTH_PX + GAP_X_PX
    centres = {n: (round(MARGIN_PX + BOX_WIDTH_PX / 2 + depth[n] * step, 1), round(y[n] - top, 1)) for n in y}
    return Layout(centres, ways, round(2 * MARGIN_PX + len(rows) * step - GAP_X_PX, 1), round(bottom - top, 1))


def svg(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str) -> str:
    """The graph as one SVG element: no scripts, nothing from outside, light and dark by the reader's setting."""
    layout = arrange([box.id for box in boxes], arrows)
    paths = [_path(arrow, layout) for arrow in arrows]
    shapes = [_box(box, layout.centres[box.id]) for box in boxes]
    w, h = layout.width_px, layout.height_px
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, *paths, *shapes, "</svg>", ""])


def _path(arrow: Arrow, layout: Layout) -> str:
    """A smooth line from the right side of a box through its bend points to the left side of another."""
    half = BOX_WIDTH_PX / 2
    way = layout.ways[arrow]
    points = [layout.centres[name] for name in way]
    text = f"M{points[0][0] + half:.1f},{points[0][1]:.1f}"
    for number, (a, b) in enumerate(pairwise(points)):
        start = a[0] + half
        end = b[0] - half
        middle = (start + end) / 2
        text += f" C{middle:.1f},{a[1]:.1f} {middle:.1f},{b[1]:.1f} {end:.1f},{b[1]:.1f}"
        if number < len(points) - 2:
            text += f" H{b[0] + half:.1f}"
    return f'<path class="lg-arrow" d="{text}"><title>{escape(arrow.label)}</title></path>'


def _box(box: Box, centre: tuple[float, float]) -> str:
    x, y = centre[0] - BOX_WIDTH_PX / 2, centre[1] - BOX_HEIGHT_PX / 2
    texts = [
        f'<text class="lg-title" x="{x + 12:.1f}" y="{y + 18:.1f}">{escape(shorten(box.title, TITLE_LETTERS))}</text>'
    ]
    texts += [
        f'<text class="lg-line" x="{x + 12:.1f}" y="{y + 34 + 14 * i:.1f}">{escape(shorten(line, LINE_LETTERS))}</text>'
        for i, line in enumerate(box.lines[:2])
    ]
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH_PX}" height="{BOX_HEIGHT_PX}" rx="7"/>'
    bar = f'<rect class="lg-bar" x="{x:.1f}" y="{y:.1f}" width="5" height="{BOX_HEIGHT_PX}" rx="2.5"/>'
    group = f'<g class="lg-box lg-{escape(box.tone)}">{rect}{bar}{"".join(texts)}<title>{escape(box.id)}</title></g>'
    return f'<a href="{escape(box.href)}">{group}</a>' if box.href else group


def shorten(text: str, letters: int) -> str:
    """`text`, its middle cut out where it has more than `letters` letters."""
    if len(text) <= letters:
        return text
    tail = (letters - 1) // 2
    return f"{text[: letters - 1 - tail]}…{text[-tail:]}"


STYLE = """<style>
.lg{--lg-back:#fff;--lg-line:#c9d0d8;--lg-text:#1c2330;--lg-soft:#5b6675;max-width:100%;height:auto}
@media (prefers-color-scheme:dark){.lg{--lg-back:#1b212b;--lg-line:#4a5565;--lg-text:#e8ecf2;--lg-soft:#9aa6b6}}
.lg text{font-family:ui-sans-serif,system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.lg-title{font-size:13px;font-weight:600;fill:var(--lg-text)}
.lg-line{font-size:11px;fill:var(--lg-soft)}
.lg-arrow{fill:none;stroke:var(--lg-line);stroke-width:1.6}
.lg-box rect{fill:var(--lg-back);stroke:var(--lg-line);stroke-width:1}
.lg-box .lg-bar{stroke:none;fill:#8a93a0}
.lg-file .lg-bar{fill:#8a93a0}.lg-sources .lg-bar{fill:#5f7d4f}.lg-tiles .lg-bar{fill:#2f7ea3}
.lg-model .lg-bar{fill:#b0622b}.lg-samples .lg-bar{fill:#8b4a9c}.lg-other .lg-bar{fill:#3d8f80}
</style>"""
