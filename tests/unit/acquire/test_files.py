"""The formats: LibRaw and tifffile read back what was written; same input, same bytes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
from PIL import Image

from tasks.acquire import files, sensor
from tasks.acquire.params import DroneParams
from tasks.contracts import Calibration, Pattern

ORDER = {"RGGB": (0, 1, 3, 2), "BGGR": (2, 3, 1, 0), "GRBG": (1, 0, 2, 3), "GBRG": (1, 2, 0, 3)}


@pytest.fixture
def mosaic() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65521, (64, 96), dtype=np.uint16)


def calibrated(drone: DroneParams, pattern: Pattern) -> Calibration:
    known = sensor.calibration(drone.camera)
    return known.model_copy(update={"pattern": pattern, "black_level_dn": (4096.0, 4102.0, 4110.0, 4120.0)})


@pytest.mark.parametrize("pattern", list(ORDER))
def test_libraw_opens_the_dng_with_identical_pixels(
    tmp_path: Path, mosaic: np.ndarray, drone: DroneParams, pattern: Pattern
) -> None:
    calibration = calibrated(drone, pattern)
    path = files.write_dng(tmp_path / "a.dng", mosaic, calibration, 3.0)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, mosaic)
        letters = "".join(raw.color_desc.decode()[k] for k in raw.raw_pattern.ravel())
        assert letters == pattern
        in_mosaic_order = [raw.black_level_per_channel[k] for k in raw.raw_pattern.ravel()]
        assert in_mosaic_order == [4096, 4102, 4110, 4120]
        assert raw.white_level == 65520
        assert raw.camera_whitebalance[:3] == pytest.approx(calibration.white_balance, rel=1e-5)
        np.testing.assert_allclose(raw.color_matrix[:, :3], calibration.colour_matrix, atol=5e-4)


def test_the_dng_carries_gain_noise_exposure_and_iso(tmp_path: Path, mosaic: np.ndarray, drone: DroneParams) -> None:
    calibration = sensor.calibration(drone.camera)
    path = files.write_dng(tmp_path / "a.dng", mosaic, calibration, 3.0)
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        scale, offset = tags[51041].value
        assert scale * (65520 - 4102) == pytest.approx(8.448)
        assert np.sqrt(offset) / scale == pytest.approx(3.0)
        assert tags[33434].value == (1, 1000)
        assert tags[34855].value == 200
        assert [n / d for n, d in np.reshape(tags[50714].value, (4, 2))] == [4096, 4102, 4096, 4102]


def test_colour_matrix_1_of_an_ideal_camera_is_xyz_to_srgb(drone: DroneParams) -> None:
    ideal = sensor.calibration(drone.camera).model_copy(
        update={"white_balance": (1.0, 1.0, 1.0), "colour_matrix": ((1, 0, 0), (0, 1, 0), (0, 0, 1))}
    )
    white = np.array([0.95047, 1.0, 1.08883])  # D65
    np.testing.assert_allclose(files.colour_matrix_1(ideal) @ white, [1, 1, 1], atol=2e-3)
    np.testing.assert_allclose(files.colour_matrix_1(ideal)[0], [3.24097, -1.53738, -0.49861], atol=1e-4)


def test_bayer_tiff_and_mask_read_back(tmp_path: Path, mosaic: np.ndarray) -> None:
    np.testing.assert_array_equal(tifffile.imread(files.write_bayer_tiff(tmp_path / "a.tif", mosaic)), mosaic)
    mask = (mosaic % 2).astype(np.uint8)
    with Image.open(files.write_mask(tmp_path / "m.png", mask)) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_same_input_same_bytes(tmp_path: Path, mosaic: np.ndarray, drone: DroneParams) -> None:
    calibration = sensor.calibration(drone.camera)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files.write_dng(tmp_path / folder / "a.dng", mosaic, calibration, 3.0)
        files.write_bayer_tiff(tmp_path / folder / "a.tif", mosaic)
        files.write_mask(tmp_path / folder / "m.png", mosaic.astype(np.uint8))
    for name in ("a.dng", "a.tif", "m.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_calibration_json_is_a_calibration(tmp_path: Path, drone: DroneParams) -> None:
    calibration = sensor.calibration(drone.camera)
    path = files.write_calibration(tmp_path, calibration)
    assert Calibration.model_validate(json.loads(path.read_bytes())) == calibration


def test_manifest_is_sorted_whatever_the_order(tmp_path: Path) -> None:
    rows = [dict.fromkeys(files.COLUMNS, "") | {"file": f"{k}.tif", "intensity": 0.05} for k in "cab"]
    text = files.write_manifest(tmp_path, rows).read_text()
    assert text == files.write_manifest(tmp_path, rows[::-1]).read_text()
    read = list(csv.DictReader(text.splitlines()))
    assert [row["file"] for row in read] == ["a.tif", "b.tif", "c.tif"]
    assert tuple(read[0]) == files.COLUMNS
    assert float(read[0]["intensity"]) == 0.05


def test_the_manifest_has_subtypes_where_a_row_has_one(tmp_path: Path) -> None:
    rows = [dict.fromkeys(files.COLUMNS, "") | {"file": "a.tif", "subtype": "solid"}]
    rows.append(dict.fromkeys(files.COLUMNS, "") | {"file": "b.tif"})
    with files.write_manifest(tmp_path, rows).open(newline="") as file:
        assert [row["subtype"] for row in csv.DictReader(file)] == ["solid", ""]
