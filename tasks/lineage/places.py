"""Where outputs, source files and package files lie now: from a recipe's entries to paths on this machine."""

import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.errors import LineageError, fault
from tasks.lineage.digest import RECIPE


def outputs_below(folder: Path) -> list[Path]:
    """All outputs below `folder` (folders that hold a recipe), sorted; staging places and insides are not entered.

    Links to folders are followed (a disk may be mounted so), each real folder is entered once.
    """
    return sorted(_walk(folder, set()))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    if (folder / RECIPE).is_file():
        yield folder
        return
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        if child.is_dir() and not child.name.startswith("."):
            yield from _walk(child, seen)


def resolve(output: Path, entry: Mapping[str, Any]) -> Path:
    """The path now of an input `entry` of the recipe of `output`: the inverse of what wrote it."""
    if entry["kind"] == "package":
        return package_path(str(entry["package"]), str(entry["path"]))
    return Path(os.path.normpath(output.resolve().parent / str(entry["path"])))


def package_path(package: str, name: str) -> Path:
    """The file `name` of the installed `package` (import name or distribution), which is not imported.

    Raises `LineageError` where the package is not installed or `name` leaves it.
    """
    folder = _package_folder(package)
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise LineageError(fault(package, f"{name} leaves the package", "a file inside it", "distrust this recipe"))
    return file


def _package_folder(package: str) -> Path:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    try:
        return Path(str(metadata.distribution(package).locate_file("")))
    except (metadata.PackageNotFoundError, ValueError):
        remedy = f"install it with `pip install {package} -c constraints.txt`"
        raise LineageError(fault(package, "not installed", "an installed package", remedy)) from None


def relative(path: Path, base: Path) -> str:
    """`path` as text relative to `base`, so that what is written does not name the machine."""
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
