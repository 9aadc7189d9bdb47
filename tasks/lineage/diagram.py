"""Audits and stories as pictures: which boxes and arrows `tasks.lineage.graph` is to draw."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from tasks.lineage.audit import Audit, Node
from tasks.lineage.graph import Arrow, Box, svg
from tasks.lineage.trace import Story

ALIKE = 3
"""Outputs of one stage with the same inputs and users are drawn as one box from this number on."""
TONES = {"acquire": "sources", "ingest": "tiles", "develop": "tiles", "learn": "model", "train": "model",
         "encoder": "model", "segmenter": "model", "synthesise": "samples"}  # fmt: skip


def size_text(size: int) -> str:
    """Bytes as people read them: 999 B, 1.2 kB, 34.5 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def audit_svg(audit: Audit) -> str:
    """The lineage graph of an audit: one box an output, source files and outputs alike gathered."""
    place = gather(audit)
    groups: dict[str, list[Node]] = {}
    for node in audit.nodes:
        groups.setdefault(place[node.path], []).append(node)
    arrows = sorted({Arrow(place[e.used], place[e.user], e.role) for e in audit.edges}, key=_arrow_key)
    return svg([_group_box(name, nodes) for name, nodes in sorted(groups.items())], _single(arrows), "Lineage")


def _arrow_key(arrow: Arrow) -> tuple[str, str, str]:
    return arrow.start, arrow.end, arrow.label


def _single(arrows: Sequence[Arrow]) -> list[Arrow]:
    """One arrow between two boxes, its label all roles."""
    roles: dict[tuple[str, str], list[str]] = {}
    for arrow in arrows:
        roles.setdefault((arrow.start, arrow.end), []).append(arrow.label)
    return [Arrow(a, b, ", ".join(sorted(set(labels)))) for (a, b), labels in sorted(roles.items())]


def gather(audit: Audit) -> dict[str, str]:
    """`{path of a node: name of its box}`: nodes of one kind, stage, host, inputs and users share one."""
    users: dict[str, set[str]] = {node.path: set() for node in audit.nodes}
    used: dict[str, set[str]] = {node.path: set() for node in audit.nodes}
    for edge in audit.edges:
        users[edge.used].add(edge.user)
        used[edge.user].add(edge.used)
    alike: dict[tuple[str, ...], list[str]] = {}
    for n in audit.nodes:
        key = (n.kind, n.stage, _host(n.uri), *sorted(used[n.path]), "|", *sorted(users[n.path]))
        alike.setdefault(key, []).append(n.path)
    small = {p: p for paths in alike.values() if len(paths) < ALIKE for p in paths}
    return {**small, **{p: f"{paths[0]} …" for paths in alike.values() if len(paths) >= ALIKE for p in paths}}


def _group_box(name: str, nodes: Sequence[Node]) -> Box:
    first = nodes[0]
    files, size = sum(n.files for n in nodes), sum(n.bytes for n in nodes)
    many = f"{files} files, {size_text(size)}" if files > 1 else size_text(size)
    if len(nodes) > 1:
        where = first.path.split(":")[0] if first.kind == "package" else first.path.split("/")[-2]
        title = f"{len(nodes)} {where} {'stores' if first.kind == 'output' else 'files'}"
        return Box(name, title, (_what(first), many), tone(first.stage))
    what = _what(first) if first.uri else f"{_what(first)} · {first.digest[:10]}"
    return Box(name, _title(first), (what, many), tone(first.stage))


def _title(node: Node) -> str:
    """The last two parts of an output's path, the last of a file's."""
    parts = node.path.removesuffix(".zarr").split("/")
    return "/".join(parts[-2:] if node.kind == "output" else parts[-1:])


def _what(node: Node) -> str:
    place = _host(node.uri) if node.uri else "source file"
    return {"output": node.stage, "file": place, "package": node.path.split(":")[0]}[node.kind]


def _host(uri: str) -> str:
    """Scheme and host or bucket of a URI."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def tone(stage: str) -> str:
    """Colour class of a stage; files that nothing made have none."""
    return TONES.get(stage, "other") if stage else "file"


def story_svg(story: Story) -> str:
    """The story of one sample: a box an output or file, with how many of its parts went in."""
    boxes: dict[str, Box] = {}
    arrows: set[Arrow] = set()
    parts: dict[str, set[str]] = {}
    for above, below in _pairs(None, story):
        parts.setdefault(below.path, set()).update(below.parts)
        boxes[below.path] = _story_box(below, parts[below.path])
        if above is not None:
            arrows.add(Arrow(below.path, above.path, below.role))
    ordered = _single(sorted(arrows, key=_arrow_key))
    return svg([boxes[name] for name in sorted(boxes)], ordered, f"Where {'; '.join(story.parts)} comes from")


def _pairs(above: Story | None, story: Story) -> Iterator[tuple[Story | None, Story]]:
    yield above, story
    for below in story.inputs:
        yield from _pairs(story, below)


def _story_box(story: Story, parts: set[str]) -> Box:
    short = story.path.removesuffix(".zarr").split("/")
    name = "/".join(short[-2:] if story.root else short[-1:])
    title = next(iter(parts)) if len(parts) == 1 and story.kind == "samples" else name
    what = {"tiles": "tiles", "sources": "source files", "samples": "sample"}.get(story.kind, "")
    count = f"{len(parts)} {what}" if parts else _weights(story)
    return Box(
        story.path, title, (count, f"{'recipe' if story.root else 'sha256'} {story.digest[:16]}"), tone(story.stage)
    )


def _weights(story: Story) -> str:
    tiles = story.facts.get("distinct_tiles")
    uri = story.facts.get("uri")
    return f"trained on {tiles} tiles" if tiles else f"from {_host(uri)}" if uri else story.kind
