"""TIFF windows and slides: the same pixels as tifffile's own reader, in windows, from every layout."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05.image import Image as NgffImage

from tasks import output, store
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import picture as pictures
from tasks.ingest.formats import segments, tiff
from tests import makers

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 48), "photometric": "rgb"},
    "deflate tiles": {"tile": (16, 16), "photometric": "rgb", "compression": "zlib", "predictor": True},
    "jpeg tiles": {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg"},
    "strips": {"rowsperstrip": 11, "photometric": "rgb", "compression": "lzw"},
    "planes": {"tile": (32, 32), "photometric": "rgb", "planarconfig": "separate"},
    "big": {"tile": (32, 32), "photometric": "rgb", "bigtiff": True},
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_windows_equal_the_whole_page(tmp_path: Path, name: str) -> None:
    picture = makers.picture_of(101, 147)
    options = dict(LAYOUTS[name])
    big = options.pop("bigtiff", False)
    data = np.moveaxis(picture, -1, 0) if name == "planes" else picture
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big) as writer:
        writer.write(data, metadata=None, **options)
    whole = tifffile.imread(tmp_path / "a.tif")
    whole = np.moveaxis(whole, 0, -1) if name == "planes" else whole
    with tiff.opened(tmp_path / "a.tif") as tif:
        page = tiff.page_of(tiff.first_page(tif, tmp_path / "a.tif"), tmp_path / "a.tif", 10**6)
    with (tmp_path / "a.tif").open("rb") as file:
        for rows, columns in [
            (slice(0, 101), slice(0, 147)),
            (slice(31, 34), slice(47, 97)),
            (slice(100, 101), slice(3, 4)),
        ]:
            found = np.empty((3, rows.stop - rows.start, columns.stop - columns.start), np.uint8)
            segments.read_into(found, page, file.fileno(), tmp_path / "a.tif", rows, columns)
            np.testing.assert_array_equal(np.moveaxis(found, 0, -1), whole[rows, columns])


def opened_pixels(path: Path, **changes: Any) -> tuple[np.ndarray, float, dict[str, np.ndarray]]:
    with pictures.opened(path, "slides", makers.params("slides", **changes)) as one:
        pixels = one.read(tuple(slice(0, n) for n in one.shape))
        return pixels, one.pixel_size_um, {name: one.picture(name) for name in one.associated}


def test_a_generic_pyramid_says_its_pixel_size_in_resolution_tags(tmp_path: Path) -> None:
    picture = makers.picture_of(120, 150)
    pixels, size, beside = opened_pixels(makers.write_slide(tmp_path / "s.tif", picture, um=0.25))
    np.testing.assert_array_equal(pixels, np.moveaxis(picture, -1, 0))
    assert size == pytest.approx(0.25, rel=1e-6)
    assert beside == {}


def test_an_svs_gives_its_baseline_pixel_size_and_three_pictures(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(120, 150))
    pixels, size, beside = opened_pixels(path)
    with tifffile.TiffFile(path) as tif:
        expected = {s.name.lower(): s.asarray() for s in tif.series}
    assert size == 0.499
    assert sorted(beside) == ["label", "macro", "thumbnail"]
    np.testing.assert_array_equal(pixels, np.moveaxis(expected.pop("baseline"), -1, 0))
    for name, theirs in expected.items():
        np.testing.assert_array_equal(beside[name], np.moveaxis(theirs, -1, 0))


def test_pictures_that_the_params_leave_out_are_not_kept(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(120, 150))
    assert sorted(opened_pixels(path, associated=["thumbnail"])[2]) == ["thumbnail"]


@pytest.mark.parametrize(("unit", "factor"), [("µm", 1.0), ("nm", 1000.0), ("mm", 1e-3)])
@pytest.mark.parametrize("axes", ["YXS", "CYX"])
def test_an_ome_tiff_in_either_order_of_axes(tmp_path: Path, unit: str, factor: float, axes: str) -> None:
    picture = makers.picture_of(90, 110)
    data = picture if axes == "YXS" else np.ascontiguousarray(np.moveaxis(picture, -1, 0))
    known = {"axes": axes, **{f"PhysicalSize{a}": 0.4 * factor for a in "XY"}}
    known |= {f"PhysicalSize{a}Unit": unit for a in "XY"}
    photometric = "rgb" if axes == "YXS" else "minisblack"
    tifffile.imwrite(tmp_path / "s.ome.tif", data, ome=True, tile=(32, 32), photometric=photometric, metadata=known)
    pixels, size, _ = opened_pixels(tmp_path / "s.ome.tif")
    np.testing.assert_array_equal(pixels, np.moveaxis(picture, -1, 0))
    assert size == pytest.approx(0.4)


def test_an_ndpi_like_file_gives_its_baseline_and_macro(tmp_path: Path) -> None:
    picture = makers.picture_of(96, 128)
    makers.write_ndpi(tmp_path / "s.ndpi", {20.0: picture, -1.0: picture[:40, ::3]}, um=0.46)
    with tifffile.TiffFile(tmp_path / "s.ndpi") as tif:
        assert tif.is_ndpi
    pixels, size, beside = opened_pixels(tmp_path / "s.ndpi")
    np.testing.assert_array_equal(pixels, np.moveaxis(picture, -1, 0))
    assert size == pytest.approx(0.46, rel=1e-4)
    assert sorted(beside) == ["macro"]


def test_a_slide_without_a_pixel_size_needs_one_in_the_params(tmp_path: Path) -> None:
    path = makers.write_tiff(tmp_path / "s.tif", makers.picture_of(64, 64), tile=(32, 32), photometric="rgb")
    with pytest.raises(BadFile, match="does not say how large a pixel is"):
        opened_pixels(path)
    assert opened_pixels(path, pixel_size_um=0.7)[1] == 0.7


def test_a_screens_72_dots_an_inch_is_no_pixel_size(tmp_path: Path) -> None:
    options = {"resolution": (72, 72), "resolutionunit": 2, "photometric": "rgb", "tile": (32, 32)}
    path = makers.write_tiff(tmp_path / "s.tif", makers.picture_of(64, 64), **options)
    with pytest.raises(BadFile, match="does not say how large a pixel is"):
        opened_pixels(path)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    options = {"resolution": (20000, 10000), "resolutionunit": 3, "photometric": "rgb", "tile": (32, 32)}
    path = makers.write_tiff(tmp_path / "s.tif", makers.picture_of(64, 64), **options)
    with pytest.raises(BadFile, match="square pixels"):
        opened_pixels(path)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_only_8_bit_rgb_is_a_slide(tmp_path: Path, channels: int, dtype: type) -> None:
    data = np.ones((64, 64, channels), dtype)
    photometric = "minisblack" if channels == 1 else "rgb"
    path = makers.write_tiff(tmp_path / "s.tif", data[..., 0] if channels == 1 else data, photometric=photometric)
    with pytest.raises(BadFile, match="8-bit RGB"):
        opened_pixels(path, pixel_size_um=1.0)


def real_or_made(tmp_path: Path) -> tuple[Path, tuple[int, int]]:
    """The real Aperio slide where RAWMILL_REAL_DATA names its folder, else one made in its likeness."""
    folder = os.environ.get("RAWMILL_REAL_DATA")
    if folder is None:
        return makers.write_svs(tmp_path / "made.svs", makers.picture_of(300, 220)), (300, 220)
    path = Path(folder) / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.fail(f"RAWMILL_REAL_DATA is set, but {path} is not there")
    return path, (2967, 2220)


def test_a_real_svs_is_ingested_as_tifffile_reads_it(tmp_path: Path) -> None:
    from tasks.ingest import step

    path, shape = real_or_made(tmp_path)
    known = makers.params(most_frame_pixels=10**7, most_slide_pixels=10**8, tile_sides_px=[128], smallest_level_px=512)
    job = step.prepare_files([path], tmp_path / "o.zarr", known, None, {})
    for item in output.todo(job):
        step.process(job, item)
    record = step.finish(job)
    (here,) = (record.path / "slides").glob("*/")
    np.testing.assert_array_equal(store.open_array(here / "0")[...], np.moveaxis(tifffile.imread(path, key=0), -1, 0))
    assert store.open_array(here / "0").shape == (3, *shape)
    assert store.read_attributes(here)["pixel_size_um"] == 0.499
    NgffImage.from_zarr(zarr.open_group(here, mode="r"))
    with tifffile.TiffFile(path) as tif:
        for series in tif.series[1:]:
            stored = store.open_array(here / "associated" / series.name.lower())[...]
            np.testing.assert_array_equal(stored, np.moveaxis(series.asarray(), -1, 0))
    assert 0 < record.metrics["tiles"] <= (shape[0] // 128) * (shape[1] // 128)
