"""Several pictures in one file: the slide is never its label, and none is lost without a word."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tasks import output, store
from tasks.errors import InputError
from tasks.ingest import receipts, step
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import mosaic, sniff
from tasks.ingest.formats import picture as pictures
from tests import makers

SLIDE, LABEL = makers.picture_of(120, 150), np.full((40, 30, 3), 200, np.uint8)
FIELD = makers.picture_of(90, 110, key=2)
RGB: dict[str, Any] = {"photometric": "rgb", "metadata": None}
Page = tuple[NDArray[Any], dict[str, Any]]


def write(path: Path, pages: Sequence[Page], **options: Any) -> Path:
    with tifffile.TiffWriter(path, **options) as tif:
        for pixels, words in pages:
            tif.write(pixels, **{**RGB, "tile": (32, 32), **words})
    return path


def ome(path: Path, images: Sequence[tuple[str, NDArray[Any], float]]) -> Path:
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, pixels, um in images:
            said = {"axes": "YXS", "Name": name, "PhysicalSizeX": um, "PhysicalSizeY": um}
            tif.write(pixels, tile=(32, 32), photometric="rgb", metadata=said)
    return path


def seen(path: Path, kind: Any = "slides", **changes: Any) -> tuple[NDArray[Any], pictures.Picture]:
    with pictures.opened(path, kind, makers.params(kind, **{"pixel_size_um": 0.5, **changes})) as one:
        return one.read(tuple(slice(0, n) for n in one.shape)), one


FIRST: dict[str, Callable[[Path], Path]] = {
    "label by its description": lambda p: write(p, [(LABEL, {"description": "label"}), (SLIDE, {})]),
    "macro of Aperio's": lambda p: write(
        p,
        [
            (FIELD, {"description": "Aperio Image Library v11.2.1\r\nmacro 110x90", "tile": None}),
            (SLIDE, {"description": makers.APERIO.format(size="150x120")}),
        ],
    ),
    "label that is flagged": lambda p: write(p, [(LABEL, {"subfiletype": 1}), (SLIDE, {})]),
    "OME label image": lambda p: ome(p, [("label image", LABEL, 9.0), ("scan 1", SLIDE, 0.25)]),
    "OME macro larger than the scan": lambda p: ome(p, [("Macro", SLIDE.repeat(2, 0), 9.0), ("", SLIDE, 0.25)]),
}


@pytest.mark.parametrize("deidentify", [True, False])
@pytest.mark.parametrize("kind", ["slides", "images"])
@pytest.mark.parametrize("name", sorted(FIRST))
def test_what_comes_first_is_not_the_slide(tmp_path: Path, name: str, kind: str, deidentify: bool) -> None:
    pixels, one = seen(FIRST[name](tmp_path / "a.tif"), kind, deidentify=deidentify)
    np.testing.assert_array_equal(pixels, np.moveaxis(SLIDE, -1, 0))
    if name == "label that is flagged":
        assert "picture of reduced size" in one.dropped
        return
    beside = "label" if "label" in name else "macro"
    assert (f"picture {beside}" in one.dropped) == deidentify
    assert (beside in one.associated) != deidentify
    assert one.pixel_size_um == (0.25 if "OME" in name else 0.499 if "Aperio" in name else 0.5)


MANY: dict[str, tuple[int, Callable[[Path], Path]]] = {
    "pages of unlike size": (2, lambda p: write(p, [(SLIDE, {}), (FIELD, {})])),
    "a small unknown one first": (2, lambda p: write(p, [(LABEL, {}), (SLIDE, {})])),
    "OME fields": (3, lambda p: ome(p, [(f"field {i}", makers.picture_of(90, 110, key=i), 0.5) for i in range(3)])),
    "an SVS with pages at its end": (
        2,
        lambda p: write(
            makers.write_svs(p, SLIDE), [(FIELD, {"description": "another scan"})], append=True
        ),
    ),
    "tifffile's own arrays": (
        2, lambda p: write(p, [(SLIDE, {"metadata": {"axes": "YXS"}}), (FIELD, {"metadata": {"axes": "YXS"}})])
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["slides", "images"])
@pytest.mark.parametrize("name", sorted(MANY))
def test_more_than_one_picture_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    count, make = MANY[name]
    with pytest.raises(BadFile, match=f"{count} pictures in it; expected one; split it"):
        seen(make(tmp_path / "a.tif"), kind)


def test_a_page_that_ome_xml_does_not_name_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", [("scan", SLIDE, 0.5)])
    write(path, [(FIELD, {})], append="force")
    with pytest.raises(BadFile, match="2 pictures in it"):
        seen(path)


def test_a_file_of_a_label_alone_is_no_slide(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", [(SLIDE, {"description": "macro"}), (LABEL, {"description": "label"})])
    with pytest.raises(BadFile, match="only pictures that stand beside a slide"):
        seen(path)


def test_levels_that_nobody_calls_such_are_named(tmp_path: Path) -> None:
    flagged = write(tmp_path / "a.tif", [(SLIDE, {}), (SLIDE[::2, ::2], {"subfiletype": 1})])
    unsaid = write(tmp_path / "b.tif", [(SLIDE, {}), (SLIDE[::2, ::2], {})])
    assert seen(flagged)[1].dropped == ()
    assert seen(unsaid)[1].dropped == ("picture of reduced size",)


def test_pictures_that_the_params_leave_out_are_named(tmp_path: Path) -> None:
    path = makers.write_svs(tmp_path / "s.svs", SLIDE)
    found = seen(path, associated=["thumbnail"])[1]
    assert found.dropped == ("picture label", "picture macro")
    assert sorted(seen(path, "images")[1].associated) == ["label", "macro", "thumbnail"]


def test_an_ndpi_drops_its_macro_map_and_private_tags(tmp_path: Path) -> None:
    shown = {20.0: SLIDE, -1.0: SLIDE[:41, ::3], -2.0: SLIDE[:20, ::5]}
    path = makers.write_ndpi(tmp_path / "s.ndpi", shown, um=0.46)
    _, one = seen(path, deidentify=True)
    assert one.associated == {} and {"picture macro", "picture map", "65427"} <= set(one.dropped)
    assert "Doe" not in str(one.metadata)
    assert sorted(seen(path)[1].associated) == ["macro"]


def scn(path: Path) -> Path:
    """Leica's layout: the picture of the whole glass before the scan, told apart by its view alone."""
    images = "".join(
        f'<image name="image_{i}"><pixels sizeX="{w}" sizeY="{h}"><dimension sizeX="{w}" sizeY="{h}" r="0" ifd="{i}"/>'
        f'</pixels><view sizeX="{x}" sizeY="{y}" offsetX="0" offsetY="0"/></image>'
        for i, (w, h, x, y) in enumerate(((110, 90, 9000, 7000), (150, 120, 800, 600)))
    )
    words = '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
    words += f'<collection name="c" sizeX="9000" sizeY="7000">{images}</collection></scn>'
    return write(path, [(FIELD, {"description": words}), (SLIDE, {})], bigtiff=True)


