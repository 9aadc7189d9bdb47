"""A file that is cut anywhere gives the whole truth or an error in one line, never other pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ingest.annotations import labels
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import mosaic, picture
from tests import makers

Truth = dict[str, Any]
SHAPE = (60, 70)
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def read_mosaic(path: Path) -> Truth:
    found = mosaic.decode(path, None if path.suffix == ".dng" else makers.calibration(), makers.params())
    return {"pixels": found.pixels, "calibration": np.array(found.calibration.model_dump_json())}


def read_slide(path: Path) -> Truth:
    with picture.opened(path, "slides", makers.params("slides")) as one:
        pixels = one.read(tuple(slice(0, n) for n in one.shape))
        return {"pixels": pixels, **{name: one.picture(name) for name in one.associated}}


def read_mask(path: Path) -> Truth:
    known = makers.params("frames", source_classes=["a"], classes=["a", "b"])
    with labels.opened(path, SHAPE, ("a", "b"), known) as read:
        return {"pixels": read(slice(0, SHAPE[0]), slice(0, SHAPE[1]))}


def write_mask(path: Path) -> Path:
    return makers.write_png(path, makers.rng(4).integers(0, 2, SHAPE).astype(np.uint8))


def write_polygons(path: Path) -> Path:
    return makers.write_geojson(path, [makers.feature(name, "Polygon", [makers.box(5, 5, 40, 30)]) for name in "ab"])


def write_image(path: Path) -> Path:
    """A small OME-TIFF of two sections and two channels in deflate tiles."""
    data = makers.rng(6).integers(0, 999, (2, 2, 40, 50)).astype(np.uint16)
    options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "ZCYX"}, **options)
    return path


def read_image(path: Path) -> Truth:
    with picture.opened(path, "images", makers.params("images")) as one:
        return {"pixels": one.read(tuple(slice(0, n) for n in one.shape))}


FILES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Truth]]] = {
    "a.dng": (lambda p: makers.write_dng(p, makers.mosaic_of(*SHAPE)), read_mosaic),
    "lossless.dng": (lambda p: makers.write_dng(p, makers.mosaic_of(*SHAPE), compression=7), read_mosaic),
    "a.tif": (lambda p: makers.write_tiff(p, makers.mosaic_of(*SHAPE)), read_mosaic),
    "slide.tif": (lambda p: makers.write_slide(p, makers.picture_of(150, 180)), read_slide),
    "jpeg.tif": (lambda p: makers.write_slide(p, makers.picture_of(150, 180), compression="jpeg"), read_slide),
    "a.svs": (lambda p: makers.write_svs(p, makers.picture_of(150, 180)), read_slide),
    "a.ndpi": (
        lambda p: makers.write_ndpi(p, {20.0: makers.picture_of(50, 60), -1.0: makers.picture_of(20, 50)}, 0.5),
        read_slide,
    ),
    "image.ome.tif": (write_image, read_image),
    "a.png": (write_mask, read_mask),
    "a.geojson": (write_polygons, read_mask),
}


@pytest.mark.parametrize("name", sorted(FILES))
@SETTINGS
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_whole_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, share: float) -> None:
    write, read = FILES[name]
    path = tmp_path_factory.mktemp("cut") / name
    write(path)
    truth, data = read(path), path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    check_whole_or_refused(path, read, truth)


def check_whole_or_refused(path: Path, read: Callable[[Path], Truth], truth: Truth) -> None:
    try:
        found = read(path)
    except BadFile as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    assert found.keys() == truth.keys()
    for key, value in truth.items():
        np.testing.assert_array_equal(found[key], value)


def boundaries(path: Path) -> list[int]:
    """Where a TIFF's parts begin and end: header, each directory, its tags' values, its pieces of pixels."""
    places = {0, 1, 2, 4, 8}
    with tifffile.TiffFile(path) as tif:
        pages = [page.aspage() for page in tif.pages]
        pages += [below.aspage() for page in pages for below in page.pages or ()]
        for page in pages:
            places |= {page.offset, page.offset + 2, page.offset + 2 + tif.tiff.tagsize * len(page.tags)}
            for tag in page.tags:
                places |= {tag.offset, tag.valueoffset, tag.valueoffset + tag.valuebytecount}
            places |= {*page.dataoffsets, *(a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True))}
    size = path.stat().st_size
    return sorted({p + shift for p in places for shift in (-1, 0, 1) if 0 <= p + shift < size})


TIFFS = sorted(name for name in FILES if not name.endswith((".png", ".geojson")))


@pytest.mark.parametrize("name", TIFFS)
def test_a_file_cut_at_each_boundary_of_its_structure_is_whole_or_refused(tmp_path: Path, name: str) -> None:
    write, read = FILES[name]
    path = write(tmp_path / name)
    truth, data, places = read(path), path.read_bytes(), boundaries(path)
    assert len(places) > 20
    for place in places:
        path.write_bytes(data[:place])
        check_whole_or_refused(path, read, truth)


@pytest.mark.parametrize("name", sorted(FILES))
@SETTINGS
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_file_with_flipped_bytes_gives_pixels_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, flips: list[tuple[float, int]]
) -> None:
    """Formats without checksums cannot tell other pixels; but nothing else than `BadFile` may be raised."""
    write, read = FILES[name]
    path = tmp_path_factory.mktemp("flip") / name
    data = bytearray(write(path).read_bytes())
    for share, bits in flips:
        # Half of the flips go to the start, where formats keep their structure.
        span = len(data) if bits % 2 else min(len(data), 800)
        data[int(share * span)] ^= bits
    path.write_bytes(data)
    try:
        assert read(path)["pixels"].size
    except BadFile as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
