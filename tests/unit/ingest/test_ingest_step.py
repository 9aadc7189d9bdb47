"""Whole ingests: what is stored is what the sources hold, valid NGFF, and the same bytes however it is made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import ImageLabel
from ome_zarr_models.v05.image import Image as NgffImage
from ome_zarr_models.v05.labels import Labels
from PIL import Image

from tasks import output, store
from tasks.contracts import Calibration, Record
from tasks.errors import LineageError
from tasks.ingest import step
from tasks.ingest.formats import mosaic, picture
from tasks.lineage.recipe import Plan, check_files, read
from tests import makers

KINDS = sorted(makers.FOLDERS)


def run(job: output.Job, reverse: bool = False) -> Record:
    for wave in output.waves(job):
        for item in sorted(output.todo(job, wave), reverse=reverse):
            step.process(job, item)
    return step.finish(job)


def ingest(folder: Path, out: Path, kind: str, **changes: Any) -> Record:
    params = makers.PARAMS[kind]().model_copy(update=changes)
    return run(step.prepare(folder, out, params, "test", "again"))


def rows_of(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "tiles.parquet").to_pylist()


def root_of(out: Path) -> dict[str, Any]:
    return store.read_attributes(out)


def test_crops_are_stacked_as_they_were(tmp_path: Path) -> None:
    folder = makers.crops_folder(tmp_path / "in", count=70, side=16)
    record = ingest(folder, tmp_path / "o.zarr", "crops")
    stack = store.open_array(record.path / "mosaic")
    assert stack.shape == (70, 16, 16)
    assert (stack.chunks, stack.shards) == ((1, 16, 16), (64, 16, 16))
    rows = rows_of(record.path)
    assert [row["tile_id"] for row in rows] == sorted(f"c{i}" for i in range(70))
    for row in rows:
        np.testing.assert_array_equal(stack[row["index"]], tifffile.imread(folder / row["source"]))
        assert row["label"] == "AB"[int(row["tile_id"][1:]) % 2]
        assert row[f"fraction_{row['label']}"] == row["coverage"] == row["tissue"] == 1
    found = store.read_attributes(record.path / "mosaic")["calibration"]
    assert Calibration.model_validate(found) == makers.calibration()
    assert root_of(record.path) == {"version": 2, "kind": "crops", "classes": ["A", "B"]}


def test_frames_keep_their_mosaic_calibration_and_mask(tmp_path: Path) -> None:
    folder = makers.frames_folder(tmp_path / "in")
    record = ingest(folder, tmp_path / "o.zarr", "frames", tile_sides_px=(32,))
    rows = rows_of(record.path)
    assert len(rows) == 3 * 3 * 4
    for name in ("f0", "f1", "f2"):
        here = record.path / "frames" / name
        expected = mosaic.decode(folder / f"{name}.dng", None, makers.params())
        np.testing.assert_array_equal(store.open_array(here / "0")[...], expected.pixels)
        assert Calibration.model_validate(store.read_attributes(here)["calibration"]) == expected.calibration
        mask = np.asarray(Image.open(folder / f"{name}-mask.png"))
        np.testing.assert_array_equal(store.open_array(here / "labels" / "annotation" / "0")[...], mask)
        mine = [row for row in rows if row["item"] == name]
        for row in mine:
            tile = mask[row["y_px"] : row["y_px"] + 32, row["x_px"] : row["x_px"] + 32]
            assert row["coverage"] == row["fraction_car"] == tile.mean()
            assert row["label"] == ("car" if tile.any() else "")
            assert row["mask"] == f"frames/{name}/labels/annotation"
        assert sum(row["coverage"] for row in mine) * 32 * 32 == mask.sum()


def test_slides_keep_pixels_annotation_and_tissue(tmp_path: Path) -> None:
    folder = makers.slides_folder(tmp_path / "in")
    record = ingest(folder, tmp_path / "o.zarr", "slides")
    here = record.path / "slides" / "s1"
    picture = tifffile.imread(folder / "s1.tif", series=0, level=0)
    np.testing.assert_array_equal(store.open_array(here / "0")[...], np.moveaxis(picture, -1, 0))
    annotation = store.open_array(here / "labels" / "annotation" / "0")[...]
    expected = np.zeros((200, 260), np.uint8)
    expected[50:130, 60:120], expected[50:130, 120:180] = 1, 2
    np.testing.assert_array_equal(annotation, expected)
    tissue = np.asarray(store.open_array(here / "labels" / "tissue" / "0")[...])
    assert set(np.unique(tissue)) == {0, 1}
    assert tissue[100, 130] == 1
    assert tissue[5, 5] == 0
    for row in (r for r in rows_of(record.path) if r["item"] == "s1"):
        window = slice(row["y_px"], row["y_px"] + 64), slice(row["x_px"], row["x_px"] + 64)
        assert row["tissue"] == pytest.approx(tissue[window].mean(), abs=1e-12)
        assert row["coverage"] == pytest.approx((annotation[window] > 0).mean(), abs=1e-12)
        assert row["fraction_stroma"] == pytest.approx((annotation[window] == 2).mean(), abs=1e-12)
    scale = zarr.open_group(here, mode="r").attrs["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][
        0
    ]
    assert scale == {"type": "scale", "scale": [1.0, 1.0, 1.0]}


def test_an_svs_keeps_the_pictures_beside_it(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(130, 170))
    record = run(step.prepare_files([path], tmp_path / "o.zarr", makers.params(), None, {}))
    assert root_of(record.path)["kind"] == "slides"
    with picture.opened(path, "slides", makers.params()) as one:
        for name in ("thumbnail", "label", "macro"):
            stored = store.open_array(record.path / "slides" / "s" / "associated" / name)[...]
            np.testing.assert_array_equal(stored, one.picture(name))
    assert store.read_attributes(record.path / "slides" / "s")["pixel_size_um"] == 0.499


def test_bare_glass_is_left_out_but_for_labelled_tiles(tmp_path: Path) -> None:
    folder = makers.slides_folder(tmp_path / "in", count=1)
    everything = rows_of(ingest(folder, tmp_path / "a.zarr", "slides").path)
    kept = rows_of(ingest(folder, tmp_path / "b.zarr", "slides", least_tissue=0.5).path)
    expected = [r["tile_id"] for r in everything if r["tissue"] >= 0.5 or r["coverage"] > 0]
    assert [row["tile_id"] for row in kept] == expected
    assert 0 < len(kept) < len(everything)


def test_a_label_raster_counts_as_its_merged_classes(tmp_path: Path) -> None:
    folder = makers.slides_folder(tmp_path / "in", count=1)
    values = makers.rng(1).integers(0, 4, (200, 260)).astype(np.uint8)
    makers.write_tiff(folder / "m.tif", values, tile=(32, 32))
    makers.write_manifest(folder, [{"file": "s0.tif", "id": "s0", "mask": "m.tif"}])
    changes = {"source_classes": ("fat", "gland", "ink"), "classes": ("tissue",)}
    merge = {"fat": "tissue", "gland": "tissue", "ink": ""}
    record = ingest(folder, tmp_path / "o.zarr", "slides", merge=merge, **changes)
    stored = store.open_array(record.path / "slides" / "s0" / "labels" / "annotation" / "0")[...]
    np.testing.assert_array_equal(stored, np.array([0, 1, 1, 0], np.uint8)[values])


@pytest.mark.parametrize("kind", ["frames", "slides"])
def test_images_and_labels_are_valid_ngff(tmp_path: Path, kind: str) -> None:
    record = ingest(makers.FOLDERS[kind](tmp_path / "in"), tmp_path / "o.zarr", kind)
    group = zarr.open_group(record.path, mode="r")
    series = group["OME"].attrs["ome"]["series"]
    assert group.attrs["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
    assert len(series) == len(list((record.path / kind).glob("*/zarr.json")))
    for path in series:
        NgffImage.from_zarr(group[path])
        labels = Labels.from_zarr(group[f"{path}/labels"]).ome_attributes.labels
        assert labels == sorted(p.parent.name for p in (record.path / path / "labels").glob("*/zarr.json"))
        for name in labels:
            ImageLabel.from_zarr(group[f"{path}/labels/{name}"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_in_any_order_and_place(tmp_path: Path, kind: str) -> None:
    roots, recipes = set(), set()
    for name, reverse in (("one", False), ("two", True)):
        folder = makers.FOLDERS[kind](tmp_path / name / "in")
        record = run(step.prepare(folder, tmp_path / name / "o.zarr", makers.PARAMS[kind](), "test", "again"), reverse)
        check_files(record.path)
        roots.add(record.root)
        recipes.add(record.recipe)
    assert len(roots) == len(recipes) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_split_whole(tmp_path: Path, kind: str) -> None:
    folder = makers.FOLDERS[kind](tmp_path / "in", count=4)
    rows = rows_of(ingest(folder, tmp_path / "o.zarr", kind, test_groups=1, folds=3).path)
    places = {(row["group"], row["split"], row["fold"]) for row in rows}
    assert len(places) == 4
    assert sorted(fold for _, _, fold in places) == [-1, 0, 1, 2]
    assert {split for _, split, fold in places if fold == -1} == {"test"}


def test_sources_that_rawmill_made_are_one_input_and_checked(tmp_path: Path) -> None:
    made = tmp_path / "sources"
    plan = Plan("acquire", "test", [], {}, "tasks.rng", "dvc repro acquire@test")
    job = output.start(made, plan, [], lambda content: makers.crops_folder(content) and None)
    output.publish(job)
    record = ingest(made, tmp_path / "o.zarr", "crops")
    entries = read(record.path)["inputs"]
    assert [(entry["kind"], entry["path"]) for entry in entries] == [("artefact", "sources")]
    (made / "c0.tif").write_bytes(b"II*\x00")
    with pytest.raises(LineageError, match="acquire@test"):
        step.prepare(made, tmp_path / "p.zarr", makers.PARAMS["crops"](), "test", "again")


def test_a_users_files_are_inputs_each(tmp_path: Path) -> None:
    folder = makers.crops_folder(tmp_path / "in", count=3)
    files = sorted(folder.glob("*.tif"))
    record = run(step.prepare_files(files, tmp_path / "o.zarr", makers.params(), folder / "calibration.json", {}))
    entries = read(record.path)["inputs"]
    assert [Path(entry["path"]).name for entry in entries] == ["calibration.json", "c0.tif", "c1.tif", "c2.tif"]
    assert root_of(record.path)["kind"] == "crops"


def test_a_source_that_changes_during_the_work_is_noticed(tmp_path: Path) -> None:
    folder = makers.frames_folder(tmp_path / "in")
    job = step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS["frames"](), "test", "again")
    makers.write_dng(folder / "f1.dng", makers.mosaic_of(96, 128, key=77))
    step.process(job, "f0")
    with pytest.raises(LineageError, match=r"f1\.dng"):
        step.process(job, "f1")


@pytest.mark.parametrize(("side", "height", "kind"), [(32, 32, "crops"), (600, 40, "frames")])
def test_auto_tells_crops_from_frames_by_their_size(tmp_path: Path, side: int, height: int, kind: str) -> None:
    files = [makers.write_tiff(tmp_path / f"{n}.tif", makers.mosaic_of(height, side, n)) for n in range(2)]
    calibration = makers.write_calibration(tmp_path / "camera.json")
    record = run(step.prepare_files(files, tmp_path / "o.zarr", makers.params(), calibration, {}))
    assert root_of(record.path)["kind"] == kind


def test_auto_takes_small_mosaics_of_two_sizes_for_frames(tmp_path: Path) -> None:
    files = [makers.write_tiff(tmp_path / f"{n}.tif", makers.mosaic_of(30 + n, 32, n)) for n in range(2)]
    calibration = makers.write_calibration(tmp_path / "camera.json")
    record = run(step.prepare_files(files, tmp_path / "o.zarr", makers.params(), calibration, {}))
    assert root_of(record.path)["kind"] == "frames"


def test_mosaics_among_slides_are_refused_and_the_slides_done(tmp_path: Path) -> None:
    files = [
        makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(40, 40)),
        makers.write_slide(tmp_path / "b.tif", makers.picture_of(80, 80)),
    ]
    record = run(step.prepare_files(files, tmp_path / "o.zarr", makers.params(), None, {}))
    assert [line.partition(";")[0].rpartition(": ")[2] for line in record.rejected] == ["a mosaic among slides"]
    assert root_of(record.path)["kind"] == "slides"


def test_finish_may_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = makers.frames_folder(tmp_path / "in")
    job = step.prepare(folder, tmp_path / "o.zarr", makers.PARAMS["frames"](), "test", "again")
    with monkeypatch.context() as patch:
        patch.setattr(output, "publish", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "input/output error")))
        with pytest.raises(OSError, match="input/output"):
            run(job)
    record = step.finish(job)
    other = ingest(folder, tmp_path / "p.zarr", "frames")
    assert record.root == other.root
    assert json.loads((record.path / "OME" / "zarr.json").read_bytes())["attributes"]["ome"]["series"]
