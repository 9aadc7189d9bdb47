"""Manifests, classes, tiles, tissue and splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.errors import InputError
from tasks.ingest import splits, tiles
from tasks.ingest.annotations.classes import index_of, label_of, names_found
from tasks.ingest.bad import BadFile
from tasks.ingest.manifest import entries_from_files, read_manifest
from tasks.ingest.params import TissueParams
from tasks.ingest.tissue import optical_density, tissue
from tests import makers

HERE = Path("somewhere")


def row(**changes: Any) -> dict[str, Any]:
    return {"file": "a.tif", "id": "a", **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "set"
    inside.mkdir()
    (inside / "a.tif").write_bytes(b"x")
    (tmp_path / "secret.tif").write_bytes(b"x")
    (inside / "link.tif").symlink_to(tmp_path / "secret.tif")
    return inside


BAD_ROWS = {
    "absolute": ({"file": "/etc/passwd"}, "leaves the folder"),
    "parent": ({"file": "../secret.tif"}, "leaves the folder"),
    "parent inside": ({"file": "x/../../secret.tif"}, "leaves the folder"),
    "backslash": ({"file": "..\\secret.tif"}, "leaves the folder"),
    "symlink": ({"file": "link.tif"}, "leaves the folder"),
    "missing": ({"file": "b.tif"}, "'b.tif' is not there"),
    "empty": ({"file": ""}, "'' is not there"),
    "mask outside": ({"mask": "../secret.tif"}, "leaves the folder"),
    "mask missing": ({"mask": "m.png"}, "'m.png' is not there"),
    "id with a slash": ({"id": "a/b"}, "id 'a/b'"),
    "hidden id": ({"id": ".a"}, "id '.a'"),
    "no group": ({"group": ""}, "no group"),
    "no intensity": ({"intensity": ""}, "intensity ''"),
    "zero intensity": ({"intensity": "0"}, "intensity '0'"),
    "intensity over one": ({"intensity": "1.01"}, "intensity '1.01'"),
    "subtype of two words": ({"subtype": "two words"}, "subtype 'two words'"),
    "intensity nan": ({"intensity": "nan"}, "intensity 'nan'"),
}


@pytest.mark.parametrize("name", sorted(BAD_ROWS))
def test_a_bad_line_is_named_and_the_others_stay(folder: Path, name: str) -> None:
    changes, words = BAD_ROWS[name]
    makers.write_manifest(folder, [row(), row(id="b", **{k: v for k, v in changes.items() if k != "id"}) | changes])
    good, bad = read_manifest(folder)
    assert [entry.id for entry in good] == ["a"]
    assert len(bad) == 1
    assert words in str(bad[0])
    assert str(bad[0]).startswith(f"{folder / 'manifest.csv'}: line 3: ")


def test_a_manifest_may_tell_subtypes(folder: Path) -> None:
    makers.write_manifest(folder, [row(subtype="solid"), row(id="b")])
    good, bad = read_manifest(folder)
    assert [entry.subtype for entry in good] == ["solid", ""] and not bad
    makers.write_manifest(folder, [row()])
    assert [entry.subtype for entry in read_manifest(folder)[0]] == [""]


def test_a_line_of_too_many_fields_is_told_how_many_there_should_be(folder: Path) -> None:
    (folder / "manifest.csv").write_text("file,id,group,label,mask,intensity,subtype\na.tif,a,a,,,1.0,solid,x\n")
    _, bad = read_manifest(folder)
    assert "8 fields" in str(bad[0]) and "expected 7" in str(bad[0])


def test_lines_with_one_id_are_all_refused(folder: Path) -> None:
    makers.write_manifest(folder, [row(), row(), row(id="b")])
    good, bad = read_manifest(folder)
    assert [entry.id for entry in good] == ["b"]
    assert ["more than once" in str(error) for error in bad] == [True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,id\na,b\n", "columns file,id"),
        ("file,id,group,label,mask,intensity\n", "no lines"),
        ("\xff\xfe", "columns"),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_manifest(folder)


def test_a_missing_manifest_and_one_that_is_not_text_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        read_manifest(folder)
    (folder / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_manifest(folder)


def test_a_users_files_find_their_annotations(tmp_path: Path) -> None:
    files = [tmp_path / "in" / "a.tif", tmp_path / "in" / "a.geojson", tmp_path / "b (1).dng"]
    folder, good, bad = entries_from_files(files)
    assert folder == tmp_path
    assert [(e.file, e.id, e.mask) for e in good] == [("in/a.tif", "a", "in/a.geojson"), ("b (1).dng", "b__1_", "")]
    assert bad == []


def test_a_users_annotation_without_a_picture_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / n for n in ("a.tif", "b.png", "c.tif", "c.dng")]
    _, good, bad = entries_from_files(files)
    assert [entry.id for entry in good] == ["a"]
    assert sorted(Path(error.path).name for error in bad) == ["b.png", "c.dng", "c.tif"]
    with pytest.raises(InputError, match="no files"):
        entries_from_files([])


def test_names_are_merged_refused_or_ignored() -> None:
    known = makers.params(classes=["tumour", "other"], merge={"carcinoma": "tumour", "ink": ""})
    classes = names_found([], known)
    assert [index_of(n, HERE, classes, known) for n in ("tumour", "other", "carcinoma", "ink")] == [1, 2, 1, 0]
    with pytest.raises(BadFile, match="the class 'fat'"):
        index_of("fat", HERE, classes, known)
    lax = makers.params(classes=["tumour"], unknown_class="ignore")
    assert label_of("fat", HERE, ("tumour",), lax) == ""
    assert label_of("tumour", HERE, ("tumour",), lax) == "tumour"


def test_classes_are_found_where_the_params_name_none() -> None:
    known = makers.params(merge={"b": "a", "ink": ""}, source_classes=["z"])
    assert names_found(["c", "b", "", "ink"], known) == ("a", "c", "z")


def test_params_that_contradict_themselves_are_refused() -> None:
    for changes in ({"classes": ["a", "a"]}, {"classes": ["a"], "merge": {"b": "c"}}, {"tile_overlap_px": 64}):
        with pytest.raises(ValidationError):
            makers.params(**changes)


def test_a_grid_holds_whole_tiles_and_a_small_picture_is_one() -> None:
    assert tiles.grid(100, 130, 64, 0) == [(0, 0, 64, 64), (0, 64, 64, 64)]
    assert [t[0] for t in tiles.grid(128, 64, 64, 32)] == [0, 32, 64]
    assert tiles.grid(50, 130, 64, 0) == [(0, 0, 50, 64), (0, 64, 50, 64)]


def test_fractions_equal_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = makers.rng(3).integers(0, 4, (90, 110)).astype(np.uint8)
    monkeypatch.setattr(tiles, "BLOCK_PX", 37)
    grid = [*tiles.grid(90, 110, 20, 5), *tiles.grid(90, 110, 64, 0)]
    found = tiles.fractions(grid, lambda y, x: labels[y, x], 3)
    for (y, x, h, w), shares in zip(grid, found, strict=True):
        expected = [(labels[y : y + h, x : x + w] == k).mean() for k in range(4)]
        np.testing.assert_allclose(shares, expected, atol=1e-12)


def test_a_tile_has_the_label_of_its_commonest_class() -> None:
    assert tiles.tile_label([0.2, 0.3], ["a", "b"], 0.0) == "b"
    assert tiles.tile_label([0.3, 0.3], ["a", "b"], 0.0) == "a"
    assert tiles.tile_label([0.2, 0.3], ["a", "b"], 0.5) == ""
    assert tiles.tile_label([0.0, 0.0], ["a", "b"], 0.0) == ""
    assert tiles.tile_label([], [], 0.0) == ""


TISSUE = TissueParams(longest_side_px=200, blur_sigma_px=1.0, density_least=0.04, density_most=0.08, hole_px=20)


def test_tissue_is_a_disc_on_glass_without_specks_and_holes() -> None:
    y, x = np.mgrid[:120, :160]
    truth = (y - 60) ** 2 + (x - 80) ** 2 < 40**2
    picture = np.where(truth, np.array([200, 120, 180])[:, None, None], 240).astype(np.uint8)
    picture[:, 5:7, 5:7] = 100
    picture[:, 60:62, 80:82] = 240
    found = tissue(picture, TISSUE)
    assert (found ^ truth).mean() < 0.01
    assert not found[5, 5]
    assert found[60, 80]


@pytest.mark.parametrize(("value", "expected"), [(245, False), (120, True)])
def test_a_slide_of_one_kind_is_all_glass_or_all_tissue(value: int, expected: bool) -> None:
    noise = makers.rng(5).integers(-3, 4, (3, 60, 60))
    assert (tissue((value + noise).astype(np.uint8), TISSUE) == expected).all()
    assert (tissue(np.full((3, 60, 60), value, np.uint8), TISSUE) == expected).all()


def test_optical_density_is_zero_for_white_and_one_for_a_tenth() -> None:
    assert optical_density(np.full((3, 1, 1), 255, np.uint8)).item() == 0
    assert optical_density(np.full((3, 1, 1), 24, np.uint8)).item() == pytest.approx(np.log10(256 / 25))


GROUPS = {f"g{i}": ["a"] * (i % 3 + 1) + ["b"] * ((7 * i) % 4) for i in range(10)}


def test_every_group_has_one_place_and_every_fold_has_a_group() -> None:
    found = splits.split(GROUPS, makers.params(test_groups=2, folds=4))
    assert found.keys() == GROUPS.keys()
    assert sum(place == ("test", -1) for place in found.values()) == 2
    assert {fold for side, fold in found.values() if side == "train"} == {0, 1, 2, 3}


def test_splits_do_not_depend_on_the_order() -> None:
    known = makers.params(test_groups=3, folds=3)
    assert splits.split(dict(reversed(GROUPS.items())), known) == splits.split(GROUPS, known)


def test_named_groups_are_the_test() -> None:
    found = splits.split(GROUPS, makers.params(test_groups=["g4", "g7"], folds=2))
    assert [group for group, place in found.items() if place[0] == "test"] == ["g4", "g7"]


def test_labels_are_spread_over_the_folds_and_the_test() -> None:
    """Six groups of label a, three of b: each of three parts must get two of a and one of b."""
    groups = {**{f"a{i}": ["a"] * 5 for i in range(6)}, **{f"b{i}": ["b"] * 5 for i in range(3)}}
    found = splits.split(groups, makers.params(test_groups=3, folds=2))
    for place in [("test", -1), ("train", 0), ("train", 1)]:
        members = [group[0] for group, where in found.items() if where == place]
        assert sorted(members) == ["a", "a", "b"]


def test_more_folds_than_groups_and_unknown_test_groups_are_refused() -> None:
    with pytest.raises(InputError, match="3 groups"):
        splits.check_groups("x", {"a", "b", "c"}, makers.params(test_groups=1, folds=3))
    with pytest.raises(InputError, match="test group 'd'"):
        splits.check_groups("x", {"a", "b", "c"}, makers.params(test_groups=["d"], folds=1))


def test_two_tiles_of_one_id_are_refused() -> None:
    rows = [{name: "a" if str(kind) == "string" else 0 for name, kind in tiles.COLUMNS}] * 2
    with pytest.raises(InputError, match="two tiles a"):
        tiles.table(rows, [])
