"""A user's own store and network: the task, the classes, and what cannot be judged."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import store
from tasks.drift import own
from tasks.errors import InputError, ParamsError


def raw(folder: Path, rows: list[dict[str, Any]]) -> Path:
    base = {"label": "", "mask": "", "group": "a", "split": "train", "fold": 0, "intensity": 1.0}
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


def test_a_store_is_no_folder_of_files(tmp_path: Path) -> None:
    assert own.is_store(raw(tmp_path / "raw.zarr", [{}]))
    assert not own.is_store(tmp_path)
    assert not own.is_store(tmp_path / "none")


def test_two_groups_of_the_intensity_are_needed_and_two_folds_to_train(tmp_path: Path) -> None:
    dim = {"group": "b", "intensity": 0.1}
    store_of = {
        "one": raw(tmp_path / "one.zarr", [{}, dim]),
        "two": raw(tmp_path / "two.zarr", [{}, {"group": "b"}]),
        "test": raw(tmp_path / "test.zarr", [{}, {"group": "b", "split": "test", "fold": -1}]),
        "folds": raw(tmp_path / "folds.zarr", [{}, {"group": "b", "fold": 1}]),
    }
    with pytest.raises(InputError, match="1 groups of tiles of intensity 1;"):
        own.check_groups(store_of["one"], 1.0, train=False)
    for name in ("two", "test"):
        own.check_groups(store_of[name], 1.0, train=False)
        with pytest.raises(InputError, match="1 folds"):
            own.check_groups(store_of[name], 1.0, train=True)
    own.check_groups(store_of["folds"], 1.0, train=True)


def test_arguments_are_read_as_what_they_look_like() -> None:
    texts = {"true": True, "false": False, "3": 3, "-2": -2, "0.5": 0.5, "1e-3": 0.001, "wide": "wide", "True": "True"}
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
    with pytest.raises(ParamsError, match=r"package\.module:callable"):
        own.architecture_of("vit", {})
    with pytest.raises(ParamsError, match="inplanes=8,16"):
        own.architecture_of("resnet18", {"width": "8"})
