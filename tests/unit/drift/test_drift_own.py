"""A user's own store and network: the task, the classes, and what cannot be judged."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import store
from tasks.drift import own
from tasks.drift.optimisation import step as optimisation
from tasks.drift.params import SynthesisParams
from tasks.drift.synthesis import step as synthesis
from tasks.errors import InputError, ParamsError
from tasks.learn.params import TaskParams
from tasks.params import load
from tests.unit.drift.conftest import classification

ROOT = Path(__file__).resolve().parents[3]


def raw(folder: Path, rows: list[dict[str, Any]]) -> Path:
    base = {"label": "", "mask": "", "group": "a", "split": "train", "fold": 0, "intensity": 1.0, "height_px": 100}
    store.create_group(folder, {"rawmill": {"version": 1, "kind": "frames", "classes": ["car", "tree"]}})
    pq.write_table(pa.Table.from_pylist([{**base, **row} for row in rows]), folder / "tiles.parquet")
    return folder


def test_masks_make_a_segmentation_and_labels_a_classification(tmp_path: Path) -> None:
    labels = raw(tmp_path / "labels.zarr", [{"label": "car"}, {}])
    masks = raw(tmp_path / "masks.zarr", [{"label": "car", "mask": "m"}, {}])
    nothing = raw(tmp_path / "nothing.zarr", [{}])
    assert (own.task_of(labels, None), own.task_of(masks, None)) == ("classification", "segmentation")
    assert own.task_of(masks, "classification") == "classification"
    assert own.classes_of(labels, "classification") == ("car", "tree")
    assert own.classes_of(masks, "segmentation") == ("background", "car", "tree")
    with pytest.raises(InputError, match="no tile has a label or a mask"):
        own.task_of(nothing, None)
    with pytest.raises(ParamsError, match="--task detection"):
        own.task_of(labels, "detection")


def test_a_task_whose_truth_is_not_there_is_refused(tmp_path: Path) -> None:
    labels = raw(tmp_path / "labels.zarr", [{"label": "car"}, {}])
    masks = raw(tmp_path / "masks.zarr", [{"mask": "m"}, {}])
    with pytest.raises(InputError, match="no tile has a mask; expected masks for --task segmentation"):
        own.task_of(labels, "segmentation")
    with pytest.raises(InputError, match="no tile has a label; expected labels for --task classification"):
        own.task_of(masks, "classification")


def test_two_groups_of_the_intensity_are_needed_and_two_folds_to_train(tmp_path: Path) -> None:
    car, dim = {"label": "car"}, {"label": "car", "group": "b", "intensity": 0.1}
    store_of = {
        "one": raw(tmp_path / "one.zarr", [car, dim]),
        "two": raw(tmp_path / "two.zarr", [car, {**car, "group": "b"}]),
        "test": raw(tmp_path / "test.zarr", [car, {**car, "group": "b", "split": "test", "fold": -1}]),
        "folds": raw(tmp_path / "folds.zarr", [car, {**car, "group": "b", "fold": 1}]),
    }
    with pytest.raises(InputError, match="1 groups of labelled tiles of intensity 1;"):
        own.check_groups(store_of["one"], "classification", 1.0, train=False)
    for name in ("two", "test"):
        own.check_groups(store_of[name], "classification", 1.0, train=False)
        with pytest.raises(InputError, match="1 folds of labelled"):
            own.check_groups(store_of[name], "classification", 1.0, train=True)
    own.check_groups(store_of["folds"], "classification", 1.0, train=True)


def test_tiles_without_what_the_task_needs_do_not_count(tmp_path: Path) -> None:
    rows = [{"label": "car", "mask": "m"}, {"group": "b", "label": "car", "fold": 1}, {"group": "c", "height_px": 8}]
    store_of = raw(tmp_path / "raw.zarr", rows)
    own.check_groups(store_of, "classification", 1.0, train=True)
    with pytest.raises(InputError, match="1 groups of labelled tiles"):
        own.check_groups(store_of, "segmentation", 1.0, train=False)
    assert own.tile_px_of(store_of, "classification", 1.0) == 100
    with pytest.raises(InputError, match=r"no labelled tile of intensity 0\.5"):
        own.tile_px_of(store_of, "classification", 0.5)


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_nothing_is_resized_unless_it_is_asked_for(file: str) -> None:
    shipped = load(ROOT / file, "drift_files.classification", own.OwnParams)
    mine = {"name": "module", "path": "nets:make", "arguments": {}}
    options = {"task": "classification", "classes": ("a", "b"), "architecture": mine}
    assert shipped.task_model(options, 100).input_px == 100
    assert shipped.task_model({**options, "window_px": 60}, 100).input_px == 60
    assert shipped.task_model({**options, "input_px": 96}, 100).input_px == 96


def test_sides_that_a_segmenter_of_rawmill_does_not_take_are_told() -> None:
    shipped = load(ROOT / "params.yaml", "drift_files.segmentation", own.OwnParams)
    unet = {"name": "unet_plus_plus", "features": [4, 4, 4, 4, 4, 4]}
    options = {"task": "segmentation", "classes": ("a", "b"), "architecture": unet}
    with pytest.raises(ParamsError, match=r"views of 100 px; expected a multiple of 16 px.*--input-px 96"):
        shipped.task_model(options, 100)
    assert shipped.task_model({**options, "input_px": 96}, 100).input_px == 96
    mine = {"name": "module", "path": "nets:make", "arguments": {}}
    assert shipped.task_model({**options, "architecture": mine}, 100).input_px == 100


def parts(folder: Path, start: str, home: str) -> dict[str, Path]:
    cell = {"mean": 0.75, "low": 0.5, "high": 1.0}
    given = {"data_models": [home], "main": "accuracy", "matrix": [[{**cell, "mean": 0.9}]]}
    documents = {
        "given/matrix.json": given,
        "forensics/signature.json": {"data_model": start, "base": {"unseen": cell}},
    }
    for name, document in documents.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(document))
    return {"given": folder / "given", "forensics": folder / "forensics"}


def test_what_a_reader_must_know_stands_in_the_heading(tmp_path: Path) -> None:
    shipped = load(ROOT / "params.yaml", "drift_files.classification", own.OwnParams)
    mine = {"name": "module", "path": "nets:make", "arguments": {}}
    options = {"task": "classification", "classes": ("a", "b"), "architecture": mine}
    whole, small = shipped.task_model(options, 100), shipped.task_model({**options, "input_px": 50}, 100)
    away, same = parts(tmp_path / "away", "bi,s,ga", "ma,u,me"), parts(tmp_path / "same", "bi,s,ga", "bi,s,ga")
    assert own.remarks(whole, 100, same) == own.remarks(whole, 100, {"given": away["given"]}) == ()
    assert own.headed(shipped.report, ()) == shipped.report
    resized, start = own.remarks(small, 100, away)
    assert resized == "views of 100 px are resized to 50 px"
    assert start.startswith("forensics starts at bi,s,ga, not at home: accuracy 0.750 [0.500, 1.000] there")
    assert "0.900 [0.500, 1.000] at home (ma,u,me)" in start
    assert own.headed(shipped.report, (resized, start)).heading == f"{shipped.report.heading} ({resized}; {start})"


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's module, importable from its folder."""
    file = tmp_path / f"nets_{abs(hash(tmp_path))}.py"
    file.write_text("from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(2))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


def test_an_edited_network_is_another_plan_wherever_it_is_trained(
    nets: Path, crops: Path, crop_views: dict[str, Path], tmp_path: Path
) -> None:
    mine = classification(architecture={"name": "module", "path": f"{nets.stem}:make", "arguments": {}})
    shipped = load(ROOT / "params.yaml", "drift_files.classification", own.OwnParams)
    model = TaskParams.model_validate(mine)
    scoring = {**shipped.scoring.model_dump(), "data_models": list(crop_views)}
    first = SynthesisParams.model_validate({**mine, "intensity": 1.0, "scoring": scoring})

    def keys() -> list[str]:
        one = synthesis.prepare(crops, crop_views, tmp_path / "synthesis", first, "x")
        return [one.key, optimisation.prepare(crops, tmp_path / "optimisation", shipped.learned(model), "x").key]

    before = keys()
    assert keys() == before
    nets.write_text(nets.read_text() + "# another\n")
    assert set(keys()).isdisjoint(before)


def test_arguments_are_read_as_what_they_look_like() -> None:
    texts = {"true": True, "false": False, "3": 3, "-2": -2, "0.5": 0.5, "1e-3": 0.001, "wide": "wide", "True": "True"}
    texts |= {"nan": "nan", "inf": "inf"}
    for text, value in texts.items():
        assert own.value_of(text) == value
        assert type(own.value_of(text)) is type(value)


def test_a_network_is_an_import_path_or_one_of_rawmills(tmp_path: Path) -> None:
    assert own.architecture_of("nets:make", {"width": "8"}) == {
        "name": "module",
        "path": "nets:make",
        "arguments": {"width": 8},
    }
    assert own.architecture_of("resnet18", {"inplanes": "8,16,32,64"}) == {
        "name": "resnet18",
        "inplanes": [8, 16, 32, 64],
    }
    with pytest.raises(ParamsError, match=r"MODULE:CALLABLE"):
        own.architecture_of("vit", {})
    for wrong in ("my drift:make", "nets.py/make:", ":make", "nets:make()", "a:b:c"):
        with pytest.raises(ParamsError, match=r"no import path; expected MODULE:CALLABLE such as mypkg\.nets:make"):
            own.architecture_of(wrong, {})
    for wrong in ("8,16", "a,b,c,d", "8,16,32,-1", ""):
        with pytest.raises(ParamsError, match=f"--arguments: inplanes={wrong}; .*4 whole numbers above 0"):
            own.architecture_of("resnet18", {"inplanes": wrong})
    for taken in ("tasks:make", "flows.nets:make"):
        with pytest.raises(ParamsError, match=r"a package of rawmill, which hides yours.*rename your package"):
            own.architecture_of(taken, {})
    assert own.architecture_of("tasks_of_mine:make", {})["path"] == "tasks_of_mine:make"
    with pytest.raises(ParamsError, match="inplanes=8,16"):
        own.architecture_of("resnet18", {"width": "8"})
