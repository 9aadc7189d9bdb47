"""A raw store or files: what a user brings to a command."""

from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.errors import InputError
from tasks.ingest import brought
from tests import makers

MOSAICS, PICTURES = ("crops", "frames"), ("slides", "images")


def group(path: Path, kind: str, **more: object) -> Path:
    store.create_group(path, {"rawmill": {"version": 1, "kind": kind, "classes": [], **more}})
    (path / "tiles.parquet").touch()
    return path


def test_only_a_raw_store_of_the_kinds_is_taken_for_one(tmp_path: Path) -> None:
    for kind in MOSAICS:
        brought.check_raw(group(tmp_path / kind, kind), MOSAICS)
        with pytest.raises(InputError, match=f"a store of {kind}; expected a raw store.*slides or images"):
            brought.check_raw(tmp_path / kind, PICTURES)
    with pytest.raises(InputError, match="views of 'bare'; expected a raw store"):
        brought.check_raw(group(tmp_path / "views", "crops", variant="bare"), MOSAICS)
    brought.check_raw(group(tmp_path / "slides", "slides"), PICTURES)
    (tmp_path / "slides" / "tiles.parquet").unlink()
    with pytest.raises(InputError, match="a store of slides; expected a raw store"):
        brought.check_raw(tmp_path / "slides", PICTURES)


@pytest.mark.parametrize("text", ["", "{}", "no JSON", "[1]", '{"zarr_format": 3, "node_type": "group"}'])
def test_a_stray_zarr_json_makes_no_store(tmp_path: Path, text: str) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(InputError, match=r"another zarr\.json; expected a raw store"):
        brought.check_raw(tmp_path, MOSAICS)


def test_a_store_is_no_folder_of_files(tmp_path: Path) -> None:
    assert brought.is_store(group(tmp_path / "raw.zarr", "frames"))
    assert not brought.is_store(tmp_path)
    assert not brought.is_store(tmp_path / "none")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two slides, one with a mask, and a hidden file."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in "ab":
        makers.write_slide(folder / f"{name}.tif", makers.picture_of(64, 64))
    makers.write_png(folder / "a_mask.png", np.ones((64, 64), np.uint8))
    (folder / ".DS_Store").write_bytes(b"\x00")
    return folder


def test_all_files_of_a_folder_but_hidden_ones_are_taken_and_each_is_a_group(scans: Path) -> None:
    folder, entries = brought.files_of(scans).entries()
    assert folder == scans
    assert [(e.file, e.group, e.mask) for e in entries] == [("a.tif", "a", "a_mask.png"), ("b.tif", "b", "")]


@pytest.mark.parametrize(("name", "mask"), [("a", "a_mask.png"), ("b", "")])
def test_one_file_brings_its_own_mask_and_no_other(scans: Path, name: str, mask: str) -> None:
    _, entries = brought.files_of(scans / f"{name}.tif").entries()
    assert [(e.id, e.mask) for e in entries] == [(name, mask)]


def test_a_manifest_says_which_files_and_groups(scans: Path) -> None:
    makers.write_manifest(scans, [{"file": "b.tif", "id": "b", "group": "patient"}])
    _, entries = brought.files_of(scans).entries()
    assert [(e.id, e.group) for e in entries] == [("b", "patient")]


def test_what_holds_no_pictures_is_one_line(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: not there"):
        brought.files_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no files"):
        brought.files_of(tmp_path)
    for name in "ab":
        (scans / f"{name}.tif").unlink()
    with pytest.raises(InputError, match="no pictures, and 1 files that can only be masks"):
        brought.files_of(scans)
    (scans / "recipe.json").touch()
    with pytest.raises(InputError, match="an output of rawmill that is no raw store"):
        brought.files_of(scans)


def test_files_of_another_kind_are_refused_before_any_work(scans: Path, tmp_path: Path) -> None:
    known = makers.params()
    brought.check_kind(brought.files_of(scans), known, PICTURES, "develop them")
    with pytest.raises(InputError, match="a store of slides; expected a store of crops or frames; name others"):
        brought.check_kind(brought.files_of(scans), known, MOSAICS, "name others")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("mine")
    brought.check_kind(brought.files_of(tmp_path / "text"), known, PICTURES, "ingest says what is wrong with each")
