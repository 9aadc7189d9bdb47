"""The libraries in a recipe are all that the code behind it imports."""

import sys
from importlib import metadata
from pathlib import Path

from tasks.lineage import code


def plain(name: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return name.lower().replace("_", "-")


def test_every_third_party_import_of_the_project_is_found_by_its_installed_name() -> None:
    files = [f for folder in code.PACKAGES for f in (code.PROJECT / folder).rglob("*.py")]
    tops = {name.split(".")[0] for file in files for name in code.imports(file)}
    known = metadata.packages_distributions()
    for top in sorted(tops - set(sys.stdlib_module_names) - set(code.PACKAGES)):
        found = code._version(top)
        assert found is not None, top
        assert plain(found[0]) in {plain(name) for name in known[top]}, top
        assert found[1] == metadata.version(found[0])


def test_the_codecs_and_writers_behind_an_import_are_named() -> None:
    assert {"zarr", "numcodecs", "tifffile", "imagecodecs", "numpy"} <= set(code.libraries("tasks.ingest.step"))
    assert "pyarrow" in code.libraries("tasks.synthesis.step")


def test_the_closure_reaches_through_functions_and_packages() -> None:
    files = {f.relative_to(code.PROJECT) for f in code.closure("tasks.isp.step")}
    assert {Path("tasks/rng.py"), Path("flows/cli.py")}.isdisjoint(files)
    assert {Path("tasks/store.py"), Path("tasks/isp/menon.py"), Path("tasks/isp/__init__.py")} <= files
