"""Users' masks: TIFF and label images by window, what is refused, and how they stand in a recipe."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tasks.errors import InputError
from tasks.rng import generator
from tasks.synthesis import originals
from tasks.synthesis.mask_files import checked, entry, given, read_png

MASK = generator(1, "mask", "test").integers(0, 3, (70, 90)).astype(np.uint8)


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32), "compression": "zlib"}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_is_read_by_window(tmp_path, options, dtype):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, MASK.astype(dtype), **options)
    found = checked(path, 2)
    assert found.size_px == (70, 90) and found.origin == "given" and found.source == ()
    window = (slice(13, 51), slice(30, 90))
    assert found.read(window).dtype == np.uint8 and np.array_equal(found.read(window), MASK[window])


def test_a_label_image_of_a_store_is_read_and_named_inside_its_store(raw, tmp_path):
    path = raw / "slides" / "a" / "labels" / "annotation"
    found = checked(path, 2)
    assert found.size_px == (128, 128)
    assert np.unique(found.read((slice(100, 128), slice(0, 128)))).tolist() == [1, 2]
    known = entry(path, tmp_path / "out.zarr", ("red", "blue"))
    assert known["kind"] == "artefact" and known["inside"] == "slides/a/labels/annotation"
    with pytest.raises(InputError, match="masks of the classes red, blue; expected green, blue"):
        entry(path, tmp_path / "out.zarr", ("green", "blue"))


def test_an_array_that_is_no_label_image_and_a_foreign_folder_are_refused(raw, tmp_path):
    with pytest.raises(InputError, match="3 axes"):
        given(raw / "slides" / "a", 2)
    with pytest.raises(InputError, match="outside of any rawmill store"):
        entry(tmp_path, tmp_path / "out.zarr", ("red",))
    with pytest.raises(InputError, match="not there"):
        entry(tmp_path / "none.png", tmp_path / "out.zarr", ("red",))


def tiff(path, array, **options):
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: tiff(p, np.full((40, 40), 7, np.uint8)), "class 7"),
        (lambda p: tiff(p, np.full((40, 40), 257, np.uint16)), "class 257"),
        (lambda p: tiff(p, np.zeros((40, 40, 3), np.uint8), photometric="rgb"), "3 channels"),
        (lambda p: tiff(p, np.zeros((40, 40), np.float32)), "float32"),
        (lambda p: p.write_bytes(tiff(p, MASK).read_bytes()[:200]), "m.tif"),
    ],
)
def test_a_bad_tiff_is_one_clear_line(tmp_path, make, words):
    make(tmp_path / "m.tif")
    with pytest.raises(InputError, match=words) as caught:
        checked(tmp_path / "m.tif", 2)
    assert "\n" not in str(caught.value) and "m.tif" in str(caught.value)


def test_a_png_too_large_to_decode_whole_is_refused_before_it_is(tmp_path):
    """A header alone, as of a bomb: 16,384 x 16,384 pixels that nobody unpacks."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 16384, 16384, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(InputError, match="save it as a tiled TIFF"):
        read_png(tmp_path / "m.png", 2)


def test_a_png_is_given_whole(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "m.png")
    found = checked(tmp_path / "m.png", 2)
    assert np.array_equal(found.read((slice(0, 70), slice(0, 90))), MASK)


def test_a_png_whose_texts_are_a_bomb_is_one_clear_line(tmp_path):
    about = PngInfo()
    about.add_text("k", "\0" * 3_000_000, zip=True)
    Image.fromarray(MASK).save(tmp_path / "m.png", pnginfo=about)
    with pytest.raises(InputError, match=r"too large.*; expected a single-channel 8-bit PNG") as caught:
        read_png(tmp_path / "m.png", 2)
    assert "\n" not in str(caught.value)
    Image.fromarray(np.stack([MASK] * 3, -1)).save(tmp_path / "rgb.png", pnginfo=about)
    with pytest.raises(InputError, match=r"too large.*; expected an 8-bit RGB picture"):
        originals.read_rgb(tmp_path / "rgb.png")
