"""The way back: all that depends on a source file, and must go when a patient withdraws.

Impact flows from the source file along the recipes: a source file touches the tiles cut from it, a tile touches
the models trained on it and the samples whose mask was cut from it, and touched weights touch every sample drawn
with them. Where no table tells parts apart, the whole output counts as touched: it errs on the safe side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, fault
from tasks.lineage import contents
from tasks.lineage.places import outputs_below, relative, resolve
from tasks.lineage.recipe import read

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Use:
    """A touched output. `parts` are the touched file names, tile ids or sample ids; for a model, the tiles
    that trained it. `whole` says that all of the output is touched, whatever `parts` lists."""

    path: str
    stage: str
    whole: bool
    parts: tuple[str, ...]
    because: tuple[str, ...]
    """Touched inputs, or the source file itself."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def uses(source: Path, data: Path, base: Path | None = None) -> tuple[Use, ...]:
    """Every output below `data` that depends on the file `source`, inputs before users.

    Names are relative to `base`, by default the working directory. Raises `InputError` where none depends on it.
    """
    source, base = source.resolve(), base or Path.cwd()
    touched: dict[Path, Use] = {}
    for path in upstream_first(outputs_below(data)):
        use = judge(path, source, touched, base)
        if use is not None:
            touched[path] = use
    if not touched:
        wrong = f"no output below {data} was made from it"
        raise InputError(fault(source, wrong, "a source file", "name a file that a recipe names"))
    return tuple(touched.values())


def upstream_first(outputs: Sequence[Path]) -> list[Path]:
    """The outputs (resolved) so ordered that each stands after all its inputs; ties by path."""
    waiting = {path.resolve(): _artefacts(path) for path in outputs}
    order: list[Path] = []
    while waiting:
        ready = sorted(path for path, inputs in waiting.items() if not any(i in waiting for i in inputs))
        order += ready or sorted(waiting)
        waiting = {path: inputs for path, inputs in waiting.items() if path not in set(order)}
    return order


def _artefacts(path: Path) -> list[Path]:
    return [resolve(path, entry) for entry in read(path)["inputs"] if entry["kind"] == "artefact"]


def _reach(path: Path) -> list[Path]:
    """The inputs of the output at `path`; for samples, whose masks may come out of a model, its inputs' too."""
    near = _artefacts(path)
    far = [i for n in near for i in _artefacts(n)] if contents.kind_of(path) == "samples" else []
    return list(dict.fromkeys(near + far))


def judge(path: Path, source: Path, touched: Mapping[Path, Use], base: Path) -> Use | None:
    """How the output at `path` is touched by `source`, given how its inputs are; None where it is not."""
    recipe = read(path)
    direct = [e for e in recipe["inputs"] if e["kind"] != "artefact" and resolve(path, e) == source]
    reached = [touched[i] for i in _reach(path) if i in touched]
    inside = source.is_relative_to(path)
    if not (direct or reached or inside):
        return None
    because = (relative(source, base),) if direct or inside else tuple(sorted(u.path for u in reached))
    whole, parts = spread(path, source, direct=direct, inside=inside, reached=reached, base=base)
    return Use(relative(path, base), recipe["stage"], whole, parts, because) if whole or parts else None


def spread(
    path: Path, source: Path, *, direct: Entries, inside: bool, reached: Sequence[Use], base: Path
) -> tuple[bool, tuple[str, ...]]:
    """(all of it, which parts) of the output at `path` that the source file or the inputs `reached` touch.

    `direct` are the entries of the source file in the recipe of the output."""
    kind = contents.kind_of(path)
    if inside:
        return False, (source.relative_to(path).as_posix(),)
    if kind == "samples":
        return _samples(path, bool(direct), reached)
    if kind == "model":
        return _model(path, bool(direct), reached)
    if kind == "tiles":
        return _tiles(path, direct, reached, base)
    return True, ()


def _samples(path: Path, direct: bool, reached: Sequence[Use]) -> tuple[bool, tuple[str, ...]]:
    rows = contents.samples(path)
    if direct or any(use.whole for use in reached):
        return True, tuple(sorted(rows["sample_id"]))
    tiles = {part for use in reached for part in use.parts}
    records = ({str(k): v for k, v in row.items()} for row in rows.to_dict("records"))
    return False, tuple(sorted(r["sample_id"] for r in records if tiles & set(contents.mask_tiles(r))))


def _model(path: Path, direct: bool, reached: Sequence[Use]) -> tuple[bool, tuple[str, ...]]:
    """A model is touched whole by any of its training tiles, and by weights that it was built on."""
    mine = set(contents.tiles(path)["tile_id"])
    tiles = mine & {part for use in reached for part in use.parts}
    return direct or bool(tiles) or any(use.whole for use in reached), tuple(sorted(tiles))


def _tiles(path: Path, direct: Entries, reached: Sequence[Use], base: Path) -> tuple[bool, tuple[str, ...]]:
    """Tiles of touched source files, or tiles of the same ids as in a touched store; none of a refused file."""
    rows = contents.tiles(path)
    owners = [contents.pictures_of(path, entry) for entry in direct]
    names: set[str] = set().union(*(owner for owner in owners if owner))
    tiles: set[str] = set()
    for use in reached:
        names |= _pictures(base / use.path, use.parts) if contents.kind_of(base / use.path) == "sources" else set()
        tiles |= set(use.parts)
    mine = rows[rows["source"].isin(names) | rows["tile_id"].isin(tiles)]["tile_id"]
    unplaced = None in owners or not names <= set(rows["source"])
    return unplaced or any(use.whole for use in reached), tuple(sorted(mine))


def _pictures(sources: Path, parts: Sequence[str]) -> set[str]:
    """The files that tiles name, for touched files of a sources folder: a mask stands for its pictures."""
    rows = contents.manifest(sources)
    owners = {p: set(rows[rows["mask"] == p]["file"]) or {p} for p in parts}
    return set().union(*owners.values()) if owners else set()
