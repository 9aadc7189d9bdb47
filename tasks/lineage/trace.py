"""The story of one sample or tile, down to the source files: what `rawmill trace PATH#ID` tells.

A story names an output, the part of it that is meant, the files that hold that part, each with its SHA-256
computed now and a Merkle proof up to the root in the recipe, and the stories of the outputs it was made from,
narrowed to the parts that went in: a mask to the tiles it was cut from, weights to the tiles that trained them,
tiles to their source files. Every edge on the way is checked as the audit does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, LineageError, fault
from tasks.lineage import contents
from tasks.lineage.audit import check_artefact, check_leaf
from tasks.lineage.chunk_proof import ChunkProof, prove_chunks, read_chunk
from tasks.lineage.digest import leaf_value, leaves_of, merkle_proof, proves, sha256_file
from tasks.lineage.places import relative, resolve
from tasks.lineage.recipe import digest_of, mend, read, read_tree

Ids = frozenset[str] | None
"""The parts of an output that are meant; None is all of it."""


@dataclass(frozen=True)
class Proven:
    """A file whose SHA-256 leads through `proof` (side, sibling; leaf to root) to the root of its output."""

    path: str
    sha256: str
    bytes: int
    proof: tuple[tuple[str, str], ...]
    chunks: str = ""
    """Root over the chunks of a shard, which its leaf commits to as well."""

    @property
    def leaf(self) -> str:
        """The value of the file's leaf: what `digest.proves` takes."""
        return leaf_value({"sha256": self.sha256} | ({"chunks": self.chunks} if self.chunks else {}))


@dataclass(frozen=True)
class Story:
    """An output or, with kind `file` or `package`, a file that nothing here made."""

    path: str
    kind: str
    stage: str
    digest: str
    """Recipe digest of an output, SHA-256 of a file."""
    root: str
    role: str
    """What it was to the one above: `denoiser`, `masks`, …"""
    parts: tuple[str, ...]
    """Sample ids, tile ids or file names that are meant; empty is all."""
    facts: Mapping[str, Any]
    files: tuple[Proven, ...]
    inputs: tuple["Story", ...]
    chunks: tuple[ChunkProof, ...] = ()
    """Where one tile is meant: the chunks of its picture at full resolution that its window touches."""

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def trace(path: Path, sample: str, base: Path | None = None) -> Story:
    """The story of `sample` (a sample id of a synthetic store, a tile id of a raw or variant store) at `path`.

    Names are relative to `base`, by default the working directory. Raises `InputError` for an unknown id and
    `LineageError` for the first edge or file on the way that does not hold.
    """
    kind = contents.kind_of(path)
    table = contents.samples(path)["sample_id"] if kind == "samples" else contents.tiles(path)["tile_id"]
    if sample not in set(table):
        some = ", ".join(sorted(set(table))[:3]) or "none"
        raise InputError(fault(f"{path}#{sample}", "no such sample", f"an id such as {some}", "name one of these"))
    return tell(path.resolve(), frozenset([sample]), "", base or Path.cwd())


def tell(path: Path, ids: Ids, role: str, base: Path) -> Story:
    """The story of the parts `ids` of the output at `path`; recursive over its inputs."""
    recipe, tree = read(path), read_tree(path)
    names, facts = describe(path, ids, tree)
    return Story(
        path=relative(path, base),
        kind=contents.kind_of(path),
        stage=recipe["stage"],
        digest=digest_of(recipe),
        root=recipe["output"]["root"],
        role=role,
        parts=tuple(sorted(ids or ())),
        facts={"stage_seed": recipe["seed"], **facts},
        files=tuple(prove(path, name, tree, recipe) for name in names),
        inputs=_inputs(path, ids, recipe, base),
        chunks=prove_tile(path, ids, tree) if ids is not None and len(ids) == 1 else (),
    )