def test_an_scn_is_its_scan(tmp_path: Path) -> None:
    pixels, one = seen(scn(tmp_path / "a.scn"), deidentify=True)
    np.testing.assert_array_equal(pixels, np.moveaxis(SLIDE, -1, 0))
    assert "picture macro" in one.dropped


MOSAIC, OTHER = makers.mosaic_of(46, 62), makers.mosaic_of(40, 50, key=2)


@pytest.mark.parametrize("second", [MOSAIC, OTHER, OTHER[:8, :8]])
def test_a_bayer_tiff_of_two_pictures_is_refused(tmp_path: Path, second: NDArray[Any]) -> None:
    pages: list[Page] = [(MOSAIC, {"photometric": "minisblack"}), (second, {"photometric": "minisblack"})]
    with pytest.raises(BadFile, match="2 pictures in it; expected one mosaic"):
        mosaic.decode(write(tmp_path / "a.tif", pages), makers.calibration(), makers.params())


def test_a_bayer_tiff_may_have_a_thumbnail_first(tmp_path: Path) -> None:
    grey = {"photometric": "minisblack"}
    pages: list[Page] = [(np.zeros((16, 16), np.uint8), {**grey, "subfiletype": 1}), (MOSAIC, grey)]
    path = write(tmp_path / "a.tif", pages)
    np.testing.assert_array_equal(mosaic.decode(path, makers.calibration(), makers.params()).pixels, MOSAIC)


