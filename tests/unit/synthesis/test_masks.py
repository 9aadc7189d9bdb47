"""Masks cut from annotations: geometry, provenance, cleaning, and users' PNGs."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_slides import SYNTHESISE
from scipy import ndimage

from tasks.errors import InputError
from tasks.rng import generator
from tasks.synthesis.cleaning import clean
from tasks.synthesis.mask_files import read_png
from tasks.synthesis.masks import Bank, cut, load_bank, resample, save_bank, touched
from tasks.synthesis.params import MaskParams


def quarters():
    slide = np.zeros((64, 64), np.uint8)
    slide[:32, :32], slide[:32, 32:], slide[32:, :32] = 1, 2, 3
    tiles = [
        {"tile_id": f"{y}-{x}", "item": "a", "y_px": y, "x_px": x, "height_px": 64, "width_px": 64}
        for y in range(0, 256, 64)
        for x in range(0, 256, 64)
    ]
    return Bank({"a": slide}, 4, pd.DataFrame(tiles))


def whole(mask):
    return mask.read((slice(0, mask.size_px[0]), slice(0, mask.size_px[1])))


PARAMS = MaskParams.model_validate(
    {
        **SYNTHESISE["masks"],
        "zoom": (0.8, 2.0),
        "minimum_coverage": 0.7,
        "candidates": 8,
        "smallest_region_px": 10,
    }
)


def test_resampling_at_scale_one_is_the_slide_itself():
    slide = quarters().slides["a"]
    assert np.array_equal(resample(slide, (0, 0), (64, 64), (64, 64)), slide)
    assert np.array_equal(resample(slide, (8, 4), (32, 40), (32, 40)), slide[8:40, 4:44])


def test_resampling_at_twice_the_size_keeps_areas():
    found = resample(quarters().slides["a"], (0, 0), (64, 64), (256, 256))
    assert found.shape == (256, 256)
    assert [(found == k).mean() for k in range(4)] == pytest.approx([0.25] * 4, abs=0.01)


@pytest.mark.parametrize(
    ("corner", "window", "size"), [((3.3, 4.1), (40.0, 17.5), (601, 130)), ((-5, 30), (90, 50), (64, 300))]
)
def test_resampling_is_bilinear_interpolation_of_each_class(corner, window, size):
    """Against scipy's: the drawn class has the largest share, or is as near to it as rounding leaves it."""
    slide = generator(2, "slide", "classes").integers(0, 4, (64, 64)).astype(np.uint8)
    places = [
        np.clip(c + (np.arange(n) + 0.5) * w / n - 0.5, 0, 63) for c, w, n in zip(corner, window, size, strict=True)
    ]
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    shares = np.stack([ndimage.map_coordinates((slide == k).astype(np.float64), grid, order=1) for k in range(4)])
    found = resample(slide, corner, window, size)
    assert np.abs(np.take_along_axis(shares, found[None].astype(int), 0)[0] - shares.max(0)).max() < 1e-5
    assert (found == shares.argmax(0)).mean() > 0.99


def test_touched_tiles_are_those_that_the_window_overlaps():
    bank = quarters()
    assert touched(bank, "a", (0, 0), (16, 16)) == ("0-0",)
    assert touched(bank, "a", (15.9, 0), (1, 17)) == ("0-0", "0-64", "64-0", "64-64")
    assert touched(bank, "b", (0, 0), (16, 16)) == ()


@pytest.mark.parametrize("size", [(96, 96), (64, 160), (160, 64), (300, 90)])
def test_cut_has_its_size_its_sources_and_is_its_names_alone(size):
    bank = quarters()
    found = cut(bank, size, PARAMS, 3, "s1")
    seen = whole(found)
    assert seen.shape == found.size_px == size and seen.dtype == np.uint8 and set(np.unique(seen)) <= {0, 1, 2, 3}
    assert found.source and set(found.source) <= set(bank.tiles["tile_id"])
    again = cut(bank, size, PARAMS, 3, "s1")
    assert np.array_equal(seen, whole(again)) and found.source == again.source
    others = [cut(bank, size, PARAMS, 3, f"s{k}") for k in range(2, 8)]
    assert any(not np.array_equal(seen, whole(other)) for other in others)


