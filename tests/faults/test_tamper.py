"""Whatever is changed behind rawmill's back, the audit says what is stored, what was expected and what mends it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tasks import store
from tasks.errors import LineageError
from tasks.lineage.audit import audit, audit_all
from tasks.lineage.digest import RECIPE, TREE, pretty, root_of
from tasks.lineage.places import outputs_below
from tasks.lineage.recipe import seal as reseal
from tasks.lineage.stale import load_project
from tests.lineage_chain import PARAMS, model, plant, seal

LAST = ("synthetic/tissue.zarr", "models/cells", "synthetic/banked.zarr")
"""Outputs that nothing uses: from these the audit reaches everything."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def chain(planted: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(planted.parent, tmp_path / "copy")
    return tmp_path / "copy" / "data"


def walk(data: Path) -> None:
    """Audit from the last outputs, with the project's params."""
    project = load_project(data.parent / "params.yaml")
    for name in LAST:
        audit(data / name, project, data.parent)


def broken(data: Path) -> str:
    """The one line of the audit, which must have all its parts."""
    with pytest.raises(LineageError) as caught:
        walk(data)
    line = str(caught.value)
    assert "\n" not in line
    assert "; expected " in line
    assert "`rawmill repro" in line
    with pytest.raises(LineageError):
        audit_all(data, load_project(data.parent / "params.yaml"))
    return line


def test_an_untouched_chain_holds(chain: Path) -> None:
    walk(chain)
    whole = audit_all(chain, load_project(chain.parent / "params.yaml"), chain.parent)
    assert {node.path for node in whole.nodes if node.kind == "output"} == {
        p.relative_to(chain.parent).as_posix() for p in outputs_below(chain)
    }
    assert whole.files == sum(1 for p in chain.parent.rglob("*") if p.is_file()) - 1 + 1  # params.yaml out, picture in


