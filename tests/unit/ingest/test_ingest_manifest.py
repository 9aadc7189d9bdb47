"""Manifests and lists of files that are wrong in themselves: one line each, and the other lines go on."""

import os
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.ingest import manifest
from tests import makers


def rows(folder: Path, *names: str) -> Path:
    makers.write_manifest(folder, [{"file": name, "id": f"i{k}"} for k, name in enumerate(names)])
    return folder


def test_a_loop_of_links_a_name_too_long_and_a_folder_are_lines(tmp_path: Path) -> None:
    (tmp_path / "good.tif").write_bytes(b"II*\x00")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "pool.tif")
    (tmp_path / "pool.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "sub.tif").mkdir()
    entries, bad = manifest.read_manifest(rows(tmp_path, "good.tif", "loop.tif", "x" * 300, "sub.tif"))
    assert [entry.file for entry in entries] == ["good.tif"]
    assert [str(error).split(": ")[1] for error in bad] == ["line 3", "line 4", "line 5"]
    assert all("is not there; expected" in str(error) for error in bad), bad


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    (tmp_path / "outside.tif").write_bytes(b"II*\x00")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "good.tif").write_bytes(b"II*\x00")
    (folder / "alias.tif").symlink_to("good.tif")
    (folder / "away.tif").symlink_to(tmp_path / "outside.tif")
    (folder / "up").symlink_to(tmp_path)
    entries, bad = manifest.read_manifest(rows(folder, "good.tif", "alias.tif", "away.tif", "up/outside.tif"))
    assert [entry.file for entry in entries] == ["good.tif", "alias.tif"]
    assert ["leaves the folder" in str(error) for error in bad] == [True, True]


def test_a_manifest_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.csv: not there; .*--kind of a published dataset"):
        manifest.read_manifest(tmp_path)
    (tmp_path / "manifest.csv").mkdir()
    with pytest.raises(InputError, match=r"manifest\.csv: is a directory; expected"):
        manifest.read_manifest(tmp_path)


def test_a_manifest_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.csv").open("wb") as file:
        os.truncate(file.fileno(), 10 * manifest.MOST_MANIFEST_BYTES)
    with pytest.raises(InputError, match="500000000 bytes; expected at most"):
        manifest.read_manifest(tmp_path)


def test_two_annotations_of_one_picture_refuse_it_and_name_both(tmp_path: Path) -> None:
    for name in ("a.svs", "a.png", "a.geojson", "b.svs", "b.geojson", "c.geojson"):
        (tmp_path / name).write_bytes(b"x")
    _, entries, bad = manifest.entries_from_files(sorted(tmp_path.iterdir()))
    assert [(entry.file, entry.mask) for entry in entries] == [("b.svs", "b.geojson")]
    lines = [error.line(tmp_path) for error in bad]
    assert [line.split(";")[0] for line in lines] == [
        "c.geojson: no picture with this name",
        "a.svs: 2 annotations: a.geojson, a.png",
    ]


@pytest.mark.parametrize(
    ("picture", "note"),
    [
        ("cells.ome.tif", "cells.geojson"),
        ("cells.OME.TIFF", "cells.ome.png"),
        ("cells.tif", "cells.ome.png"),
        ("a.svs", "a_mask.tif"),
        ("a.svs", "a-mask.TIFF"),
        ("a.svs", "a.mask.png"),
        ("a.tif", "a-labels.tif"),
        ("a.ome.tif", "a_mask.ome.tif"),
        ("a_mask.tif", "a_mask.png"),
        ("标本.svs", "标本_mask.tif"),
    ],
)
def test_an_annotation_is_found_by_its_name(tmp_path: Path, picture: str, note: str) -> None:
    files = [tmp_path / picture, tmp_path / note, tmp_path / "other.svs"]
    for order in (files, files[::-1]):
        _, entries, bad = manifest.entries_from_files(order)
        assert bad == []
        assert sorted((entry.file, entry.mask) for entry in entries) == sorted([(picture, note), ("other.svs", "")])


@pytest.mark.parametrize("name", ["a_mask.tif", "slide_label.tif", "a_masked.tif", "mask.tif", ".mask.tif"])
def test_a_tiff_whose_picture_is_not_there_or_that_says_no_mask_is_a_picture(tmp_path: Path, name: str) -> None:
    _, entries, bad = manifest.entries_from_files([tmp_path / name, tmp_path / "slide.svs"])
    assert (sorted(entry.file for entry in entries), bad) == (sorted([name, "slide.svs"]), [])
    assert not any(entry.mask for entry in entries)


def test_the_very_name_comes_before_one_that_is_alike(tmp_path: Path) -> None:
    names = ["c.tif", "c.ome.tif", "c.geojson", "c.ome.geojson"]
    _, entries, bad = manifest.entries_from_files([tmp_path / name for name in names])
    assert ([(e.file, e.mask) for e in entries], bad) == ([("c.tif", "c.geojson"), ("c.ome.tif", "c.ome.geojson")], [])


def test_a_mask_of_a_mask_is_not_lost(tmp_path: Path) -> None:
    names = ["a.tif", "a_mask.tif", "a_mask_mask.tif", "b_mask.png"]
    _, entries, bad = manifest.entries_from_files([tmp_path / name for name in names])
    assert [(e.file, e.mask) for e in entries] == [("a.tif", "a_mask.tif"), ("a_mask_mask.tif", "")]
    line = "b_mask.png: no picture with this name; expected a picture named b.*; name the picture too"
    assert [e.line(tmp_path) for e in bad] == [line]
