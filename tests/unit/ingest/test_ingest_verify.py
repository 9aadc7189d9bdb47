"""The proof of a store: nothing wrong is let through, however small, and nothing right is refused.

`forge` does what a careful forger would: after changing pixels he makes receipts, tree and recipe fit again.
"""

import json
import shutil
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tifffile
import zarr

from tasks import output, store
from tasks.errors import LineageError
from tasks.ingest import receipts, statistics, step, stored
from tasks.ingest.params import IngestParams
from tasks.ingest.verify import Verified, verify
from tasks.lineage.digest import RECIPE, TREE, files_below, pretty, root_of, tree_of
from tasks.lineage.recipe import Plan, seal
from tests import makers

KINDS = ("crops", "frames", "slides")
FLIPS = {"crops": 12, "frames": 6, "slides": 2}
"""Bits flipped in each file."""


def run(job: output.Job) -> Path:
    for wave in output.waves(job):
        for item in wave:
            step.process(job, item)
    return step.finish(job).path


def made(folder: Path, kind: str) -> Path:
    """A small store `o.zarr` beside its sources in `in`."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "crops":
        makers.crops_folder(folder / "in", count=3, side=16)
    elif kind == "frames":
        makers.frames_folder(folder / "in", count=1, height=24, width=32)
    else:
        makers.slides_folder(folder / "in", count=1, height=90, width=130)
    return run(step.prepare(folder / "in", folder / "o.zarr", makers.PARAMS[kind](), "test", "again"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("stores")
    return {kind: made(base / kind, kind).parent for kind in KINDS}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, originals: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with a store and its sources that a test may spoil."""
    return shutil.copytree(originals[request.param], tmp_path / "copy") / "o.zarr"


def copy_of(originals: dict[str, Path], kind: str, tmp_path: Path) -> Path:
    return shutil.copytree(originals[kind], tmp_path / "copy") / "o.zarr"


def proved(store: Path) -> Verified:
    return verify(store, lambda done, total: None)


def faults(store: Path) -> list[str]:
    """The lines of what is wrong with a store; fails where nothing is."""
    with pytest.raises(LineageError) as caught:
        proved(store)
    return str(caught.value).splitlines()


def forge(store: Path) -> None:
    """Make digests and statistics of the receipts, then tree and recipe, fit what is stored now."""
    told = [one.model_copy(update=_retold(store, one)) if one.image else one for one in receipts.read(store)]
    receipts.write(store, told)
    reseal(store)


def reseal(store: Path) -> None:
    recipe, tree = json.loads((store / RECIPE).read_bytes()), tree_of(store)
    size = sum(entry["bytes"] for entry in tree.values())
    recipe["output"] |= {"root": root_of(tree), "files": len(tree), "bytes": size}
    (store / TREE).write_bytes(pretty(tree))
    (store / RECIPE).write_bytes(pretty(seal(recipe)))


def _retold(store: Path, one: receipts.Receipt) -> dict[str, Any]:
    assert one.image
    stack = one.image.index is not None
    pixels = np.asarray(zarr.open_array(store / one.image.path / ("" if stack else "0"), mode="r")[...])
    pixels = pixels[one.image.index] if stack else pixels
    digest = receipts.crop_digest(pixels) if stack else receipts.image_digest(store, one.image.path, {})
    told = statistics.document(statistics.of(pixels, 0 if one.image.axes[0] == "c" else None))
    return {"image": one.image.model_copy(update={"digest": digest}), "statistics": tuple(told)}