def test_windows_are_drawn_about_a_random_centre_and_moved_inside():
    """The outer 8 of 64 pixels, windows of 16: a window at a random place inside would show them in 0.16 of its area,
    one about a random centre in 1 - (13 / 16)^2 = 0.34, where they are 0.44 of the slide's."""
    slide = np.full((64, 64), 1, np.uint8)
    slide[8:-8, 8:-8] = 2
    bank = Bank({"a": slide}, 4, quarters().tiles)
    plain = PARAMS.model_copy(update={"zoom": (1.0, 1.0), "minimum_coverage": 0.0, "smallest_region_px": 0})
    shares = [(cut(bank, (64, 64), plain, 3, f"s{k}").small == 1).mean() for k in range(900)]
    standard_error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(1 - (13 / 16) ** 2, abs=3.5 * standard_error)
    assert standard_error < 0.02


def test_a_mask_reads_the_same_in_parts():
    found = cut(quarters(), (61, 83), PARAMS, 3, "s1")
    parts = [
        [found.read((slice(y, min(y + 20, 61)), slice(x, min(x + 32, 83)))) for x in (0, 32, 64)]
        for y in (0, 20, 40, 60)
    ]
    assert np.array_equal(np.block(parts), whole(found))


def test_cut_prefers_what_is_annotated():
    covered = [(whole(cut(quarters(), (64, 64), PARAMS, 3, f"s{k}")) > 0).mean() for k in range(30)]
    assert np.mean(np.array(covered) >= 0.7) > 0.9


def test_cleaning_drops_small_regions_only():
    mask = np.zeros((20, 20), np.uint8)
    mask[:10, :10], mask[12:15, 12:15], mask[15, 15] = 1, 1, 1
    mask[0:2, 15:17] = 2
    found = clean(mask, 9)
    expected = np.zeros_like(mask)
    expected[:10, :10], expected[12:15, 12:15] = 1, 1
    assert np.array_equal(found, expected)
    assert np.array_equal(clean(mask, 0), mask)


def test_a_bank_comes_back_with_its_subtypes_and_cuts_name_them(tmp_path):
    bank = quarters()
    save_bank(tmp_path, bank.slides, 4, {"a": "one"})
    bank.tiles.to_parquet(tmp_path / "tiles.parquet")
    found = load_bank(tmp_path)
    assert found.subtypes == {"a": "one"} and found.reduction == 4
    assert np.array_equal(found.slides["a"], bank.slides["a"])
    mask = cut(found, (32, 32), PARAMS, 3, "s1")
    assert (mask.subtype, mask.origin) == ("one", "annotations")
    assert cut(bank, (32, 32), PARAMS, 3, "s1").subtype == ""


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="the masks of a denoiser"):
        load_bank(tmp_path)


def picture(path, array, mode):
    Image.fromarray(array).convert(mode).save(path, format="PNG")
    return path


def test_a_users_png_comes_back_as_it_is(tmp_path):
    mask = (np.arange(12, dtype=np.uint8) % 3).reshape(3, 4)
    assert np.array_equal(read_png(picture(tmp_path / "m.png", mask, "L"), 2), mask)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: picture(p, np.zeros((3, 3, 3), np.uint8), "RGB"), "mode RGB"),
        (lambda p: picture(p, np.full((3, 3), 7, np.uint8), "L"), "class 7"),
        (lambda p: p.write_bytes(b"no picture"), "cannot identify"),
        (lambda p: p.write_bytes(b""), "cannot identify"),
        (lambda p: p.write_bytes(picture(p, np.zeros((90, 90), np.uint8), "L").read_bytes()[:60]), "m.png"),
        (lambda p: Image.fromarray(np.zeros((3, 3), np.uint8)).save(p, format="JPEG"), "cannot identify"),
    ],
)
def test_a_bad_png_is_one_clear_line(tmp_path, make, words):
    make(tmp_path / "m.png")
    with pytest.raises(InputError, match=words) as caught:
        read_png(tmp_path / "m.png", 2)
    assert str(caught.value).count("\n") == 0 and "m.png" in str(caught.value)
