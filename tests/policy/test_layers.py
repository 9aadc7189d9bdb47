"""The layers of the project, read from its import statements."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TASKS = sorted((ROOT / "tasks").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").rglob("*.py"))
DOMAIN_LIBRARIES = {"numpy", "scipy", "skimage", "torch", "monai", "zarr", "tifffile", "rawpy", "pandas", "mlflow"}


def imported(file: Path) -> set[str]:
    """Top-level names that `file` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def calls(file: Path) -> list[str]:
    """Dotted names of all that `file` calls."""
    return [
        ast.unparse(n.func) for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)
    ]


@pytest.mark.parametrize("file", TASKS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_the_domain_knows_no_orchestrator(file: Path) -> None:
    assert not imported(file) & {"prefect", "prefect_dask", "dvc", "flows", "typer"}


@pytest.mark.parametrize("file", FLOWS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_flows_hold_no_domain_logic(file: Path) -> None:
    assert not imported(file) & DOMAIN_LIBRARIES


UNSAFE = {"pickle.load", "pickle.loads", "torch.load", "joblib.load", "yaml.load", "eval", "exec"}
GLOBAL_STATE = {"torch.manual_seed", "np.random.seed", "np.random.rand", "np.random.randn", "np.random.default_rng"}
GLOBAL_STATE |= {"random.seed", "random.random", "random.choice", "random.shuffle", "random.uniform"}
MAY_SEED = {"tasks/learn/determinism.py"}
"""Seeds torch's generator for library constructors, under a lock, and puts it back."""


@pytest.mark.parametrize("file", TASKS + FLOWS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled_and_nothing_draws_from_global_state(file: Path) -> None:
    found = set(calls(file))
    assert not found & UNSAFE
    assert file.relative_to(ROOT).as_posix() in MAY_SEED or not found & GLOBAL_STATE


@pytest.mark.parametrize("file", TASKS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_numpy_files_are_read_without_pickle(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
            assert "allow_pickle=False" in [ast.unparse(k) for k in node.keywords]


def test_modules_fit_a_few_screens() -> None:
    long = {f.relative_to(ROOT).as_posix(): n for f in TASKS + FLOWS if (n := f.read_text().count("\n")) > 300}
    assert not long


def test_the_check_sees_a_breach(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from prefect import flow\n    import torch\n    torch.load('x')\n")
    assert imported(file) == {"prefect", "torch"}
    assert calls(file) == ["torch.load"]
