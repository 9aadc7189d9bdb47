"""The receipt of a refused source tells which entry it was, whichever of its files was the reason."""

from pathlib import Path

import pytest

from tasks.ingest import receipts, step
from tasks.ingest.bad import BadFile
from tasks.ingest.manifest import Entry
from tasks.ingest.refused import refused_of
from tasks.lineage.digest import sha256_file
from tests import makers
from tests.proving import proved, run


def rejected(store: Path) -> dict[str, receipts.Receipt]:
    return {one.id: one for one in receipts.read(store) if one.status == "rejected"}


@pytest.mark.parametrize("name", ["s1.tif", "s1.geojson"])
def test_a_slide_refused_for_its_picture_or_its_annotation(tmp_path: Path, name: str) -> None:
    folder = makers.slides_folder(tmp_path / "in", count=2, height=90, width=130)
    (folder / name).write_bytes(b"nothing of use")
    store = run(step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS["slides"](), "test", "again"))
    ((known, one),) = rejected(store).items()
    assert known == "s1"
    assert (one.source.path, one.source.sha256) == ("s1.tif", sha256_file(folder / "s1.tif"))
    assert one.annotation
    assert (one.annotation.path, one.annotation.sha256) == ("s1.geojson", sha256_file(folder / "s1.geojson"))
    assert one.line
    assert one.line.startswith(f"{name}: ")
    assert [p.how for p in proved(store).sources] == ["source", "rejected"]


def test_a_frame_refused_when_it_is_decoded(tmp_path: Path) -> None:
    folder = makers.frames_folder(tmp_path / "in", count=2, height=24, width=32)
    (folder / "f1-mask.png").write_bytes(b"nothing of use")
    store = run(step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS["frames"](), "test", "again"))
    one = rejected(store)["f1"]
    assert (one.source.path, one.annotation and one.annotation.path) == ("f1.dng", "f1-mask.png")


def test_a_bad_line_of_the_manifest_has_its_number(tmp_path: Path) -> None:
    folder = makers.crops_folder(tmp_path / "in", count=2, side=16)
    with (folder / "manifest.csv").open("a", encoding="utf-8") as file:
        file.write("gone.tif,gone,g,A,,1.0\n../away.tif,away,g,A,,1.0\n")
    store = run(step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS["crops"](), "test", "again"))
    found = rejected(store)
    assert sorted(found) == ["manifest.csv:4", "manifest.csv:5"]
    assert {one.source.path for one in found.values()} == {"manifest.csv"}


def test_each_line_is_tied_to_one_entry(tmp_path: Path) -> None:
    """Also where two pictures share an annotation, a name has a colon, or is not UTF-8."""
    entries = [Entry(f"{n}.tif", n, n, "", "m.png", 1.0) for n in "abc"] + [Entry("x: y.tif", "x", "x", "", "", 1.0)]
    names = ["m.png", "a.tif", "m.png", "x: y.tif", "\udcff.tif"]
    bad = [BadFile(tmp_path / name, "wrong", "right", "mend it") for name in names]
    told = refused_of(tmp_path, entries, ["c"], bad[:1] + bad[3:])
    assert sorted((one.id, one.file, one.mask) for one in told) == [
        ("\\udcff.tif", "\\udcff.tif", ""), ("a", "a.tif", "m.png"), ("x", "x: y.tif", "")
    ]  # fmt: skip
    told = refused_of(tmp_path, entries[:3], [], bad[1:3] + bad[:1])
    assert sorted(one.id for one in told) == ["a", "b", "c"]
    assert list(told) == sorted(told, key=lambda one: one.line)