@pytest.mark.parametrize("place", ["chain", "below"])
def test_a_dng_of_two_mosaics_is_refused(tmp_path: Path, place: str) -> None:
    extra = list(makers.dng_tags().values())
    options: dict[str, Any] = {"photometric": "CFA", "metadata": None, "extratags": extra, "subfiletype": 0}
    with tifffile.TiffWriter(tmp_path / "a.dng") as tif:
        tif.write(MOSAIC, subifds=1 if place == "below" else 0, **options)
        tif.write(OTHER, **options)
    with pytest.raises(BadFile, match="2 mosaics in it"):
        mosaic.decode(tmp_path / "a.dng", None, makers.params())


@pytest.mark.parametrize("kind", ["slides", "images"])
def test_a_palette_is_refused(tmp_path: Path, kind: str) -> None:
    colours = makers.rng(1).integers(0, 2**16, (3, 256)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LABEL[..., 0], photometric="palette", colormap=colours, metadata=None)
    with pytest.raises(BadFile, match="colours from a palette"):
        seen(path, kind)


@pytest.mark.parametrize("name", ["miniswhite", "minisblack"])
def test_what_the_values_mean_is_kept(tmp_path: Path, name: str) -> None:
    grey = makers.mosaic_of(40, 50)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric=name, metadata=None)
    pixels, one = seen(tmp_path / "a.tif", "images")
    np.testing.assert_array_equal(pixels, grey)
    assert one.metadata["photometric"] == name


def looks(**counts: int) -> dict[Path, sniff.Look]:
    return {Path(f"{kind}{i}"): sniff.Look(kind, 9, 9) for kind, n in counts.items() for i in range(n)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "kind", "lines"),
    [
        ({"slides": 1, "frames": 1}, "slides", ["frames0: a mosaic among slides"]),
        ({"images": 1, "slides": 1}, "slides", ["images0: an image among slides"]),
        ({"images": 1, "frames": 1}, "images", ["frames0: a mosaic among images"]),
        ({"slides": 1, "frames": 1, "crops": 1}, "frames", ["slides0: a slide among mosaics"]),
        ({"images": 3, "slides": 2}, "images", ["slides0: a slide among images", "slides1: a slide among images"]),
        ({"crops": 3, "images": 1}, "crops", ["images0: an image among mosaics"]),
        ({"crops": 2, "frames": 1}, "frames", []),
    ],
)
def test_the_commonest_kind_is_taken(counts: dict[str, int], kind: str, lines: list[str]) -> None:
    found, odd = sniff.one_kind(looks(**counts))
    assert found == kind
    assert [str(error).partition(";")[0] for error in odd] == lines


@pytest.mark.parametrize("kind", ["frames", "crops"])
def test_a_slide_that_is_called_a_mosaic_is_said_to_be_none(tmp_path: Path, kind: str) -> None:
    path = makers.write_slide(tmp_path / "s.tif", SLIDE)
    job = None
    with pytest.raises(InputError, match="3 channels; expected a mosaic of one channel"):
        job = step.prepare_files([path], tmp_path / "o.zarr", makers.params(kind), None, {})
        for item in output.todo(job):
            step.process(job, item)
        step.finish(job)
    assert (job is None) == (kind == "crops")


def test_one_file_of_another_kind_does_not_stop_the_others(tmp_path: Path) -> None:
    odd = makers.write_dng(tmp_path / "a.dng", MOSAIC)
    files = [odd, makers.write_slide(tmp_path / "b.tif", SLIDE)]
    job = step.prepare_files(files, tmp_path / "o.zarr", makers.params(), None, {})
    for wave in output.waves(job):
        for item in output.todo(job, wave):
            step.process(job, item)
    record = step.finish(job)
    (line,) = record.rejected
    assert "a.dng: a mosaic among slides; expected one kind of file; ingest it apart" in line
    np.testing.assert_array_equal(store.open_array(record.path / "slides/b/0")[...], np.moveaxis(SLIDE, -1, 0))
    assert [bool(r.image) for r in receipts.read(record.path)] == [False, True]
