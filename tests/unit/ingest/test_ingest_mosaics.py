"""Raw frames and crops: pixels as they were, and a calibration in mosaic order, against LibRaw and closed forms."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rawpy
import tifffile

from tasks.ingest.bad import BadFile
from tasks.ingest.formats import camera_raw, mosaic
from tasks.ingest.formats.calibration import XYZ_FROM_SRGB, read_calibration, spare_bits, srgb_from_camera
from tests import makers

KNOWN = makers.params()
CAMERA = np.array([[0.8, 0.15, 0.05], [0.2, 0.7, 0.1], [0.02, 0.28, 0.7]])
"""Linear sRGB to raw camera numbers of an invented camera, each channel with its own response to white."""


@pytest.mark.parametrize("pattern", sorted(makers.CFA_PATTERN))
@pytest.mark.parametrize("compression", [None, 7])
def test_a_dng_gives_its_pixels_pattern_and_black_levels_in_mosaic_order(
    tmp_path: Path, pattern: str, compression: int | None
) -> None:
    pixels = makers.mosaic_of(46, 62)
    path = makers.write_dng(tmp_path / "a.dng", pixels, makers.dng_tags(pattern), compression=compression)
    found = mosaic.decode(path, None, KNOWN)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == np.uint16
    assert found.calibration.pattern == pattern
    assert found.calibration.black_level_dn == makers.BLACK_DN
    assert found.calibration.white_level_dn == 65520
    assert found.calibration.white_balance == pytest.approx((2, 1, 1.6), rel=1e-5)
    assert found.calibration.exposure_s == 1 / 500
    assert found.calibration.iso == 200
    assert found.calibration.left_justified_bits == 4
    assert found.calibration.gain_dn_per_e == pytest.approx(1.3e-4 * (65520 - max(makers.BLACK_DN)), rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}])
@pytest.mark.parametrize("compression", [None, 7])
def test_a_dng_in_many_pieces_is_whole(tmp_path: Path, options: dict, compression: int | None) -> None:
    """LibRaw leaves zeros after the first strip of lossless JPEG and says nothing."""
    pixels = makers.mosaic_of(46, 64)
    path = makers.write_dng(tmp_path / "a.dng", pixels, compression=compression, **options)
    np.testing.assert_array_equal(mosaic.decode(path, None, KNOWN).pixels, pixels)


def test_a_linearisation_table_is_applied_as_libraw_does(tmp_path: Path) -> None:
    pixels = (makers.mosaic_of(46, 62) >> 4).astype(np.uint16)
    table = tuple(range(0, 2 * 3000, 2))
    tags = {**makers.dng_tags(), 50712: (50712, 3, len(table), table, True)}
    path = makers.write_dng(tmp_path / "a.dng", pixels, tags, compression=7)
    found = mosaic.decode(path, None, KNOWN).pixels
    np.testing.assert_array_equal(found, np.asarray(table)[np.minimum(pixels, 2999)])
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(found, raw.raw_image_visible)


@pytest.mark.parametrize("pattern", sorted(makers.CFA_PATTERN))
def test_black_levels_that_only_libraw_knows_come_in_mosaic_order_too(tmp_path: Path, pattern: str) -> None:
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(46, 62), makers.dng_tags(pattern))
    found = camera_raw.decode(path, False, None, KNOWN).calibration
    assert found.black_level_dn == pytest.approx(makers.BLACK_DN, abs=1)
    assert found.pattern == pattern
    assert found.white_balance == pytest.approx((2, 1, 1.6), rel=1e-5)


def test_a_colour_matrix_undoes_an_invented_camera_exactly() -> None:
    """White-balanced camera numbers of any colour come back as its linear sRGB."""
    found = srgb_from_camera(CAMERA @ np.linalg.inv(XYZ_FROM_SRGB))
    white_balance = 1 / CAMERA.sum(axis=1)
    np.testing.assert_allclose(found @ np.diag(white_balance) @ CAMERA, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_the_colour_matrix_is_libraws(tmp_path: Path) -> None:
    tags = makers.dng_tags(matrix=CAMERA @ np.linalg.inv(XYZ_FROM_SRGB))
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(46, 62), tags)
    with rawpy.imread(str(path)) as raw:
        theirs = raw.color_matrix[:, :3]
    np.testing.assert_allclose(mosaic.decode(path, None, KNOWN).calibration.colour_matrix, theirs, atol=2e-4)


def test_a_calibration_beside_a_dng_wins(tmp_path: Path) -> None:
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(46, 62))
    given = makers.calibration(iso=1600)
    assert mosaic.decode(path, given, KNOWN).calibration == given


@pytest.mark.parametrize(
    "options",
    [{}, {"tile": (16, 32)}, {"rowsperstrip": 7, "compression": "zlib", "predictor": True}, {"byteorder": ">"}],
)
def test_a_bayer_tiff_gives_its_pixels(tmp_path: Path, options: dict) -> None:
    pixels = makers.mosaic_of(45, 61)
    path = makers.write_tiff(tmp_path / "a.tif", pixels, **options)
    found = mosaic.decode(path, makers.calibration(), KNOWN)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == np.dtype("=u2")
    assert found.calibration == makers.calibration()


def test_spare_bits_count_the_common_low_zeros() -> None:
    assert spare_bits(np.array([[16, 48], [0, 160]], np.uint16)) == 4
    assert spare_bits(np.array([[16, 49]], np.uint16)) == 0
    assert spare_bits(np.zeros((2, 2), np.uint16)) == 0
    assert spare_bits(np.array([[32768]], np.uint16)) == 15


def without(*codes: int) -> dict:
    return {code: tag for code, tag in makers.dng_tags().items() if code not in codes}


BAD_DNG = {
    "no white balance": (without(50728), "no white balance"),
    "no colour matrix": (without(50721), "no usable ColorMatrix1"),
    "four black levels without their cell": (without(50713), "4 black levels for a cell of 1x1"),
    "black level a column": (
        {**makers.dng_tags(), 50715: (50715, 10, 2, (1, 1, 2, 1), True)},
        "for each row or column",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD_DNG))
def test_a_dng_that_does_not_say_enough_is_refused(tmp_path: Path, name: str) -> None:
    tags, words = BAD_DNG[name]
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(46, 62), tags)
    with pytest.raises(BadFile, match=words):
        mosaic.decode(path, None, KNOWN)


def active_area(top: int, left: int, bottom: int, right: int) -> dict:
    return {**makers.dng_tags("GRBG"), 50829: (50829, 4, 4, (top, left, bottom, right), True)}


def test_only_the_active_area_is_taken_with_the_pattern_of_its_corner(tmp_path: Path) -> None:
    pixels = makers.mosaic_of(60, 80)
    found = mosaic.decode(makers.write_dng(tmp_path / "a.dng", pixels, active_area(2, 4, 58, 76)), None, KNOWN)
    np.testing.assert_array_equal(found.pixels, pixels[2:58, 4:76])
    assert found.calibration.pattern == "GRBG"
    assert found.calibration.black_level_dn == makers.BLACK_DN


@pytest.mark.parametrize("corner", [(1, 0), (0, 3), (1, 1)])
def test_an_active_area_at_odd_offsets_is_refused(tmp_path: Path, corner: tuple[int, int]) -> None:
    """LibRaw would shift the pattern and drop rows there."""
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(60, 80), active_area(*corner, 58, 76))
    with pytest.raises(BadFile, match="active area that starts at"):
        mosaic.decode(path, None, KNOWN)


def test_one_black_level_holds_for_all_sites(tmp_path: Path) -> None:
    tags = {**without(50713), 50714: (50714, 5, 1, (513, 2), True)}
    path = makers.write_dng(tmp_path / "a.dng", makers.mosaic_of(46, 62), tags)
    assert mosaic.decode(path, None, KNOWN).calibration.black_level_dn == (256.5,) * 4


def test_a_calibration_file_is_read_or_refused_by_field(tmp_path: Path) -> None:
    assert read_calibration(makers.write_calibration(tmp_path / "c.json")) == makers.calibration()
    (tmp_path / "d.json").write_text((tmp_path / "c.json").read_text().replace("RGGB", "RGBW"))
    with pytest.raises(BadFile, match="pattern: "):
        read_calibration(tmp_path / "d.json")
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(BadFile, match="not JSON"):
        read_calibration(tmp_path / "d.json")
    with pytest.raises(BadFile, match="not there"):
        read_calibration(tmp_path / "e.json")


def test_levels_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = makers.write_tiff(tmp_path / "a.tif", makers.mosaic_of(30, 30))
    with pytest.raises(BadFile, match="white level 300"):
        mosaic.decode(path, makers.calibration(white_level_dn=300.0), KNOWN)


def lossless_tile(pixels: np.ndarray, frame: tuple[int, int]) -> bytes:
    """A lossless JPEG whose frame (height, width) holds the values of `pixels` in their order."""
    return bytes(imagecodecs.ljpeg_encode(np.ascontiguousarray(pixels).reshape(frame), bitspersample=16))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (0.5, 0.5), (2, 0.5), (0.5, 2)])
def test_lossless_jpeg_of_another_shape_holds_the_same_values(tmp_path: Path, rows: float, columns: float) -> None:
    """Cameras write two rows as one of double width; LibRaw is the oracle. Other numbers of values are refused."""
    pixels = makers.mosaic_of(48, 64)
    frame = round(48 * rows), round(64 * columns)
    tile = np.resize(pixels, frame)
    options = {"tile": (48, 64), "photometric": "CFA", "compression": 7, "subfiletype": 0, "metadata": None}
    tags = list(makers.dng_tags().values())
    path = tmp_path / "a.dng"
    tifffile.imwrite(
        path, iter([lossless_tile(tile, frame)]), shape=(48, 64), dtype=np.uint16, extratags=tags, **options
    )
    if rows * columns != 1:
        with pytest.raises(BadFile, match="cannot be decoded"):
            mosaic.decode(path, None, KNOWN)
        return
    found = mosaic.decode(path, None, KNOWN).pixels
    np.testing.assert_array_equal(found, pixels)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(found, raw.raw_image_visible)


@pytest.mark.parametrize("ending", [".nef", ".raw"])
def test_a_camera_raw_file_is_decoded_by_libraw(tmp_path: Path, ending: str) -> None:
    pixels = makers.mosaic_of(46, 62)
    path = makers.write_dng(tmp_path / f"a{ending}", pixels)
    found = mosaic.decode(path, None, KNOWN)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.decoder.startswith("rawpy ") and "LibRaw" in found.decoder
    assert found.calibration.pattern == "RGGB"
    assert found.calibration.black_level_dn == pytest.approx(makers.BLACK_DN, abs=1)
    assert found.metadata["exposure_s"] == found.calibration.exposure_s == 1 / 500
