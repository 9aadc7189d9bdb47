"""The audit: from an output, recipe by recipe, to the source files; every digest on the way is computed anew.

For each output it checks, in this order, and raises `LineageError` at the first that does not hold:

1. the recipe's seal, and the tree against the root in the recipe;
2. no file missing, none too many, the size and the SHA-256 of each, the root over the chunks of each shard;
3. each input: an output of rawmill still has the recipe and root that this one was made from, a source file or
   a file of an installed package still has its SHA-256, here or, where it is gone, at the URI it was fetched from;
4. where a project is given: the params (and code) are those of the project now.

The message says what is stored, what was expected and the command that mends it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.errors import LineageError, fault
from tasks.lineage.digest import RECIPE, TREE, sha256_file, tree_of
from tasks.lineage.places import outputs_below, relative, resolve
from tasks.lineage.recipe import check_files, digest_of, mend, read, read_tree
from tasks.lineage.remote import Unreachable, digest_uri
from tasks.lineage.stale import Project

Kind = Literal["output", "file", "package"]


@dataclass(frozen=True)
class Node:
    """An output, a source file or a file of a package; `path` (relative to the base of the audit) is its name."""

    path: str
    kind: Kind
    digest: str
    """An output's recipe digest, a file's SHA-256."""
    files: int
    bytes: int
    stage: str = ""
    root: str = ""
    uri: str = ""
    """Where a source file was fetched from."""


@dataclass(frozen=True)
class Edge:
    """`user` was made from `used`; `role` says as what."""

    user: str
    used: str
    role: str


@dataclass(frozen=True)
class Checked:
    """One output that holds: itself, the files that it names, and its edges."""

    node: Node
    leaves: tuple[Node, ...]
    edges: tuple[Edge, ...]
    inputs: tuple[Path, ...]
    """Outputs that it was made from, in the order of the recipe."""


@dataclass(frozen=True)
class Audit:
    """What an audit went through, without a fault. Nodes and edges are sorted."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    targets: tuple[str, ...] = field(default=())
    """The outputs that it started from."""

    @property
    def files(self) -> int:
        return sum(node.files for node in self.nodes)

    @property
    def bytes(self) -> int:
        return sum(node.bytes for node in self.nodes)

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"files": self.files, "bytes": self.bytes, **asdict(self)}


def audit(path: Path, project: Project | None = None, base: Path | None = None) -> Audit:
    """Audit the output at `path` down to its sources; names in the result are relative to `base`, by default the
    working directory. Raises `LineageError` at the first broken edge."""
    return _audit([path], project, base or Path.cwd())


def audit_all(data: Path, project: Project | None = None, base: Path | None = None) -> Audit:
    """Audit every output below the folder `data`, each once. Raises `LineageError`, also where there is none."""
    found = outputs_below(data)
    if not found:
        raise LineageError(fault(data, "no outputs", "outputs of rawmill", "make them with `rawmill repro`"))
    return _audit(found, project, base or Path.cwd())


def _audit(targets: Iterable[Path], project: Project | None, base: Path) -> Audit:
    """Depth first, each output once, whatever the number of its users."""
    targets = [target.resolve() for target in targets]
    done: dict[Path, Checked] = {}
    waiting = list(reversed(targets))
    while waiting:
        path = waiting.pop()
        if path not in done:
            done[path] = check_output(path, project, base)
            waiting += reversed(done[path].inputs)
    return join(done.values(), tuple(relative(t, base) for t in targets))


def join(checked: Iterable[Checked], targets: tuple[str, ...]) -> Audit:
    """One graph of what was checked; `LineageError` where an edge leads to an output that was not checked."""
    found = list(checked)
    nodes = {node.path: node for each in found for node in (*each.leaves, each.node)}
    edges = {edge for each in found for edge in each.edges}
    for edge in sorted(edges, key=_edge_key):
        if edge.used not in nodes:
            raise LineageError(fault(edge.used, f"used by {edge.user} but not audited", "an audit", "audit it too"))
    return Audit(tuple(nodes[n] for n in sorted(nodes)), tuple(sorted(edges, key=_edge_key)), tuple(sorted(targets)))


