"""The recipe's listing of a user's network: all files that define it, no more, and packages by version."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.learn import step
from tasks.learn.own_code import PACKAGE_NOTE, own_code, root_of
from tasks.learn.params import LearnParams, ModuleParams, UNetPlusPlusParams
from tasks.lineage.digest import sha256_file
from tasks.params import parse

BLOCK = """
from torch import nn
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
    def forward(self, views):
        return self.head(views.mean((2, 3)))
"""
Write = Callable[[dict[str, str]], Path]


def own(path: str, **arguments: Any) -> ModuleParams:
    return ModuleParams(name="module", path=path, arguments=arguments)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules into a folder on the import path, and forgets them afterwards."""
    folder = tmp_path / "code"
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def files(sources: dict[str, str]) -> Path:
        for name, source in sources.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(source)
        return folder

    yield files
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


PACKAGE = {
    "mynet_a/__init__.py": "",
    "mynet_a/nets.py": "from .parts.blocks import Block\ndef make():\n    import helpers_a\n    return Block()\n",
    "mynet_a/parts/blocks.py": f"import json\nfrom ..sizes import WIDTH\n{BLOCK}",
    "mynet_a/sizes.py": "import numpy\nWIDTH = 3\n",
    "mynet_a/training.py": "import mynet_a.nets\n",
    "helpers_a.py": "scale = 1\n",
}


def listed(path: str, out: Path) -> dict[str, str]:
    return {entry["role"]: entry["path"] for entry in own_code(own(path), out).inputs}


def test_files_that_the_network_imports_are_listed_and_no_others(write: Write, tmp_path: Path) -> None:
    folder = write(PACKAGE)
    found = own_code(own("mynet_a.nets:make"), tmp_path / "out" / "model")
    assert {entry["role"]: entry["path"] for entry in found.inputs} == {
        "architecture": "../code/mynet_a/nets.py",
        "architecture:helpers_a": "../code/helpers_a.py",
        "architecture:mynet_a": "../code/mynet_a/__init__.py",
        "architecture:mynet_a.parts.blocks": "../code/mynet_a/parts/blocks.py",
        "architecture:mynet_a.sizes": "../code/mynet_a/sizes.py",
    }
    assert found.inputs[0]["role"] == "architecture"
    assert found.inputs[0]["sha256"] == sha256_file(folder / "mynet_a/nets.py")
    assert found.notes == {PACKAGE_NOTE: {"numpy": metadata.version("numpy")}}
    assert str(tmp_path) not in json.dumps([found.inputs, found.notes])
    assert root_of(own("mynet_a.nets:make")) == folder


def test_classes_are_followed_where_no_import_statement_names_them(write: Write, tmp_path: Path) -> None:
    write(
        {
            "front_b.py": "import importlib\ndef make():\n    return importlib.import_module('back_b').Mine()\n",
            "back_b.py": "from base_b import Block\nclass Mine(Block):\n    pass\n",
            "base_b.py": BLOCK,
        }
    )
    assert set(listed("front_b:make", tmp_path / "m")) == {
        "architecture",
        "architecture:back_b",
        "architecture:base_b",
    }


def test_a_file_that_is_no_python_does_not_matter_until_it_is_imported(write: Write, tmp_path: Path) -> None:
    write({"nets_c.py": f"if False:\n    import old_c\n{BLOCK}", "old_c.py": "print 'of Python 2'\n"})
    assert set(listed("nets_c:Block", tmp_path / "m")) == {"architecture", "architecture:old_c"}


def test_rawmills_own_code_beside_the_network_is_not_listed_again(write: Write, tmp_path: Path) -> None:
    write({"nets_e.py": f"import tasks.rng\n{BLOCK}", "tasks/rng.py": "import numpy\n", "tasks/__init__.py": ""})
    found = own_code(own("nets_e:Block"), tmp_path / "m")
    assert ([entry["role"] for entry in found.inputs], found.notes) == (["architecture"], {PACKAGE_NOTE: {}})


def test_an_installed_network_is_its_version(tmp_path: Path) -> None:
    unet = own("monai.networks.nets:BasicUNet", spatial_dims=2, in_channels=3, out_channels=2)
    found = own_code(unet, tmp_path / "model")
    assert (found.inputs, found.notes) == ((), {PACKAGE_NOTE: {"monai": metadata.version("monai")}})
    assert root_of(unet) is None


def test_a_users_file_that_builds_an_installed_network_has_both(write: Write, tmp_path: Path) -> None:
    write({"nets_d.py": "from monai.networks.nets import BasicUNet\ndef make():\n    return BasicUNet(2, 3, 2)\n"})
    found = own_code(own("nets_d:make"), tmp_path / "model")
    assert [entry["role"] for entry in found.inputs] == ["architecture"]
    assert found.notes == {PACKAGE_NOTE: {"monai": metadata.version("monai")}}


def test_networks_of_rawmill_need_no_listing(tmp_path: Path) -> None:
    unet = UNetPlusPlusParams(name="unet_plus_plus", features=(4, 4, 4, 4, 4, 4))
    found = own_code(unet, tmp_path / "model")
    assert (found.inputs, dict(found.notes), root_of(unet)) == ((), {}, None)


def test_what_cannot_be_imported_is_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="PYTHONPATH"):
        own_code(own("no_such_nets:make"), tmp_path / "model")
    assert root_of(own("no_such_nets:make")) is None


def test_an_edited_network_is_another_plan_of_learn(
    crops: Path, tmp_path: Path, classification: LearnParams, write: Write
) -> None:
    folder = write(PACKAGE)
    mine = own("mynet_a.nets:Block").model_dump(mode="json")
    params = parse(LearnParams, {**classification.model_dump(mode="json"), "architecture": mine}, "test")

    def key() -> str:
        return step.prepare(crops, None, tmp_path / "out", params, "x").key

    before = key()
    assert key() == before
    (folder / "mynet_a/sizes.py").write_text("import numpy\nWIDTH = 4\n")
    assert key() != before
