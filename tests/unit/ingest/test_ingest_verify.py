"""The proof of a store: nothing right is refused, and what is gone or refused is told."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tasks import output, store
from tasks.ingest import receipts, step
from tasks.ingest.params import IngestParams
from tasks.ingest.proving import stored
from tasks.ingest.proving.again import GONE
from tasks.ingest.proving.verify import verify
from tasks.lineage.digest import RECIPE, files_below
from tasks.lineage.recipe import Plan
from tests import makers
from tests.proving import (
    KINDS,
    change,
    copy_of,
    faults,
    forge,
    gone,
    level0,
    proved,
    run,
)


def test_a_whole_store_is_proved_against_its_sources(place: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = verify(place, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][0] == seen[-1][1]
    assert {one.how for one in found.sources} == {"source"}
    assert found.root == json.loads((place / RECIPE).read_bytes())["output"]["root"]
    assert found.files == len(files_below(place))
    assert found.pixels == sum(one.pixels for one in found.sources)
    assert json.loads(json.dumps(found.document()))["sources"][0]["how"] == "source"
    assert len(found.lines) == len(found.sources) + 2


def test_every_value_of_a_source_is_compared(originals: dict[str, Path]) -> None:
    found = {kind: proved(originals[kind] / "o.zarr").pixels for kind in KINDS}
    assert found == {"crops": 3 * 16 * 16, "frames": 2 * 24 * 32, "slides": 4 * 90 * 130}


def test_a_store_whose_sources_are_gone_is_proved_from_itself(place: Path) -> None:
    gone(place)
    found = proved(place)
    assert {one.how for one in found.sources} == {"store"}
    assert found.pixels == 0
    assert all("source not there" in line for line in found.lines[1:-1])


def test_refused_sources_are_told(tmp_path: Path) -> None:
    folder = makers.crops_folder(tmp_path / "in", count=3, side=16)
    (folder / "c1.tif").write_bytes((folder / "c1.tif").read_bytes()[:100])
    params: IngestParams = makers.PARAMS["crops"]()
    found = proved(run(step.prepare(folder, tmp_path / "o.zarr", params, "test", "again")))
    assert sorted(one.how for one in found.sources) == ["rejected", "source", "source"]
    assert any("rejected: c1.tif: truncated" in line for line in found.lines)


def test_a_slide_whose_jpeg_tiles_were_kept_is_proved(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(300, 400))
    store = run(step.prepare_files([path], tmp_path / "o.zarr", makers.params("slides", jpeg="keep"), None, {}))
    assert "imagecodecs_jpeg" in (store / "slides" / "s" / "0" / "zarr.json").read_text(encoding="utf-8")
    found = proved(store)
    assert found.pixels >= 3 * 300 * 400
    assert {one.how for one in found.sources} == {"source"}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("side", [(131, 67), (257, 300), (96, 97)])
def test_right_pyramids_are_not_refused_and_wrong_ones_are(dtype: str, side: tuple[int, int], tmp_path: Path) -> None:
    """Noise of full range, which averaging changes most, at sides that halve to odd ones."""
    pixels = (makers.rng(5).random((2, *side)) * {"uint8": 256, "uint16": 65536, "float32": 1}[dtype]).astype(dtype)
    image = store.Image("cyx", pixels.shape, dtype, None, 5, 16, shard_px=32, channels=(("a", "FF0000"),) * 2)
    store.create_image(tmp_path / "i", image)
    store.write_image(tmp_path / "i", lambda window: pixels[window])
    levels = [stored.opened(tmp_path, f"i/{level}") for level in range(5)]
    for below, level in pairwise(levels):
        for window in level.windows():
            right = stored.read(level, window)
            assert stored.level_fault(level, window, right, below, False) is None
            wrong = right.copy()
            middle = tuple((n - 1) // 2 for n in wrong.shape)
            wrong[middle] += 3 if dtype != "float32" else 1
            if window[-1].stop < level.array.shape[-1] and window[-2].stop < level.array.shape[-2]:
                assert "mean" in str(stored.level_fault(level, window, wrong, below, False))


def test_sources_that_rawmill_made_are_found_through_their_recipe(tmp_path: Path) -> None:
    plan = Plan("acquire", "test", [], {}, "tasks.ingest.bad", "rawmill repro")
    job = output.start(tmp_path / "in", plan, ["all"], lambda content: None)
    makers.crops_folder(job.content, count=2, side=16)
    output.mark_done(job, "all", list(job.content.iterdir()))
    output.publish(job)
    store = run(step.prepare(tmp_path / "in", tmp_path / "o.zarr", makers.PARAMS["crops"](), "test", "rawmill ingest"))
    assert {one.how for one in proved(store).sources} == {"source"}
    change(store / "mosaic")
    forge(store)
    assert any("1 values differ" in line for line in faults(store))


@pytest.mark.parametrize("there", [True, False])
def test_files_with_a_calibration_named_beside_them(there: bool, tmp_path: Path) -> None:
    picture = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(24, 32))
    beside = makers.write_calibration(tmp_path / "camera.json", white_balance=[1.5, 1.0, 2.5])
    store = run(step.prepare_files([picture], tmp_path / "o.zarr", makers.params("frames"), beside, {}))
    if not there:  # then the calibration cannot be proved, but the pixels can
        beside.unlink()
    assert {one.how for one in proved(store).sources} == {"source"}


def annotation(store: Path) -> Path:
    told = receipts.read(store)[0].annotation
    assert told
    return store.parent / "in" / told.path


@pytest.mark.parametrize("kind", ["frames", "slides"])
def test_without_its_annotation_a_picture_is_still_compared(
    originals: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    store = copy_of(originals, kind, tmp_path)
    before = proved(store).pixels
    annotation(store).unlink()
    (one,) = proved(store).sources
    height, width = receipts.read(store)[0].image.shape[-2:]  # type: ignore[union-attr]
    assert (one.how, one.pixels) == ("source", before - height * width)
    assert one.line.endswith("; annotation not there: proved from the store alone")
    change(level0(store))
    forge(store)
    assert any("1 values differ" in line for line in faults(store))


@pytest.mark.parametrize("kind", ["frames", "slides"])
def test_without_its_picture_an_annotation_is_still_compared(
    originals: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    store = copy_of(originals, kind, tmp_path)
    kept = annotation(store)
    (store.parent / "in" / receipts.read(store)[0].source.path).unlink()
    (one,) = proved(store).sources
    height, width = receipts.read(store)[0].image.shape[-2:]  # type: ignore[union-attr]
    assert (one.how, one.pixels) == ("store", height * width)
    assert one.line == f"{height * width} values equal to those of {kept.name}; {GONE}"
    change(level0(store).parent / "labels" / "annotation" / "0", by=3)
    forge(store)
    assert any("labels/annotation/0" in line and "differ" in line for line in faults(store))


@pytest.mark.parametrize("name", ["annotation", "tissue"])
def test_a_label_is_there_whatever_became_of_the_sources(originals: dict[str, Path], name: str, tmp_path: Path) -> None:
    store = copy_of(originals, "slides", tmp_path)
    gone(store)
    shutil.rmtree(store / "slides" / "s0" / "labels" / name)
    forge(store)
    assert any(f"no labels/{name}/0" in line for line in faults(store))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_compared_too(value: float, tmp_path: Path) -> None:
    pixels = makers.rng(5).random((1, 64, 64)).astype("float32")
    pixels[0, 9, 9] = value
    image = store.Image("cyx", pixels.shape, "float32", None, 3, 16, shard_px=32, channels=(("a", "FF0000"),))
    store.create_image(tmp_path / "i", image)
    store.write_image(tmp_path / "i", lambda window: pixels[window])
    below, level = (stored.opened(tmp_path, f"i/{k}") for k in (0, 1))
    window = next(level.windows())
    right = stored.read(level, window)
    assert not np.isfinite(right[0, 4, 4])
    assert stored.level_fault(level, window, right, below, False) is None
    for forged in {np.nan, np.inf, -np.inf, 0.5} - {value}:
        wrong = right.copy()
        wrong[0, 4, 4] = forged
        assert np.array_equal(wrong, right, equal_nan=True) or stored.level_fault(level, window, wrong, below, False)
    wrong = right.copy()
    wrong[0, 5, 5] = value
    assert stored.level_fault(level, window, wrong, below, False)
