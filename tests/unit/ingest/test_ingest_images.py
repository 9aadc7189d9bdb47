"""Microscopy images: every order of axes, type and layout against the array that tifffile wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tasks.ingest.bad import BadFile
from tasks.ingest.formats import picture as pictures
from tasks.ingest.formats import sniff
from tests import makers

SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 45, "X": 61, "S": 3}
KNOWN = makers.params("images")


def array_of(axes: str, dtype: str) -> np.ndarray:
    shape = [SIZES[a] for a in axes]
    return (makers.rng(len(axes)).random(shape) * 200).astype(dtype)


def in_store_order(data: np.ndarray, axes: str) -> np.ndarray:
    named = axes.replace("S", "C")
    return np.transpose(data, [named.index(a) for a in "TCZYX" if a in named])


def check(path: Path, expected: np.ndarray, axes: str, **changes: Any) -> pictures.Picture:
    """The whole and a window, from a file that says `axes`."""
    with pictures.opened(path, "images", makers.params("images", **changes)) as one:
        assert one.axes == "".join(a for a in "tczyx" if a in axes.lower().replace("s", "c"))
        assert one.shape == expected.shape
        whole = one.read(tuple(slice(0, n) for n in one.shape))
        np.testing.assert_array_equal(whole, expected)
        assert whole.dtype == expected.dtype and whole.flags.c_contiguous
        window = tuple(slice(n // 3, max(n // 3 + 1, 2 * n // 3)) for n in one.shape)
        np.testing.assert_array_equal(one.read(window), expected[window])
        return one


@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"tile": (16, 16), "compression": "zlib"}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("axes", ["TCZYX", "ZCTYX", "CZYX", "ZYX", "TYX", "CYX", "YX", "YXS", "ZYXS", "TZYXS"])
def test_an_ome_tiff_of_any_axes(tmp_path: Path, axes: str, dtype: str, options: dict[str, Any]) -> None:
    data = array_of(axes, dtype)
    photometric = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric=photometric, metadata={"axes": axes}, **options
    )
    check(tmp_path / "a.ome.tif", in_store_order(data, axes), axes)


def test_a_pyramid_gives_level_0(tmp_path: Path) -> None:
    data = array_of("TCZYX", "uint16")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(data, subifds=1, tile=(16, 16), photometric="minisblack", metadata={"axes": "TCZYX"})
        tif.write(data[..., ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    check(tmp_path / "a.ome.tif", data, "TCZYX")


@pytest.mark.parametrize("axes", ["TZCYX", "ZCYX", "CYX", "ZYX", "YX"])
def test_imagej_hyperstacks(tmp_path: Path, axes: str) -> None:
    data = array_of(axes, "uint16")
    metadata = {"axes": axes, "unit": "um", "spacing": 1.5, "finterval": 2.0, "Info": "Doe^Jane"}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
    one = check(tmp_path / "a.tif", in_store_order(data, axes), axes)
    assert (one.form, one.pixel_size_um) == ("ImageJ TIFF", 0.25)
    assert (one.z_um, one.t_s) == (1.5, 2.0)
    assert sniff.look(tmp_path / "a.tif").kind == "images"


def test_an_imagej_stack_whose_file_describes_its_first_page_only(tmp_path: Path) -> None:
    """As ImageJ writes stacks above 4 GB: one directory, the planes one after another."""
    data = array_of("ZYX", "uint16")
    words = "ImageJ=1.53\nimages=4\nslices=4\nloop=false\n"
    tifffile.imwrite(tmp_path / "a.tif", data[0], description=words, metadata=None, byteorder=">")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        start = tif.pages[0].dataoffsets[0]
    raw = (tmp_path / "a.tif").read_bytes()[:start]
    (tmp_path / "a.tif").write_bytes(raw + data.astype(">u2").tobytes())
    check(tmp_path / "a.tif", data, "ZYX")


def test_a_stack_that_does_not_say_its_axis_needs_one_in_the_params(tmp_path: Path) -> None:
    data = array_of("ZYX", "uint16")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in data:
            tif.write(plane, metadata=None, contiguous=False)
    with (
        pytest.raises(BadFile, match="a stack of 4 pages that does not say"),
        pictures.opened(tmp_path / "a.tif", "images", KNOWN),
    ):
        pass
    check(tmp_path / "a.tif", data, "ZYX", stack_axis="z")
    check(tmp_path / "a.tif", data, "TYX", stack_axis="t")


def test_ome_xml_says_sizes_units_names_and_colours(tmp_path: Path) -> None:
    known = {
        "axes": "TCZYX", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 2.0, "TimeIncrement": 500.0, "TimeIncrementUnit": "ms",
        "Channel": {"Name": ["DAPI", "GFP", "TRITC"], "Color": [0x0000FFFF, 0x00FF00FF, -16776961]},
    }  # fmt: skip
    data = array_of("TCZYX", "uint16")
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata=known)
    one = check(tmp_path / "a.ome.tif", data, "TCZYX")
    assert one.pixel_size_um == pytest.approx(0.25)
    assert (one.z_um, one.t_s) == (2.0, 0.5)
    assert one.channels == (("DAPI", "0000FF"), ("GFP", "00FF00"), ("TRITC", "FF0000"))
    assert not one.rgb


def test_channels_without_names_are_counted(tmp_path: Path) -> None:
    data = array_of("CYX", "uint8")
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    one = check(tmp_path / "a.ome.tif", data, "CYX")
    assert [name for name, _ in one.channels] == ["channel 0", "channel 1", "channel 2"]
    assert one.pixel_size_um is None


PLAIN = {"photometric": "minisblack", "metadata": None}
LOOKS = {
    "an OME stack": ({**PLAIN, "ome": True, "metadata": {"axes": "ZYX"}}, "ZYX", "uint16", "images"),
    "one OME page": ({**PLAIN, "ome": True, "metadata": {"axes": "YX"}}, "YX", "uint16", "images"),
    "one page": (PLAIN, "YX", "uint16", "crops"),
    "two samples": ({**PLAIN, "planarconfig": "contig"}, "YXC", "uint16", "images"),
    "RGB": ({"photometric": "rgb", "metadata": None}, "YXS", "uint8", "slides"),
    "RGB of 16 bits": ({"photometric": "rgb", "metadata": None}, "YXS", "uint16", "images"),
}


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_what_a_file_is_at_first_sight(tmp_path: Path, name: str) -> None:
    options, axes, dtype, kind = LOOKS[name]
    tifffile.imwrite(tmp_path / "a.tif", array_of(axes, dtype), **options)
    assert sniff.look(tmp_path / "a.tif").kind == kind


@pytest.mark.parametrize("dtype", ["int16", "uint32", "float64", "complex64"])
def test_other_types_are_refused(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 20), dtype), metadata=None)
    with pytest.raises(BadFile, match="pixels"), pictures.opened(tmp_path / "a.tif", "images", KNOWN):
        pass


def test_jpeg_tiles_can_be_kept_and_decode_to_the_same_pixels(tmp_path: Path) -> None:
    import imagecodecs

    path = makers.write_svs(tmp_path / "s.svs", makers.picture_of(120, 150))
    with pictures.opened(path, "slides", makers.params("slides")) as one:
        assert one.jpeg_tile_px == (48, 48)
        whole = one.read(tuple(slice(0, n) for n in one.shape))
        for row, column in ((0, 0), (1, 2)):
            tile = imagecodecs.jpeg8_decode(one.jpeg_stream(row, column))
            expected = whole[:, 48 * row : 48 * row + 48, 48 * column : 48 * column + 48]
            np.testing.assert_array_equal(np.moveaxis(tile, -1, 0), expected)


def test_a_cut_imagej_stack_is_not_its_first_page(tmp_path: Path) -> None:
    data = array_of("ZYX", "uint16")
    words = "ImageJ=1.53\nimages=4\nslices=4\nloop=false\n"
    tifffile.imwrite(tmp_path / "a.tif", data[0], description=words, metadata=None)
    with (
        pytest.raises(BadFile, match="does not fit what is in the file"),
        pictures.opened(tmp_path / "a.tif", "images", KNOWN),
    ):
        pass
