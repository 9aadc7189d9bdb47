"""The code behind a user's own network, for recipes: its files, and the versions of the installed packages it uses.

A network is more than the file that its import path names: the classes of what was built are followed too, and what
those files import beside themselves. So an edited network makes another plan, and no old output passes for its own.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from torch import nn

from tasks.learn.determinism import one_thread
from tasks.learn.networks import build
from tasks.learn.params import ArchitectureParams, ModuleParams
from tasks.lineage.code import PACKAGES
from tasks.lineage.recipe import source_file

ROLE = "architecture"
PACKAGE_NOTE = "network_packages"
INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class OwnCode:
    """What a recipe says of it: `inputs`, an entry a file, the first that of the callable; and `notes` with
    `{distribution: version}` under `PACKAGE_NOTE`. Both are empty for rawmill's own networks."""

    inputs: tuple[dict[str, Any], ...]
    notes: Mapping[str, Any]


def own_code(architecture: ArchitectureParams, out: Path) -> OwnCode:
    """The code that defines the network of `architecture`, with paths relative to the folder that holds `out`.

    Builds the network once, on the CPU. Raises `ParamsError` where it cannot be had.
    """
    if not isinstance(architecture, ModuleParams):
        return OwnCode((), {})
    with one_thread():
        network = build(architecture, 0, 0).network
    place = architecture.path.partition(":")[0]
    files, packages = _defined_by(place, _modules(architecture, network))
    names = sorted(files, key=lambda name: (name != place, name))
    inputs = (source_file(ROLE if name == place else f"{ROLE}:{name}", files[name], out) for name in names)
    return OwnCode(tuple(inputs), {PACKAGE_NOTE: dict(sorted(packages.items()))})


def root_of(architecture: ArchitectureParams) -> Path | None:
    """The folder that must be on the import path for a user's network; None where an installed package has it, or
    nothing that can be imported."""
    if not isinstance(architecture, ModuleParams):
        return None
    name = architecture.path.partition(":")[0]
    with suppress(ImportError):
        importlib.import_module(name)
    file = _loaded_from(name)
    return None if file is None or _is_installed(file) else _root(name, file)


def _modules(architecture: ModuleParams, network: nn.Module) -> set[str]:
    """Names of the modules that define the callable, and each class that a part of the network is or inherits."""
    place, _, name = architecture.path.partition(":")
    made_by = inspect.unwrap(getattr(importlib.import_module(place), name))
    classes = {base for part in network.modules() for base in type(part).__mro__}
    return {place, str(getattr(made_by, "__module__", place)), *(base.__module__ for base in classes)}


def _defined_by(place: str, modules: Iterable[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The files by module name, and the versions of distributions, behind `modules`."""
    left_out = {*sys.stdlib_module_names, "torch", "__main__", *PACKAGES} - {_top(place)}
    files: dict[str, Path] = {}
    packages: dict[str, str] = {}
    for name in sorted(modules):
        file = _loaded_from(name) if _top(name) not in left_out else None
        if file is None:
            continue
        found, used = ({}, {_top(name)}) if _is_installed(file) else _closure(name, file, left_out)
        versions = {key: version for top in sorted(used) for key, version in _versions(top).items()}
        packages |= versions
        files |= found if found or versions else {name: file}
    return files, packages


def _top(name: str) -> str:
    return name.partition(".")[0]


def _loaded_from(name: str) -> Path | None:
    """The file of an imported module; None for one without, such as a built-in."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(file)


def _is_installed(file: Path) -> bool:
    return not INSTALLED.isdisjoint(file.parts)


def _root(name: str, file: Path) -> Path:
    """The folder from which module `name` is imported."""
    return file.parents[name.count(".") + (file.name == "__init__.py")]


def _closure(module: str, file: Path, left_out: set[str]) -> tuple[dict[str, Path], set[str]]:
    """Files that `module` (at `file`) reaches by import statements in the folder that it is imported from, itself
    included; and the first names of all other modules that they import. `left_out` are first names that do not
    count. Nothing is run for it."""
    root = _root(module, file)
    files, outside, waiting = {module: file}, set[str](), [module]
    while waiting:
        name = waiting.pop()
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        for other in {*parents, *_imports(name, files[name])} - set(files):
            if _top(other) in left_out:
                continue
            found = _below(root, other)
            if found is not None:
                files[other] = found
                waiting.append(other)
            elif _below(root, _top(other)) is None:
                outside.add(_top(other))
    return files, outside


def _below(root: Path, name: str) -> Path | None:
    """The file of module `name` below `root`, by the order in which Python looks."""
    base = root.joinpath(*name.split("."))
    places = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((place for place in places if place.is_file()), None)


def _imports(name: str, file: Path) -> list[str]:
    """Dotted names that the module imports; `from .b import c` in `a.x` gives `a.b` and `a.b.c`."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes(), str(file))))
    except (SyntaxError, ValueError):  # a module that is never imported, or it would have failed before
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
    return names


def _absolute(name: str, package: str) -> str | None:
    """The dotted name behind a relative one; None where it leaves its package."""
    try:
        return resolve_name(name, package)
    except ImportError:
        return None


def _versions(top: str) -> dict[str, str]:
    """Versions of the distributions that provide the import name `top`; empty where none does."""
    try:
        return {top: metadata.version(top)}
    except metadata.PackageNotFoundError:
        return {name: metadata.version(name) for name in sorted(metadata.packages_distributions().get(top, ()))}
