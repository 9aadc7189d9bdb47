"""Compiled kernels are kept by numba until their own file changes: none may depend on code in another file."""

import ast
from pathlib import Path

import pytest

from tasks.isp.compiled.__main__ import MODULES as AHEAD
from tasks.lineage.code import imports

FOLDER = Path(__file__).resolve().parents[2] / "tasks" / "isp" / "compiled"
MODULES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "__init__.py", FOLDER / "__main__.py", FOLDER / "jit.py"})
MAY = ("tasks.isp.compiled.jit", "tasks.isp.scratch.Take", "numpy", "llvmlite", "numba", "typing")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: f.name)
def test_a_kernel_stands_on_its_own_file(file: Path) -> None:
    found = {n for n in imports(file) if not n.startswith(MAY) and not any(m.startswith(n) for m in MAY)}
    assert not found


def test_all_modules_are_compiled_ahead() -> None:
    assert sorted(f"{name}.py" for name in AHEAD) == [file.name for file in MODULES]


@pytest.mark.parametrize("file", MODULES, ids=lambda f: f.name)
def test_no_kernel_sets_compiler_options_of_its_own(file: Path) -> None:
    """All go through `jit.kernel`, which lets the compiler neither reorder nor fuse."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            names = [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]
            assert set(names) <= {"kernel", "intrinsic"}, node.name
    assert "fastmath" not in file.read_text(encoding="utf-8")
