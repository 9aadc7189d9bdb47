"""The proof of a store: a forgery is found, however careful, as long as something is there to tell it."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tifffile
import zarr

from tasks.ingest import receipts, step
from tests import makers
from tests.proving import (
    change,
    copy_of,
    faults,
    first_shard,
    forge,
    forged_receipt,
    gone,
    level0,
    proved,
    reseal,
    run,
)


def test_a_forgery_that_is_not_consistent_is_found_without_the_source(place: Path) -> None:
    gone(place)
    change(level0(place))
    file = str(first_shard(place))
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


def test_a_chunk_that_is_missing_with_all_digests_right_is_found(place: Path) -> None:
    """zarr-python reads zeros there, without a word."""
    file = first_shard(place)
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
    first_shard(place).unlink()
    gone(place)
    forge(place)
    assert any("0 shards; expected 1" in line for line in faults(place))


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