def change(array: Path, by: int = 1) -> None:
    """Change one pixel of an array through zarr-python, as another program would."""
    opened = zarr.open_array(array, mode="r+")
    pixels = np.asarray(opened[...])
    pixels.flat[pixels.size // 2] ^= by
    opened[...] = pixels


def level0(store: Path) -> Path:
    image = receipts.read(store)[0].image
    assert image
    return store / image.path / ("" if image.index is not None else "0")


def gone(store: Path) -> None:
    shutil.rmtree(store.parent / "in")


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


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_found(originals: dict[str, Path], kind: str, tmp_path: Path) -> None:
    """In every file of the store, at random places; the source is gone, so that the store alone must tell."""
    store, random = copy_of(originals, kind, tmp_path), makers.rng(7)
    gone(store)
    for name in [*files_below(store), RECIPE, TREE]:
        file = store / name
        whole = file.read_bytes()
        for bit in random.integers(0, max(8 * len(whole), 1), FLIPS[kind] if whole else 0).tolist():
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            assert faults(store), (name, bit)
        file.write_bytes(whole)
    assert proved(store)


@pytest.mark.parametrize("kind", KINDS)
def test_every_deleted_file_is_found(originals: dict[str, Path], kind: str, tmp_path: Path) -> None:
    store = copy_of(originals, kind, tmp_path)
    gone(store)
    for name in [*files_below(store), RECIPE, TREE]:
        aside = (store / name).rename(tmp_path / "aside")
        assert any(name in line or "recipe" in line for line in faults(store)), name
        aside.rename(store / name)
    assert proved(store)


def test_a_file_too_many_is_found(place: Path) -> None:
    (place / "note.txt").write_text("x", encoding="utf-8")
    assert any("note.txt" in line for line in faults(place))


def test_a_forgery_that_is_not_consistent_is_found_without_the_source(place: Path) -> None:
    gone(place)
    change(level0(place))
    file = str(_first_shard(place))
    assert any(line.startswith(file) for line in faults(place))
    reseal(place)
    lines = faults(place)
    assert any("as the receipt" in line or "what the receipt tells" in line for line in lines)
    assert any("statistics" in line for line in lines)


@pytest.mark.parametrize("kind", ["crops", "frames"])
def test_a_consistent_forgery_is_found_against_the_source_alone(
    originals: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    store = copy_of(originals, kind, tmp_path)
    change(level0(store))
    forge(store)
    (line,) = faults(store)
    assert "1 values differ, first at" in line
    gone(store)
    assert {one.how for one in proved(store).sources} == {"store"}


def test_a_forged_slide_is_found_against_its_source(originals: dict[str, Path], tmp_path: Path) -> None:
    store = copy_of(originals, "slides", tmp_path)
    change(store / "slides" / "s0" / "0")
    forge(store)
    (line,) = faults(store)
    assert "1 values differ, first at (1, 45, 0)" in line
    assert line.startswith(str(store / "slides" / "s0" / "0" / "c"))


@pytest.mark.parametrize("name", ["1", "labels/annotation/0", "labels/annotation/1", "labels/tissue/0"])
def test_forged_levels_and_labels_are_found(originals: dict[str, Path], name: str, tmp_path: Path) -> None:
    store = copy_of(originals, "slides", tmp_path)
    change(store / "slides" / "s0" / name, by=2)
    forge(store)
    assert any(f"s0/{name}" in line for line in faults(store))


def test_a_forged_mask_of_a_frame_is_found(originals: dict[str, Path], tmp_path: Path) -> None:
    store = copy_of(originals, "frames", tmp_path)
    change(store / "frames" / "f0" / "labels" / "annotation" / "0")
    forge(store)
    assert any("labels/annotation/0" in line for line in faults(store))


def test_an_annotation_that_was_taken_away_or_put_in_is_found(originals: dict[str, Path], tmp_path: Path) -> None:
    store = copy_of(originals, "frames", tmp_path)
    labels = store / "frames" / "f0" / "labels"
    shutil.copytree(labels / "annotation", labels / "another")
    forge(store)
    assert any("labels/another/0, which it does not hold" in line for line in faults(store))
    shutil.rmtree(labels / "another")
    shutil.rmtree(labels / "annotation")
    forge(store)
    assert any("no labels/annotation/0" in line for line in faults(store))


def _first_shard(store: Path) -> Path:
    return next(p for p in sorted(level0(store).rglob("*")) if p.is_file() and "c" in p.relative_to(store).parts)


def test_a_chunk_that_is_missing_with_all_digests_right_is_found(place: Path) -> None:
    """zarr-python reads zeros there, without a word."""
    file = _first_shard(place)
    metadata = json.loads((level0(place) / "zarr.json").read_bytes())
    inner = metadata["codecs"][0]["configuration"]["chunk_shape"]
    shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    count = int(np.prod([s // c for s, c in zip(shard, inner, strict=True)]))
    data = bytearray(file.read_bytes())
    start = len(data) - 16 * count - 4
    data[start : start + 16] = b"\xff" * 16
    data[-4:] = struct.pack("<I", google_crc32c.value(bytes(data[start:-4])))
    file.write_bytes(data)
    assert not np.asarray(zarr.open_array(level0(place), mode="r")[0]).all()
    gone(place)
    forge(place)
    assert any("1 chunks missing" in line for line in faults(place))


def test_a_shard_that_is_missing_with_all_digests_right_is_found(place: Path) -> None:
    _first_shard(place).unlink()
    gone(place)
    forge(place)
    assert any("0 shards; expected 1" in line for line in faults(place))


def test_a_changed_source_is_a_fault(place: Path) -> None:
    name = receipts.read(place)[0].source.path
    with (place.parent / "in" / name).open("ab") as file:
        file.write(b"\x00")
    (line,) = faults(place)
    assert line.startswith(str(place.parent / "in" / name))
    assert "sha256" in line


def forged_receipt(store: Path, **changes: Any) -> None:
    told = receipts.read(store)
    receipts.write(store, [told[0].model_copy(update=changes), *told[1:]])
    reseal(store)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: {"statistics": ({**one.statistics[0], "max": 3}, *one.statistics[1:])},
        lambda one: {"metadata": {**one.metadata, "make": "forged"}},
        lambda one: {"dropped": ("Forged",)},
        lambda one: {"image": one.image.model_copy(update={"digest": "0" * 64})},
        lambda one: {"image": one.image.model_copy(update={"shape": (9, 9)})},
        lambda one: {"source": one.source.model_copy(update={"sha256": "0" * 64})},
        lambda one: {"image": None, "status": "rejected", "line": "forged"},
    ],
    ids=["statistics", "metadata", "dropped", "digest", "shape", "source", "rejected"],
)
def test_forged_receipts_are_found(place: Path, spoil: Callable[[receipts.Receipt], dict[str, Any]]) -> None:
    forged_receipt(place, **spoil(receipts.read(place)[0]))
    assert faults(place)


@pytest.mark.parametrize("kind", ["crops", "frames"])
def test_a_forged_calibration_is_found(originals: dict[str, Path], kind: str, tmp_path: Path) -> None:
    store = copy_of(originals, kind, tmp_path)
    file = (store / "mosaic" if kind == "crops" else store / "frames" / "f0") / "zarr.json"
    document = json.loads(file.read_bytes())
    known = document["attributes"]["rawmill"]["calibration"]
    for value in ([known["white_balance"][0] + 0.5, *known["white_balance"][1:]], "none"):
        known["white_balance"] = value
        file.write_text(json.dumps(document), encoding="utf-8")
        forge(store)
        assert any("calibration" in line for line in faults(store))


def test_all_faults_are_told_at_once(originals: dict[str, Path], tmp_path: Path) -> None:
    store = copy_of(originals, "crops", tmp_path)
    spoilt = ["tiles.parquet", receipts.RECEIPTS, "mosaic/c/0/0/0"]
    for name in spoilt:
        data = bytearray((store / name).read_bytes())
        data[len(data) // 3] ^= 4
        (store / name).write_bytes(data)
    lines = faults(store)
    assert all(any(name in line for line in lines) for name in spoilt)


def test_refused_sources_are_told(tmp_path: Path) -> None:
    folder = makers.crops_folder(tmp_path / "in", count=3, side=16)
    (folder / "c1.tif").write_bytes((folder / "c1.tif").read_bytes()[:100])
    params: IngestParams = makers.PARAMS["crops"]()
    found = proved(run(step.prepare(folder, tmp_path / "o.zarr", params, "test", "again")))
    assert sorted(one.how for one in found.sources) == ["rejected", "source", "source"]
    assert any("rejected: c1.tif: truncated" in line for line in found.lines)


def test_what_is_no_raw_store_is_one_line(tmp_path: Path) -> None:
    lines = faults(tmp_path)
    assert all(str(tmp_path) in line for line in lines)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_microscopy_stacks_are_proved_and_forgeries_found(dtype: str, tmp_path: Path) -> None:
    pixels = (makers.rng(2).random((2, 3, 2, 40, 50)) * 900).astype(dtype)
    if dtype == "float32":
        pixels[0, 0, 0, 0, :2] = np.nan, -0.0
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "TCZYX"}, ome=True)
    params = makers.params("images")
    store = run(step.prepare_files([tmp_path / "a.ome.tif"], tmp_path / "o.zarr", params, None, {}))
    assert proved(store).pixels == pixels.size
    (one,) = receipts.read(store)
    assert one.image
    assert [told["max"] for told in one.statistics] == np.nanmax(pixels, axis=(0, 2, 3, 4)).tolist()
    array = zarr.open_array(store / one.image.path / "0", mode="r+")
    changed = np.asarray(array[...])
    changed[1, 2, 1, 7, 9] += 1
    array[...] = changed
    forge(store)
    assert any("1 values differ, first at (1, 2, 1, 7, 9)" in line for line in faults(store))


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
