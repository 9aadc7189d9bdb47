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
