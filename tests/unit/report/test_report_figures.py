import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from tasks.contracts import Calibration
from tasks.report import encode, figures


def calibration(pattern: str = "RGGB", black: float = 1000.0, white: float = 61000.0) -> Calibration:
    """Black levels that differ by site."""
    levels = (black, black + 1, black + 2, black + 3)
    identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return Calibration(
        pattern=pattern, black_level_dn=levels, white_level_dn=white, white_balance=(1, 1, 1), colour_matrix=identity,
        exposure_s=None, iso=None, gain_dn_per_e=None, left_justified_bits=0,
    )  # fmt: skip


def test_black_is_0_white_is_1_at_every_site() -> None:
    known = calibration()
    black = np.tile(np.array(known.black_level_dn).reshape(2, 2), (2, 3)).astype(np.uint16)[:, :5]
    assert np.all(figures.levels(black, known) == 0)
    assert np.all(figures.levels(np.full((3, 5), 61000, np.uint16), known) == 1)
    assert np.all(figures.levels(np.full((3, 5), 65535, np.uint16), known) == 1)
    middle = figures.levels(np.full((2, 2), 31000, np.uint16), known)
    assert middle[0, 0] == 0.5
    assert middle[1, 1] == pytest.approx((31000 - 1003) / (61000 - 1003))


def test_grey_has_display_gamma_and_gain() -> None:
    known = calibration()
    mosaic = np.full((4, 4), 16000, np.uint16)
    assert figures.grey(mosaic, known)[0, 0].tolist() == [round(255 * 0.25 ** (1 / 2.2))] * 3
    assert figures.grey(mosaic, known, gain=4.0)[0, 0].tolist() == [255] * 3
    assert figures.exposure_gain(mosaic, known) == pytest.approx(4, rel=1e-3)
    assert figures.exposure_gain(np.zeros((4, 4), np.uint16), known) == 1


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_each_site_shines_in_its_filter_alone(pattern: str) -> None:
    picture = figures.coloured_sites(np.full((4, 6), 61000, np.uint16), calibration(pattern))
    for site, letter in enumerate(pattern):
        colour = [255 if c == letter else 0 for c in "RGB"]
        assert picture[site // 2, site % 2].tolist() == colour
        assert picture[2 + site // 2, 4 + site % 2].tolist() == colour


@pytest.mark.parametrize(("pattern", "y", "x"), [("RGGB", 0, 1), ("BGGR", 0, 1), ("GRBG", 0, 0), ("GBRG", 0, 0)])
def test_green_sites_are_the_first_green_of_each_cell(pattern: str, y: int, x: int) -> None:
    mosaic = np.full((4, 6), 1003, np.uint16)
    mosaic[2 + y, 4 + x] = 61000
    picture = figures.green_sites(mosaic, calibration(pattern))
    assert picture.shape == (2, 3, 3)
    assert picture[1, 2].tolist() == [255] * 3
    assert picture[0].max() < 10


def test_views_become_pictures_at_full_scale() -> None:
    view = np.zeros((3, 1, 2), np.uint16)
    view[0, 0, 0], view[2, 0, 1] = 65535, 257 * 100
    assert figures.from_view(view).tolist() == [[[255, 0, 0], [0, 0, 100]]]


def test_reduce_keeps_a_constant_and_averages_blocks() -> None:
    assert np.all(figures.reduce(np.full((9, 8, 3), 77, np.uint8), 4) == 77)
    stripes = np.zeros((4, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    out = figures.reduce(stripes, 4)
    assert out.shape == (2, 4, 3)
    assert np.all(out == 100)
    assert figures.reduce(stripes, 100).shape == stripes.shape


def test_enlarge_then_reduce_is_the_same() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(figures.reduce(figures.enlarge(picture, 3), 5), picture)


def test_masks_have_a_colour_a_class_and_unknown_leaves_the_picture() -> None:
    mask = np.array([[0, 1], [9, 10]], np.uint8)
    colours = figures.coloured(mask)
    assert len({tuple(c) for c in colours[[0, 0, 1], [0, 1, 0]]}) == 3
    assert np.array_equal(colours[1, 1], colours[0, 1]), "colours repeat without that of unknown"
    picture = np.full((2, 2, 3), 50, np.uint8)
    mixed = figures.tinted(picture, mask, 0.5)
    assert mixed[0, 0].tolist() == [50, 50, 50]
    assert np.array_equal(mixed[0, 1], np.rint((50 + figures.PALETTE[1].astype(float)) / 2).astype(np.uint8))
    assert np.array_equal(figures.tinted(picture, mask, 0.0), picture)


def test_outline_is_the_inner_border_alone() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[1:5, 1:5] = 1
    red = (figures.outlined(np.zeros((6, 6, 3), np.uint8), mask, (255, 0, 0))[..., 0] == 255).astype(int)
    expected = mask.astype(int)
    expected[2:4, 2:4] = 0
    assert np.array_equal(red, expected)
    whole = figures.outlined(np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), np.uint8), (255, 0, 0))
    assert not whole.any(), "a region that fills the picture has no border in it"


def test_the_pair_that_differs_most_is_found() -> None:
    views = np.zeros((4, 3, 2, 2), np.uint16)
    views[1] = 10
    views[3] = 65535
    assert figures.differ_most(views) == (0, 3, 1.0)
    views[0] = 5
    assert figures.differ_most(views)[:2] == (2, 3)


def test_difference_is_signed_around_grey() -> None:
    a, b = np.full((3, 1, 1), 25700, np.uint16), np.full((3, 1, 1), 25700 - 257 * 3, np.uint16)
    assert figures.difference(a, a, 8).tolist() == [[[128] * 3]]
    assert figures.difference(a, b, 8).tolist() == [[[152] * 3]]
    assert figures.difference(b, a, 8).tolist() == [[[104] * 3]]
    assert figures.difference(np.full_like(a, 65535), np.zeros_like(a), 8).tolist() == [[[255] * 3]]


def test_the_busiest_window_holds_the_only_edge() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[22:26, 45:50] = 255
    assert figures.busiest(picture, 10, 10) == (20, 40)
    assert figures.busiest(picture[:5, :5], 10, 10) == (0, 0)


@settings(max_examples=20, deadline=None)
@given(nps.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_keeps_every_pixel(picture: np.ndarray) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode.png(picture)))), picture)
    assert encode.png(picture) == encode.png(picture.copy())


def test_a_data_uri_holds_the_file(tmp_path: Path) -> None:
    import base64

    picture = np.full((8, 5, 3), 99, np.uint8)
    (tmp_path / "a.jpg").write_bytes(encode.jpeg(picture, 90))
    uri = encode.data_uri(tmp_path / "a.jpg")
    assert uri.startswith("data:image/jpeg;base64,")
    assert base64.b64decode(uri.split(",")[1]) == (tmp_path / "a.jpg").read_bytes()
    assert encode.size_px(tmp_path / "a.jpg") == (5, 8)
    assert abs(int(np.asarray(Image.open(tmp_path / "a.jpg"))[0, 0, 0]) - 99) <= 1
