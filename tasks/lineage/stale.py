"""Is what a recipe says still what the project says? Params and code now against params and code then.

Which sections of params.yaml make which output stands in params.yaml itself, under `audit.sections`: a pattern of
the output's path, below the folder of the params file, maps dotted keys of the recipe's params to sections.
Names in braces match one path component and may be used in the section's name:

    data/raw/{dataset}.zarr: {"": "ingest.{dataset}"}

An output whose path no pattern matches is not the project's, and its params are not judged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any

from tasks.errors import LineageError, ParamsError, fault
from tasks.lineage.code import PROJECT
from tasks.lineage.digest import RECIPE, sha256_file
from tasks.lineage.params import AuditParams
from tasks.lineage.recipe import mend
from tasks.params import load, section

Sections = Mapping[str, Mapping[str, str]]
MISSING = "nothing"
SHORT = Repr()
"""For messages of one readable line, whatever stands in a section."""


@dataclass(frozen=True)
class Project:
    """What an output is held against: a params file with the map of its sections, and the code of this checkout."""

    params_file: Path
    sections: Sections
    code: bool
    """Also hold the recipe's code digests against the present code."""

    def check(self, path: Path, recipe: Mapping[str, Any]) -> None:
        """Raises `LineageError` where the output at `path` was made from other params or other code."""
        check_params(path, recipe, self)
        if self.code:
            check_code(path, recipe)


def load_project(params_file: Path) -> Project:
    """The project of `params_file`, by its section `audit`. Raises `ParamsError` where it has none."""
    params = load(params_file, "audit", AuditParams)
    return Project(params_file, params.sections, params.check_code)


def match(pattern: str, path: str) -> dict[str, str] | None:
    """The names in braces of `pattern` as `path` fills them, or None where it does not match."""
    parts = re.split(r"\{(\w+)\}", pattern)
    regex = "".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    found = re.fullmatch(regex, path)
    return found.groupdict() if found else None


def sections_of(path: Path, project: Project) -> dict[str, str] | None:
    """`{dotted key in the recipe's params: section}` for the output at `path`, by the first pattern that matches;
    None where it is not the project's."""
    base = project.params_file.resolve().parent
    here = path.resolve()
    if not here.is_relative_to(base):
        return None
    for pattern, keys in project.sections.items():
        names = match(pattern, here.relative_to(base).as_posix())
        if names is not None:
            return {key: name.format(**names) for key, name in keys.items()}
    return None


def belongs(path: Path, project: Project) -> bool:
    """Whether the output at `path` is one of the project's."""
    return sections_of(path, project) is not None


def check_params(path: Path, recipe: Mapping[str, Any], project: Project) -> None:
    """Raises `LineageError` for the first key whose value in the recipe is not that of params.yaml."""
    for key, name in (sections_of(path, project) or {}).items():
        difference = first_difference(_stored(recipe, key), _present(project, name))
        if difference:
            where, old, new = difference
            dotted = ".".join(p for p in (key, where) if p) or "all"
            wrong = f"made with params {dotted} = {SHORT.repr(old)}"
            expected = f"{SHORT.repr(new)} of {project.params_file.name}#{name}"
            raise LineageError(fault(path / RECIPE, wrong, expected, mend(recipe)))


def _present(project: Project, name: str) -> Any:
    try:
        return section(project.params_file, name)
    except ParamsError:
        return MISSING


def _stored(recipe: Mapping[str, Any], key: str) -> Any:
    value: Any = recipe["params"]
    for part in key.split(".") if key else []:
        value = value.get(part, MISSING) if isinstance(value, Mapping) else MISSING
    return value


def first_difference(stored: Any, present: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """(dotted key, stored, present) of the first difference, or None. Lists count as equal to tuples, and
    numbers are compared by value, also where YAML reads one such as `1e-4` as text."""
    if isinstance(stored, Mapping) and isinstance(present, Mapping):
        keys = sorted({*stored, *present}, key=str)
        triples = ((stored.get(k, MISSING), present.get(k, MISSING), f"{where}.{k}" if where else str(k)) for k in keys)
        return next((d for triple in triples if (d := first_difference(*triple))), None)
    if isinstance(stored, list | tuple) and isinstance(present, list | tuple) and len(stored) == len(present):
        pairs = enumerate(zip(stored, present, strict=True))
        return next((d for i, (a, b) in pairs if (d := first_difference(a, b, f"{where}[{i}]"))), None)
    return None if _same(stored, present) else (where, stored, present)


def _same(stored: Any, present: Any) -> bool:
    if isinstance(stored, int | float) and isinstance(present, str):
        try:
            return float(present) == stored
        except ValueError:
            return False
    return bool(stored == present)


def check_code(path: Path, recipe: Mapping[str, Any]) -> None:
    """Raises `LineageError` for the first source file of the step that is no longer what made the output."""
    for name, stored in recipe["code"].items():
        file = (PROJECT / name).resolve()
        inside = file.is_relative_to(PROJECT) and file.is_file()
        present = sha256_file(file) if inside else MISSING
        if present != stored:
            wrong = f"made by {name} sha256 {stored}"
            raise LineageError(fault(path / RECIPE, wrong, f"sha256 {present} of the present code", mend(recipe)))
