"""A raw store as those see it who must trust it: other readers, NGFF's own validation, a patient, an auditor."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorstore
import tifffile
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05.image import Image as NgffImage

from tasks import store
from tasks.ingest import receipts, step
from tasks.lineage import chunk_proof, trace
from tasks.lineage.recipe import read
from tests import makers
from tests.unit.ingest.test_ingest_step import run

SECRET = "ROSALIND-FRANKLIN-1920"
OME_ARRAYS = {
    "TCZYX": ((2, 3, 2, 70, 90), np.uint16),
    "CYX": ((4, 70, 90), np.uint8),
    "ZYX": ((3, 70, 90), np.float32),
}


def write_ome(path: Path, axes: str) -> np.ndarray:
    shape, dtype = OME_ARRAYS[axes]
    values = makers.rng(3).integers(0, 200, shape).astype(dtype)
    known: dict[str, Any] = {"axes": axes, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    if "Z" in axes:
        known |= {"PhysicalSizeZ": 1.5}
    if "C" in axes:
        known |= {"Channel": {"Name": [f"dye {i}" for i in range(shape[axes.index("C")])]}}
    tifffile.imwrite(path, values, ome=True, photometric="minisblack", tile=(32, 32), metadata=known)
    return values


def named_svs(path: Path) -> Path:
    """An SVS that names a patient in its description, in tags, and as bytes of a private tag."""
    picture = makers.picture_of(130, 170)
    words = f"Aperio Image Library v11\r\n170x130|AppMag = 20|MPP = 0.499|User = {SECRET}|Filename = {SECRET}.svs"
    tags = [(315, 2, 0, SECRET, True), (65000, 2, 0, SECRET, True), (316, 2, 0, f"host of {SECRET}", True)]
    with tifffile.TiffWriter(path) as tif:
        tif.write(picture, tile=(48, 48), photometric="rgb", description=words, metadata=None, extratags=tags)
        tif.write(picture[::4, ::4], rowsperstrip=16, photometric="rgb", description=words, metadata=None)
        for name, subfile in (("label", 1), ("macro", 9)):
            shown = makers.picture_of(40, 30, key=subfile)
            tif.write(shown, subfiletype=subfile, photometric="rgb", description=f"{name} {SECRET}", metadata=None)
    return path


@pytest.mark.parametrize("deidentify", [True, False])
def test_what_names_a_patient_is_in_no_byte_of_the_store_unless_it_is_asked_for(
    tmp_path: Path, deidentify: bool
) -> None:
    path = named_svs(tmp_path / "s.svs")
    params = makers.params(deidentify=deidentify)
    out = run(step.prepare_files([path], tmp_path / "o.zarr", params, None, {})).path
    told = receipts.read(out)[0]
    holders = [f for f in out.rglob("*") if f.is_file() and SECRET.encode() in f.read_bytes()]
    associated = {p.name for p in (out / "slides" / "s" / "associated").iterdir() if p.is_dir()}
    if deidentify:
        assert holders == []
        assert associated == {"thumbnail"}
        assert {"Artist", "Aperio User", "Aperio Filename", "picture label", "picture macro"} <= set(told.dropped)
    else:
        assert holders
        assert associated == {"thumbnail", "label", "macro"}
    assert told.metadata["objective_magnification"] == 20


@pytest.mark.parametrize("axes", OME_ARRAYS)
def test_microscopy_images_become_ngff_with_their_axes_sizes_and_channels(tmp_path: Path, axes: str) -> None:
    expected = write_ome(tmp_path / "cells.ome.tif", axes)
    record = run(step.prepare_files([tmp_path / "cells.ome.tif"], tmp_path / "o.zarr", makers.params(), None, {}))
    here = record.path / "images" / "cells.ome"
    np.testing.assert_array_equal(store.open_array(here / "0")[...], expected)
    ome: Any = zarr.open_group(here, mode="r").attrs["ome"]
    assert [a["name"] for a in ome["multiscales"][0]["axes"]] == list(axes.lower())
    scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    sizes = {"y": 0.25, "x": 0.25, "z": 1.5}
    assert scale == [sizes.get(axis, 1.0) for axis in axes.lower()]
    if "C" in axes:
        assert [c["label"] for c in ome["omero"]["channels"]] == [
            f"dye {i}" for i in range(expected.shape[-3 if axes == "CYX" else 1])
        ]
    told = receipts.read(record.path)[0]
    assert told.image is not None and told.image.axes == axes.lower()
    moved = np.moveaxis(expected, axes.index("C"), 0) if "C" in axes else expected[None]
    assert [c["mean"] for c in told.statistics] == pytest.approx([float(c.mean(dtype=np.float64)) for c in moved])
    rows = pq.read_table(record.path / "tiles.parquet").to_pylist()
    assert {(row["y_px"], row["x_px"], row["height_px"], row["width_px"]) for row in rows} == {(0, 0, 64, 64)}


@pytest.mark.parametrize("kind", ["slides", "images"])
def test_other_readers_and_ngffs_own_validation_accept_the_store(tmp_path: Path, kind: str) -> None:
    if kind == "slides":
        files = [makers.write_slide(tmp_path / "s.tif", makers.picture_of(200, 260), tile=64)]
    else:
        write_ome(tmp_path / "s.tif", "TCZYX")
        files = [tmp_path / "s.tif"]
    out = run(step.prepare_files(files, tmp_path / "o.zarr", makers.params(), None, {})).path
    here = out / kind / "s"
    NgffImage.from_zarr(zarr.open_group(here, mode="r"))
    location = parse_url(here, mode="r")
    assert location is not None
    levels = next(iter(Reader(location)())).data
    assert len(levels) == len([p for p in here.iterdir() if p.name.isdecimal()])
    for number, level in enumerate(levels):
        ours = store.open_array(here / str(number))[...]
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(here / str(number))}}
        np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), ours)
        np.testing.assert_array_equal(level.compute(), ours)


def test_one_tile_is_proved_against_the_root_by_the_bytes_of_its_own_chunks(tmp_path: Path) -> None:
    path = makers.write_slide(tmp_path / "s.tif", makers.picture_of(600, 700))
    out = run(step.prepare_files([path], tmp_path / "o.zarr", makers.params(tile_sides_px=[256]), None, {})).path
    story = trace.trace(out, "s_256_000256_000256")
    root = read(out)["output"]["root"]
    proof = story.chunks[0]
    data = chunk_proof.read_chunk(out, proof)
    assert [p.coords for p in story.chunks] == [proof.coords]
    assert len(data) < 256 * 256 * 3
    assert chunk_proof.proves_chunk(proof, data, root)
    assert not chunk_proof.proves_chunk(proof, data[:-1] + bytes([data[-1] ^ 1]), root)
    assert not chunk_proof.proves_chunk(proof, data, "0" * 64)
