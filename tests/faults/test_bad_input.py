"""Bad input, one row each: one line that names the file, the others done, nothing half-written, exit code not 0."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from tasks import output, store
from tasks.errors import BatchError
from tasks.ingest import step
from tasks.lineage.recipe import check_files
from tests import makers

SHAPES = {"crops": (32, 32), "frames": (96, 128)}


@dataclass(frozen=True)
class Case:
    """`spoil(path)` makes the bad file at `path`; `suffix` is its ending; `words` stand in its line."""

    kind: str
    suffix: str
    spoil: Callable[[Path], object]
    words: str


def cut(make: Callable[[Path], object], share: float) -> Callable[[Path], None]:
    """A file that `make` writes, cut after `share` of its bytes."""

    def spoil(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return spoil


def crop(path: Path, pixels: Any = None, **options: Any) -> Path:
    return makers.write_tiff(path, makers.mosaic_of(32, 32) if pixels is None else pixels, **options)


def frame(path: Path, **changes: Any) -> Path:
    return makers.write_dng(path, makers.mosaic_of(96, 128), **changes)


def with_tags(*tags: tuple[Any, ...]) -> dict[int, tuple[Any, ...]]:
    return {**makers.dng_tags(), **{tag[0]: tag for tag in tags}}


def other_compression(path: Path) -> None:
    """A DNG that says JPEG XL (52546) of its pixels."""
    frame(path)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages[0].tags["Compression"].overwrite(52546)


def huge_claim(path: Path) -> None:
    """A TIFF that claims 60000 x 60000 pixels of which there are none."""
    crop(path)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages[0].tags[name].overwrite(60000, dtype=4)


def huge_dng(path: Path) -> None:
    frame(path)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages[0].tags[name].overwrite(60000, dtype=4)


def lost_tile(path: Path) -> None:
    """A slide one of whose tiles is said to hold no bytes."""
    makers.write_slide(path, makers.picture_of(200, 260))
    with tifffile.TiffFile(path, mode="r+b") as tif:
        counts = list(tif.pages[0].tags["TileByteCounts"].value)
        counts[3] = 0
        tif.pages[0].tags["TileByteCounts"].overwrite(counts)


def damaged_tile(path: Path) -> None:
    """A slide with deflate tiles, one of which is noise."""
    makers.write_slide(path, makers.picture_of(200, 260))
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages[0].dataoffsets[2], tif.pages[0].databytecounts[2]
    data = bytearray(path.read_bytes())
    data[start : start + size] = makers.rng(9).bytes(size)
    path.write_bytes(data)


def cut_jpeg_tile(path: Path) -> None:
    """A slide with JPEG tiles, one of which ends early: libjpeg would fill it with grey and say nothing."""
    makers.write_slide(path, makers.picture_of(200, 260), compression="jpeg")
    with tifffile.TiffFile(path, mode="r+b") as tif:
        counts = list(tif.pages[0].tags["TileByteCounts"].value)
        counts[4] //= 2
        tif.pages[0].tags["TileByteCounts"].overwrite(counts)


def looped(path: Path) -> None:
    """A TIFF header whose first directory is itself garbage."""
    path.write_bytes(b"II*\x00" + struct.pack("<I", 4) + bytes(64))


CFA = "a colour pattern of"
CASES = {
    "crop empty": Case("crops", ".tif", lambda p: p.write_bytes(b""), "empty; expected a picture"),
    "crop cut in its header": Case("crops", ".tif", cut(crop, 0.02), "not a readable TIFF"),
    "crop cut in its pixels": Case("crops", ".tif", cut(crop, 0.9), "truncated at"),
    "crop of noise": Case("crops", ".tif", lambda p: p.write_bytes(b"hello" * 99), "a format that rawmill does not"),
    "crop with a broken directory": Case("crops", ".tif", looped, "its first page holds no picture"),
    "crop as PNG": Case("crops", ".png", lambda p: makers.write_png(p, np.ones((32, 32), np.uint8)), "a png file"),
    "crop of floats": Case("crops", ".tif", lambda p: crop(p, np.ones((32, 32), np.float32)), "float32 pixels"),
    "crop of 8 bits": Case("crops", ".tif", lambda p: crop(p, np.ones((32, 32), np.uint8)), "8-bit pixels"),
    "crop of 32 bits": Case("crops", ".tif", lambda p: crop(p, np.ones((32, 32), np.uint32)), "32-bit pixels"),
    "crop already demosaiced": Case(
        "crops", ".tif", lambda p: crop(p, np.ones((32, 32, 3), np.uint16), photometric="rgb"), "3 channels"
    ),
    "crop of another size": Case("crops", ".tif", lambda p: crop(p, makers.mosaic_of(40, 32)), "40 x 32 pixels"),
    "crop that claims to be huge": Case("crops", ".tif", huge_claim, "60000 x 60000 pixels; expected at most"),
    "crop with another pattern": Case(
        "crops", ".dng", lambda p: makers.write_dng(p, makers.mosaic_of(32, 32), makers.dng_tags("GBRG")),
        "the colour pattern GBRG; expected RGGB as calibration.json says",
    ),
    "frame empty": Case("frames", ".dng", lambda p: p.write_bytes(b""), "empty"),
    "frame cut in its header": Case("frames", ".dng", cut(frame, 0.004), "not a readable TIFF"),
    "frame cut in its pixels": Case("frames", ".dng", cut(frame, 0.7), "truncated at"),
    "frame of floats": Case(
        "frames", ".dng", lambda p: makers.write_dng(p, np.ones((96, 128), np.float32), makers.dng_tags()), "float32"
    ),
    "frame of 8 bits": Case(
        "frames", ".dng", lambda p: makers.write_dng(p, np.ones((96, 128), np.uint8), makers.dng_tags()), "8-bit pixels"
    ),
    "frame of 6x6 sites": Case(
        "frames", ".dng",
        lambda p: frame(p, tags=with_tags((33421, 3, 2, (6, 6), True), (33422, 1, 36, bytes([1] * 36), True))),
        "a colour pattern of (6, 6) sites",
    ),
    "frame of four colours": Case(
        "frames", ".dng",
        lambda p: frame(p, tags=with_tags((33422, 1, 4, bytes((0, 1, 2, 2)), True))),
        "the colour pattern",
    ),
    "frame already demosaiced": Case(
        "frames", ".dng",
        lambda p: makers.write_dng(p, np.ones((96, 128, 3), np.uint16), makers.dng_tags(), photometric="LINEAR_RAW"),
        "already demosaiced (LinearRaw)",
    ),
    "frame in JPEG XL": Case("frames", ".dng", other_compression, "compression JPEGXL_DNG"),
    "frame that claims to be huge": Case("frames", ".dng", huge_dng, "60000 x 60000 pixels; expected at most"),
    "frame that LibRaw does not know": Case("frames", ".nef", lambda p: p.write_bytes(b"hello" * 99), "LibRaw cannot"),
    "frame in a TIFF without calibration": Case(
        "frames", ".tif", lambda p: crop(p, makers.mosaic_of(96, 128)), "does not say which camera made it"
    ),
    "slide empty": Case("slides", ".tif", lambda p: p.write_bytes(b""), "empty"),
    "slide cut": Case("slides", ".tif", cut(lambda p: makers.write_slide(p, makers.picture_of(200, 260)), 0.6), "; "),
    "slide of 16 bits": Case(
        "slides", ".tif", lambda p: crop(p, np.ones((200, 260, 3), np.uint16), photometric="rgb"), "uint16 pixels"
    ),
    "slide with a lost tile": Case("slides", ".tif", lost_tile, "a piece of its pixel data is missing"),
    "slide with a damaged tile": Case("slides", ".tif", damaged_tile, "cannot be decoded"),
    "slide with a cut JPEG tile": Case("slides", ".tif", cut_jpeg_tile, "is cut off"),
    "slide without a pixel size": Case(
        "slides", ".tif",
        lambda p: crop(p, makers.picture_of(200, 260), photometric="rgb", tile=(64, 64)),
        "does not say how large a pixel is",
    ),
    "slide that is a frame": Case("slides", ".dng", frame, "a dng file"),
}  # fmt: skip


def spoiled(folder: Path, case: Case) -> Path:
    """A good dataset of three, with one bad file among them; returns the bad file."""
    makers.FOLDERS[case.kind](folder, count=3)
    path = folder / f"bad{case.suffix}"
    case.spoil(path)
    with (folder / "manifest.csv").open("a", encoding="utf-8") as file:
        file.write(f"{path.name},bad,bad,,,1.0\n")
    return path


def ingest(folder: Path, out: Path, kind: str) -> None:
    job = step.prepare(folder, out, makers.PARAMS[kind](), "test", "again")
    for item in output.todo(job):
        step.process(job, item)
    output.complain(step.finish(job))


def assert_others_are_done(out: Path, error: BatchError, name: str) -> None:
    """One line that names the file; the store whole and without it; nothing else beside it."""
    assert error.exit_code != 0
    assert error.done == 3
    (line,) = error.faults
    assert "\n" not in line
    assert name in line.split(": ")[0]
    assert line.count("; ") >= 2
    assert [path.name for path in out.parent.iterdir() if path.name.startswith((out.name, "."))] == [out.name]
    check_files(out)
    rows = pq.read_table(out / "tiles.parquet").to_pylist()
    assert {row["source"] for row in rows}.isdisjoint({name})
    assert len({row["group"] for row in rows}) == 3
    assert not list(out.glob("*/bad"))
    assert store.read_attributes(out)["rejected"][0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_bad_file_among_good_ones(tmp_path: Path, name: str) -> None:
    case, out = CASES[name], tmp_path / "out" / "o.zarr"
    path = spoiled(tmp_path / "in", case)
    with pytest.raises(BatchError) as caught:
        ingest(tmp_path / "in", out, case.kind)
    assert case.words in str(caught.value)
    assert_others_are_done(out, caught.value, path.name)
    assert str(path) in str(caught.value)


def png(path: Path, values: np.ndarray) -> Path:
    return makers.write_png(path, values)


MASKS: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "of another size": ("frames", ".png", lambda p: png(p, np.zeros((96, 127), np.uint8)), "96 x 127 pixels"),
    "cut": ("frames", ".png", cut(lambda p: png(p, (makers.mosaic_of(96, 128) >> 15).astype(np.uint8)), 0.5), "trunc"),
    "empty": ("frames", ".png", lambda p: p.write_bytes(b""), "empty"),
    "in colour": ("frames", ".png", lambda p: png(p, np.zeros((96, 128, 3), np.uint8)), "PNG mode RGB"),
    "with a value that has no name": ("frames", ".png", lambda p: png(p, np.full((96, 128), 9, np.uint8)), "value 9"),
    "TIFF of another size": ("slides", ".tif", lambda p: crop(p, np.zeros((21, 26), np.uint8)), "21 x 26 pixels"),
    "TIFF of 32 bits": ("slides", ".tif", lambda p: crop(p, np.zeros((200, 260), np.uint32)), "1 channels of uint32"),
    "cut GeoJSON": ("slides", ".geojson", lambda p: p.write_text('{"features": ['), "not GeoJSON"),
    "GeoJSON with a foreign class": (
        "slides", ".geojson",
        lambda p: makers.write_geojson(p, [makers.feature("fat", "Polygon", [makers.box(1, 1, 5, 5)])]),
        "the class 'fat'; expected one of tumour, stroma",
    ),
    "that is a raw file": ("frames", ".dng", frame, "a dng file"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MASKS))
def test_a_bad_mask_costs_its_picture_only(tmp_path: Path, name: str) -> None:
    kind, suffix, spoil, words = MASKS[name]
    folder, out = makers.FOLDERS[kind](tmp_path / "in", count=4), tmp_path / "out" / "o.zarr"
    spoil(folder / f"bad{suffix}")
    lines = (folder / "manifest.csv").read_text().splitlines()
    fields = lines[-1].split(",")
    fields[4] = f"bad{suffix}"
    (folder / "manifest.csv").write_text("\n".join([*lines[:-1], ",".join(fields)]) + "\n")
    with pytest.raises(BatchError) as caught:
        ingest(folder, out, kind)
    assert words in str(caught.value)
    assert_others_are_done(out, caught.value, f"bad{suffix}")


def test_bad_lines_of_the_manifest_are_among_the_faults(tmp_path: Path) -> None:
    folder, out = makers.crops_folder(tmp_path / "in", count=3), tmp_path / "out" / "o.zarr"
    with (folder / "manifest.csv").open("a", encoding="utf-8") as file:
        file.write("../../secret.tif,x,x,A,,1.0\nlost.tif,y,y,A,,1.0\n")
    with pytest.raises(BatchError) as caught:
        ingest(folder, out, "crops")
    assert caught.value.done == 3
    assert ["leaves the folder" in line for line in caught.value.faults] == [True, False]
    assert "'lost.tif' is not there" in caught.value.faults[1]
    check_files(out)


@pytest.mark.parametrize("kind", sorted(makers.FOLDERS))
def test_nothing_good_leaves_nothing(tmp_path: Path, kind: str) -> None:
    folder, out = makers.FOLDERS[kind](tmp_path / "in", count=2), tmp_path / "out" / "o.zarr"
    for path in folder.iterdir():
        if path.suffix in (".tif", ".dng"):
            path.write_bytes(path.read_bytes()[:50])
    out.parent.mkdir()
    with pytest.raises(BatchError) as caught:
        ingest(folder, out, kind)
    assert caught.value.done == 0
    assert len(caught.value.faults) == 2
    assert list(out.parent.iterdir()) == []


def test_the_lines_do_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    stored = []
    for place in ("one", "two/deeper"):
        spoiled(tmp_path / place / "in", CASES["frame cut in its pixels"])
        with pytest.raises(BatchError):
            ingest(tmp_path / place / "in", tmp_path / place / "o.zarr", "frames")
        stored.append(json.loads((tmp_path / place / "o.zarr" / "recipe.json").read_bytes()))
    assert stored[0] == stored[1]
