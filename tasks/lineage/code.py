"""The closure of source code behind a step: every project module that it imports, and the libraries they use.

Found by reading the import statements (also those inside functions), never by running anything.
"""

import ast
import functools
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from tasks.lineage.digest import sha256_file

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("tasks", "flows")
BEHIND = {"tifffile": ("imagecodecs",), "zarr": ("numcodecs",), "pandas": ("pyarrow",)}
"""Libraries that an imported one calls to make bytes: codecs of TIFF and Zarr, the writer of Parquet."""


OTHERWISE_CALLED = {"PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml", "mlflow": "mlflow-skinny"}
"""Distributions whose import name is another. tests/unit/lineage checks that no import of ours is missed."""


def module_file(name: str) -> Path | None:
    """The file of project module `name` (dotted), or None where it is not a module of this project."""
    base = PROJECT.joinpath(*name.split("."))
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


@functools.cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names that `file` imports; `from a.b import c` gives both `a.b` and `a.b.c`."""
    names: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and all statements below it. Expressions hold none, and are nine tenths of a tree."""
    yield node
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        below = getattr(node, block, ())
        for child in below if isinstance(below, list) else ():
            yield from _statements(child)


@functools.cache
def closure(module: str) -> frozenset[Path]:
    """Files of all project modules that `module` reaches by imports, itself included."""
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = module_file(name)
        if file is None or file in seen:
            continue
        seen.add(file)
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        waiting += parents + [i for i in imports(file) if i.split(".")[0] in PACKAGES]
    return frozenset(seen)


def code_digests(module: str) -> dict[str, str]:
    """`{path in the project: sha256}` of the closure of `module`."""
    return {f.relative_to(PROJECT).as_posix(): sha256_file(f) for f in sorted(closure(module))}


@functools.cache
def _version(top: str) -> tuple[str, str] | None:
    """(distribution, version) behind the import name `top`; None where nothing installed provides it.

    Most distributions are called as they are imported; the map of all of them takes a second to read.
    """
    for name in (OTHERWISE_CALLED.get(top), top):
        try:
            if name:
                return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def libraries(module: str) -> dict[str, str]:
    """Versions of Python and of the third-party libraries that the closure of `module` imports."""
    tops = {name.split(".")[0] for file in closure(module) for name in imports(file)}
    tops |= {behind for top in tops for behind in BEHIND.get(top, ())}
    wanted = sorted(t for t in tops if t not in PACKAGES and t not in sys.stdlib_module_names)
    found = dict(filter(None, map(_version, wanted)))
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **found}
