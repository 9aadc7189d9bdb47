"""dvc.yaml, params.yaml and the code agree: deps cover imports, params keys are what the flow loads."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.lineage.code import closure
from tasks.params import Params, section

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES: dict[str, dict[str, Any]] = {name: stage.get("do", stage) for name, stage in DOCUMENT.items()}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
FOR_THE_COMMAND = {"ingest.files", "drift_files.ingested", "drift_files.classification", "drift_files.segmentation"}
FOR_THE_COMMAND |= {"inpaint", "train_files.ingested"}
"""Sections that no stage reads: `rawmill ingest`, `rawmill drift`, `rawmill inpaint` and `rawmill train` do."""


def module(stage: str) -> str:
    found = re.match(r"python -m (flows\.\w+)", STAGES[stage]["cmd"])
    assert found, f"{stage}: cmd is not python -m flows.<stage>"
    return found.group(1)


def instances(stage: str, params: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The flow's arguments in each instance of a stage: from its matrix, or from the params' keys that it runs over."""
    over = DOCUMENT[stage].get("foreach")
    if over:
        yield from ({"key": key} for key in params[over.strip("${}")])
        return
    matrix = DOCUMENT[stage].get("matrix", {})
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def filled(text: str, item: dict[str, str]) -> str:
    """`text` with DVC's `${item.name}` and `${key}` replaced."""
    return re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda m: item[m.group(1)], text)


def loads(flow_module: str) -> set[str]:
    """Patterns of the sections in each `load(PARAMS, section, Model)` of a flow's module, arguments as `{}`."""
    tree = ast.parse((ROOT / flow_module.replace(".", "/")).with_suffix(".py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("load", "load_variant"):
            section = ast.unparse(node.args[1])
            if ast.unparse(node.func) == "load_variant":
                section = f"'develop.variants.{{{section}}}'"
            found.add(re.sub(r"\{\w+\}", "{}", section.removeprefix("f").strip("'")))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_exactly_the_code_that_the_flow_imports(stage: str) -> None:
    deps = {d for d in STAGES[stage]["deps"] if d.startswith(("tasks", "flows"))}
    code = {f.relative_to(ROOT).as_posix() for f in closure(module(stage))}
    uncovered = {c for c in code if not any(c == d or c.startswith(f"{d}/") for d in deps)}
    unused = {d for d in deps if not any(c == d or c.startswith(f"{d}/") for c in code)}
    assert (sorted(uncovered), sorted(unused)) == ([], [])


@pytest.mark.parametrize("stage", STAGES)
def test_params_keys_are_exactly_what_the_flow_loads(stage: str) -> None:
    keys = {re.sub(r"\$\{[\w.]+\}", "{}", key) for key in STAGES[stage].get("params", [])}
    assert keys == loads(module(stage))


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_every_key_belongs_to_a_stage_and_every_stage_finds_its_key(file: str) -> None:
    document = yaml.safe_load((ROOT / file).read_text())
    keys = {stage: STAGES[stage].get("params", []) for stage in STAGES}
    needed = {filled(k, item) for stage in STAGES for item in instances(stage, document) for k in keys[stage]}
    for key in needed:
        section(ROOT / file, key)
    leaves = {f"{a}.{b}" for a, v in document.items() if isinstance(v, dict) for b in v}
    unused = {x for x in leaves if not any(k == x or k.startswith(f"{x}.") or x.startswith(f"{k}.") for k in needed)}
    assert {x for x in unused if not any(x == c or x.startswith(f"{c}.") for c in FOR_THE_COMMAND)} == set()


def params_models() -> list[type[Params]]:
    import importlib

    for file in sorted((ROOT / "tasks").rglob("*.py")):
        importlib.import_module(file.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."))
    waiting, models = list(Params.__subclasses__()), []
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if model.__module__.startswith("tasks."):
            models.append(model)
    return sorted(set(models), key=lambda m: f"{m.__module__}.{m.__name__}")


def test_the_matrix_of_variants_is_that_of_the_params() -> None:
    assert DOCUMENT["develop"]["matrix"]["variant"] == list(PARAMS["develop"]["variants"])


def test_params_models_are_frozen_and_hide_no_defaults() -> None:
    models = params_models()
    assert models
    for model in models:
        assert model.model_config.get("frozen") and model.model_config.get("extra") == "forbid", model
        defaults = [
            n for n, f in model.model_fields.items() if not f.is_required() and "Literal" not in str(f.annotation)
        ]
        assert not defaults, f"{model.__name__} hides defaults: {defaults}"