def _edge_key(edge: Edge) -> tuple[str, str, str]:
    return edge.user, edge.used, edge.role


def check_output(path: Path, project: Project | None, base: Path) -> Checked:
    """Check the output at `path` alone: its own files and the edges to its inputs. Raises `LineageError`."""
    recipe = read(path)
    tree = check_content(path, recipe)
    if project is not None:
        project.check(path, recipe)
    node = Node(
        path=relative(path, base),
        kind="output",
        digest=digest_of(recipe),
        files=len(tree) + 2,
        bytes=sum(entry["bytes"] for entry in tree.values()) + sum((path / n).stat().st_size for n in (RECIPE, TREE)),
        stage=recipe["stage"],
        root=recipe["output"]["root"],
    )
    leaves, edges, inputs = [], [], []
    for entry in recipe["inputs"]:
        found = resolve(path, entry)
        name = _leaf_name(entry, found, base)
        edges.append(Edge(node.path, name, entry["role"]))
        if entry["kind"] == "artefact":
            check_artefact(found, entry, recipe)
            inputs.append(found)
        else:
            leaves.append(check_leaf(found, entry, recipe, name))
    return Checked(node, tuple(leaves), tuple(edges), tuple(inputs))


def _leaf_name(entry: Mapping[str, Any], found: Path, base: Path) -> str:
    return f"{entry['package']}:{entry['path']}" if entry["kind"] == "package" else relative(found, base)


def check_content(path: Path, recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tree, names, sizes, the SHA-256 of every file of the output at `path` and the root over the chunks of each
    shard; returns the tree."""
    tree = read_tree(path)
    check_files(path)
    found = tree_of(path)
    # All bytes first: where zarr.json of an array is damaged, the chunks of its whole shards cannot be told apart.
    for key, what in (("sha256", "sha256"), ("chunks", "root over its chunks")):
        for name, entry in tree.items():
            present, expected = found[name].get(key, "none"), entry.get(key, "none")
            if present != expected:
                raise LineageError(fault(path / name, f"{what} {present}", f"{what} {expected}", mend(recipe)))
    return tree


def check_artefact(found: Path, entry: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    """The output at `found` is the very one that `entry` of the recipe `user` names."""
    if not found.exists():
        raise LineageError(fault(found, "missing", f"recipe {entry['recipe']}", mend(user)))
    recipe = read(found)
    for what, present in (("recipe", digest_of(recipe)), ("root", recipe["output"]["root"])):
        if present != entry[what]:
            whose = f"{what} {entry[what]}, from which {user['name']} ({user['stage']}) was made"
            raise LineageError(fault(found, f"{what} {present}", whose, mend(user)))


def check_leaf(found: Path, entry: Mapping[str, Any], user: Mapping[str, Any], name: str) -> Node:
    """The source or package file at `found` is the very one that `entry` of the recipe `user` names.

    A file that is gone but was fetched from a URI is read there.
    """
    expected = f"sha256 {entry['sha256']}, from which {user['name']} ({user['stage']}) was made"
    remedy, uri = f"put the file back, or {mend(user)}", str(entry.get("uri", ""))
    where = str(found) if found.is_file() or not uri else uri
    try:
        digest, size = digest_uri(uri) if where == uri else (sha256_file(found), found.stat().st_size)
    except FileNotFoundError:
        raise LineageError(fault(found, "missing", expected, remedy)) from None
    except Unreachable as error:
        wrong = f"missing, and {uri} cannot be read ({error})"
        raise LineageError(fault(found, wrong, expected, remedy)) from None
    if digest != entry["sha256"] or size != entry.get("bytes", size):
        raise LineageError(fault(where, f"sha256 {digest}, {size} bytes", expected, remedy))
    return Node(name, entry["kind"], digest, files=1, bytes=size, uri=uri)