def test_one_flipped_bit_in_any_file_is_caught(planted: Path) -> None:
    """Every file of every output in turn, recipes and trees too, at its start, middle or end by turns."""
    files = [f for out in outputs_below(planted) for f in sorted(out.rglob("*")) if f.is_file() and f.stat().st_size]
    assert len(files) > 90
    for number, file in enumerate(files):
        whole = file.read_bytes()
        spoilt = bytearray(whole)
        spoilt[(0, len(whole) // 2, len(whole) - 1)[number % 3]] ^= 1 << number % 8
        file.write_bytes(bytes(spoilt))
        with pytest.raises(LineageError) as caught:
            walk(planted)
        assert "; expected " in str(caught.value), file
        named = file.parent if file.name in (RECIPE, TREE) else file
        assert str(named) in str(caught.value), f"{file}: {caught.value}"
        file.write_bytes(whole)
    walk(planted)


@pytest.mark.parametrize("name", [RECIPE, TREE])
def test_every_byte_of_recipe_and_tree_counts(planted: Path, name: str) -> None:
    """Of the last output, whose recipe no other recipe names."""
    file = planted / LAST[1] / name
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(LineageError):
            audit(planted / LAST[1])
    file.write_bytes(whole)
    audit(planted / LAST[1])


def drop_shard(data: Path) -> str:
    file = data / "raw" / "tissue.zarr" / "slides" / "s1" / "0" / "c" / "0" / "1" / "0"
    file.unlink()
    return f"{file}: missing"


def add_file(data: Path) -> str:
    file = data / "variants" / "cells" / "plain.zarr" / "note.txt"
    file.write_text("x", encoding="utf-8")
    return f"{file}: not in the recipe"


def forge_chunks(data: Path) -> str:
    """An output valid in itself but for the root over the chunks of a shard, by which single chunks are proved."""
    out, name = data / "models" / "cells", "a/c/0/0"
    shutil.rmtree(out)
    seal(out, "learn", [], PARAMS["learn"]["cells"], lambda content: _array(content / "a"))
    tree, recipe = json.loads((out / TREE).read_bytes()), json.loads((out / RECIPE).read_bytes())
    tree[name]["chunks"] = "0" * 64
    recipe["output"]["root"] = root_of(tree)
    (out / TREE).write_bytes(pretty(tree))
    (out / RECIPE).write_bytes(pretty(reseal(recipe)))
    return f"{out / name}: root over its chunks"


def _array(path: Path) -> None:
    store.create_array(path, (8, 8), "uint8", (4, 4), (8, 8), list("yx"))
    store.write(path, (slice(0, 8), slice(0, 8)), np.ones((8, 8), "uint8"))


def drop_output(data: Path) -> str:
    shutil.rmtree(data / "models" / "autoencoder")
    return "autoencoder: missing"


def swap_model(data: Path) -> str:
    """Another valid model, trained on other tiles, moved to the place of the one that was used."""
    here = data / "models" / "autoencoder"
    other = data / "models" / "other"
    seal(other, "train", [], PARAMS["train"]["autoencoder"], model([("s1_0_0", "train")]))
    shutil.rmtree(here)
    other.rename(here)
    return f"{here}: recipe"


def swap_equal_pixels(data: Path) -> str:
    """The same weights by another recipe are not the same model."""
    here = data / "models" / "cells"
    shutil.rmtree(here)
    shutil.copytree(data / "models" / "denoiser", here)
    return f"{here / RECIPE}: made with params"


def edit_param(data: Path) -> str:
    file = data.parent / "params.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["train"]["denoiser"]["steps"] = 6
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return "made with params steps = 5; expected 6 of params.yaml#train.denoiser"


def add_param(data: Path) -> str:
    file = data.parent / "params.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("rate: 0.001", "rate: 0.001\n    batch: 2"), encoding="utf-8"
    )
    return "made with params batch = 'nothing'; expected 2 of params.yaml#learn.cells"


def edit_variant(data: Path) -> str:
    file = data.parent / "params.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("gamma: 2.2", "gamma: 2.4"), encoding="utf-8")
    return "made with params operators.[1].gamma.gamma = 2.2; expected 2.4 of params.yaml#develop.plain.operators"


def change_source(data: Path) -> str:
    file = data.parent / "mine" / "b.tif"
    file.write_bytes(b"X" + file.read_bytes()[1:])
    return f"{file}: sha256"


def remove_source(data: Path) -> str:
    file = data.parent / "mine" / "a.tif"
    file.unlink()
    return f"{file}: missing"


def change_sources_folder(data: Path) -> str:
    file = data / "sources" / "tissue" / "s0.geojson"
    file.write_text('{"of": "s9"}', encoding="utf-8")
    return f"{file}: sha256"


def rewrite_history(data: Path) -> str:
    """A raw store made again from other pixels, valid in itself: what was built on the old one is broken."""
    here = data / "raw" / "cells.zarr"
    shutil.rmtree(here)
    seal(here, "ingest", [], PARAMS["ingest"]["cells"], model([("a", "train")]))
    return f"{here}: recipe"


SPOILERS = [
    drop_shard, add_file, forge_chunks, drop_output, swap_model, swap_equal_pixels, edit_param, add_param, edit_variant,
    change_source, remove_source, change_sources_folder, rewrite_history,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda s: s.__name__)
def test_it_is_caught_and_named(chain: Path, spoil: Callable[[Path], str]) -> None:
    said = spoil(chain)
    assert said in broken(chain)


def test_other_code_is_caught(chain: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The code of the step is another now than what the recipes name."""
    elsewhere = tmp_path / "checkout"
    (elsewhere / "tasks").mkdir(parents=True)
    (elsewhere / "tasks" / "__init__.py").write_text("changed = True\n", encoding="utf-8")
    monkeypatch.setattr("tasks.lineage.stale.PROJECT", elsewhere)
    assert "made by tasks/__init__.py sha256" in broken(chain)