def describe(path: Path, ids: Ids, tree: Collection[str]) -> tuple[list[str], dict[str, Any]]:
    """The files of the output at `path` that hold the parts `ids`, and what its tables say about them."""
    kind = contents.kind_of(path)
    if kind == "samples" and ids is not None:
        rows = contents.samples(path)
        mine = [_plain(row) for row in rows[rows["sample_id"].isin(ids)].to_dict("records")]
        return [n for i in sorted(ids) for n in contents.files_of_sample(tree, i)], {"samples": mine}
    if kind == "tiles" and ids is not None:
        rows = contents.tiles(path)
        cut = rows[rows["tile_id"].isin(ids)]
        return contents.files_of_tiles(path, tree, cut), {"tiles": len(cut), "sources": sorted(set(cut["source"]))}
    if kind == "model":
        rows = contents.tiles(path)
        roles = rows.drop_duplicates(["tile_id", "role"])["role"].value_counts()
        names = [n for n in sorted(tree) if n.endswith(".safetensors") or n in ("model.json", "tiles.parquet")]
        counts = {str(k): int(v) for k, v in sorted(roles.items())}
        return names, {"tiles": counts, "distinct_tiles": int(rows["tile_id"].nunique())}
    if kind == "sources" and ids is not None:
        return sorted(ids & set(tree)), {}
    return [], {"files": len(tree)}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A table row as JSON values."""
    return {str(k): v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()}


def prove(path: Path, name: str, tree: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, Any]) -> Proven:
    """Hash file `name` of the output at `path` now and lead it to the root; `LineageError` where it does not."""
    entry, root = tree[name], recipe["output"]["root"]
    file = path / name
    found = sha256_file(file) if file.is_file() else "missing"
    proof = tuple(merkle_proof(leaves_of(tree), name))
    proven = Proven(name, found, int(entry["bytes"]), proof, str(entry.get("chunks", "")))
    if not proves(name, proven.leaf, proof, root):
        raise LineageError(fault(file, f"sha256 {found}", f"sha256 {entry['sha256']}", mend(recipe)))
    return proven


def prove_tile(path: Path, ids: Collection[str], tree: Mapping[str, Mapping[str, Any]]) -> tuple[ChunkProof, ...]:
    """Proofs of just the chunks that hold the pixels of the tiles `ids` of the store at `path`, each read by range
    and led to the root. Raises `LineageError` where one is not what the tree says."""
    if contents.kind_of(path) != "tiles":
        return ()
    rows = contents.tiles(path)
    wanted = contents.chunks_of_tiles(path, tree, rows[rows["tile_id"].isin(ids)])
    proofs = tuple(proof for name, coords in wanted.items() for proof in prove_chunks(path, name, coords, tree))
    for proof in proofs:
        read_chunk(path, proof)
    return proofs


def _inputs(path: Path, ids: Ids, recipe: Mapping[str, Any], base: Path) -> tuple[Story, ...]:
    stories = []
    for entry in recipe["inputs"]:
        found = resolve(path, entry)
        if entry["kind"] == "artefact":
            check_artefact(found, entry, recipe)
            below = parts_below(path, ids, found)
            if below is None or below:
                stories.append(tell(found, below, entry["role"], base))
        elif _concerns(path, ids, entry):
            stories.append(_leaf(found, entry, recipe, base))
    return (*stories, *_masks(path, ids, recipe, base))


def _masks(path: Path, ids: Ids, recipe: Mapping[str, Any], base: Path) -> list[Story]:
    """The tiles that the masks of samples were cut from, where a model carries the masks and no store is an input."""
    used = [resolve(path, entry) for entry in recipe["inputs"] if entry["kind"] == "artefact"]
    if contents.kind_of(path) != "samples" or any(contents.kind_of(u) == "tiles" for u in used):
        return []
    below = (resolve(u, e) for u in used for e in read(u)["inputs"] if e["kind"] == "artefact")
    stores = sorted({place for place in below if contents.kind_of(place) == "tiles"})
    wanted = ((place, parts_below(path, ids, place)) for place in stores)
    return [tell(place, parts, "mask", base) for place, parts in wanted if parts]


def parts_below(path: Path, ids: Ids, used: Path) -> Ids:
    """Which parts of its input `used` the parts `ids` of the output at `path` were made from."""
    kinds = contents.kind_of(path), contents.kind_of(used)
    if kinds == ("samples", "tiles") and ids is not None:
        rows = contents.samples(path)
        chosen = rows[rows["sample_id"].isin(ids)].to_dict("records")
        cut = {t for row in chosen for t in contents.mask_tiles({str(k): v for k, v in row.items()})}
        return frozenset(cut & set(contents.tiles(used)["tile_id"]))
    if kinds == ("model", "tiles"):
        return frozenset(contents.tiles(path)["tile_id"]) & frozenset(contents.tiles(used)["tile_id"])
    if kinds == ("tiles", "tiles"):
        return ids
    if kinds == ("tiles", "sources") and ids is not None:
        rows = contents.tiles(path)
        names = set(rows[rows["tile_id"].isin(ids)]["source"])
        return frozenset(names | masks_of(used, names))
    return None


def masks_of(sources: Path, names: Collection[str]) -> set[str]:
    """Mask and annotation files that the manifest of the folder `sources` gives to the files `names`."""
    rows = contents.manifest(sources)
    return {str(m) for m in rows[rows["file"].isin(names)]["mask"] if m}


def _concerns(path: Path, ids: Ids, entry: Mapping[str, Any]) -> bool:
    """Whether a source file concerns the parts `ids`: another tile's picture or annotation does not, a calibration
    does."""
    if ids is None or contents.kind_of(path) != "tiles":
        return True
    rows = contents.tiles(path)
    pictures = contents.pictures_of(path, entry)
    return pictures is None or bool(pictures & set(rows[rows["tile_id"].isin(ids)]["source"]))


def _leaf(found: Path, entry: Mapping[str, Any], recipe: Mapping[str, Any], base: Path) -> Story:
    package = entry["kind"] == "package"
    name = f"{entry['package']}:{entry['path']}" if package else relative(found, base)
    node = check_leaf(found, entry, recipe, name)
    facts = {"bytes": node.bytes} | ({"uri": node.uri} if node.uri else {})
    return Story(name, entry["kind"], "", node.digest, "", entry["role"], (), facts, (), ())


def lines(story: Story, depth: int = 0, seen: set[tuple[str, tuple[str, ...]]] | None = None) -> list[str]:
    """The story as indented text; an output told before is named and not told again."""
    seen = set() if seen is None else seen
    key = (story.path, story.parts)
    pad = "  " * depth
    parts = f"#{story.parts[0]}" if len(story.parts) == 1 else f" ({len(story.parts)} parts)" if story.parts else ""
    label = f"{story.role}: " if story.role else ""
    head = f"{pad}{label}{story.path}{parts}  {story.digest[:16]}"
    if key in seen and story.inputs:
        return [f"{head}  (told above)"]
    seen.add(key)
    text = [head, *(f"{pad}  | {k}: {v}" for k, v in _facts(story))]
    text += [f"{pad}  | proven {f.path}  {f.sha256[:16]}  {f.bytes} bytes" for f in story.files[:SHOWN]]
    if len(story.files) > SHOWN:
        text.append(f"{pad}  | and {len(story.files) - SHOWN} more files, each proven")
    if story.chunks:
        text.append(f"{pad}  | tile proved by {_chunks_text(story.chunks)} to root {story.root[:16]}")
    return text + [line for below in story.inputs for line in lines(below, depth + 1, seen)]


def _chunks_text(chunks: Sequence[ChunkProof]) -> str:
    count = f"{len(chunks)} chunk{'s' if len(chunks) > 1 else ''}"
    return f"{count} of {sum(chunk.bytes for chunk in chunks)} bytes"


SHOWN = 8
"""Files of one output that the text names; the JSON names all."""


def _facts(story: Story) -> list[tuple[str, Any]]:
    rows = story.facts.get("samples", ())
    flat = [(k, _short(v)) for row in rows for k, v in row.items() if k != "sample_id"]
    return [*flat, *((k, v) for k, v in story.facts.items() if k != "samples" and v is not None)]


def _short(value: Any) -> Any:
    """A list of many as its number and its first."""
    return f"{len(value)}, first {value[0]}" if isinstance(value, list) and len(value) > 1 else value
