"""A file that is cut anywhere gives the whole truth or an error in one line, never other pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ingest import labels, mosaic, slide
from tasks.ingest.bad import BadFile
from tests import makers

Truth = dict[str, Any]
SHAPE = (60, 70)
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def read_mosaic(path: Path) -> Truth:
    found = mosaic.decode(path, None if path.suffix == ".dng" else makers.calibration(), 10**6)
    return {"pixels": found.pixels, "calibration": np.array(found.calibration.model_dump_json())}


def read_slide(path: Path) -> Truth:
    with slide.opened(path, makers.params("slides")) as one:
        pixels = one.read(slice(0, one.height), slice(0, one.width))
        return {"pixels": pixels, **{name: one.picture(name) for name in one.associated}}


def read_mask(path: Path) -> Truth:
    known = makers.params("frames", source_classes=["a"], classes=["a", "b"])
    with labels.opened(path, SHAPE, ("a", "b"), known) as read:
        return {"pixels": read(slice(0, SHAPE[0]), slice(0, SHAPE[1]))}


def write_mask(path: Path) -> Path:
    return makers.write_png(path, makers.rng(4).integers(0, 2, SHAPE).astype(np.uint8))


def write_polygons(path: Path) -> Path:
    return makers.write_geojson(path, [makers.feature(name, "Polygon", [makers.box(5, 5, 40, 30)]) for name in "ab"])


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
    try:
        found = read(path)
    except BadFile as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    assert found.keys() == truth.keys()
    for key, value in truth.items():
        np.testing.assert_array_equal(found[key], value)
