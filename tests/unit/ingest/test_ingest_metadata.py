"""What is kept of a file's tags and what the policy leaves out: no value that was planted may come through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tasks.ingest.formats import mosaic
from tasks.ingest.formats import picture as pictures
from tests import makers

SECRET = "Doe-Jane-19700101"
"""Planted wherever a patient may be named."""
APERIO = (
    "Aperio Image Library v11.2.1\r\n150x120 [0,0 150x120] (240x240) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990|"
    f"User = {SECRET}|Filename = {SECRET}|Title = {SECRET}|ScanScope ID = {SECRET}|Date = {SECRET}|Left = 25.7|"
    f"Barcode = {SECRET}|{SECRET} = 1|Exposure Time = 45"
)
PRIVATE = [
    (306, 2, 0, SECRET[:19], True), (315, 2, 0, SECRET, True), (316, 2, 0, SECRET, True), (33432, 2, 0, SECRET, True),
    (700, 1, len(SECRET), SECRET.encode(), True), (33723, 7, len(SECRET), SECRET.encode(), True),
    (50735, 2, 0, SECRET, True), (50827, 2, 0, SECRET, True), (50740, 7, len(SECRET), SECRET.encode(), True),
    (42016, 2, 0, SECRET, True), (37500, 7, len(SECRET), SECRET.encode(), True), (65000, 2, 0, SECRET, True),
]  # fmt: skip
PUBLIC = [(271, 2, 0, "Maker", True), (272, 2, 0, "Model 9", True), (274, 3, 1, 6, True), (33437, 5, 1, (28, 10), True)]
ICC = b"a colour profile"


def ome_xml(path: Path) -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" Creator="x">'
        f'<Experimenter ID="Experimenter:0" UserName="{SECRET}" LastName="{SECRET}"/>'
        f'<Instrument ID="Instrument:0"><Microscope Model="Scope 3" SerialNumber="{SECRET}"/>'
        '<Objective ID="Objective:0" NominalMagnification="40" LensNA="1.3"/></Instrument>'
        f'<Image ID="Image:0" Name="{SECRET}"><AcquisitionDate>{SECRET}</AcquisitionDate>'
        f'<Description>{SECRET}</Description><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="50" SizeY="40" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
        '<Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image>'
        f"<StructuredAnnotations><CommentAnnotation><Value>{SECRET}</Value></CommentAnnotation>"
        "</StructuredAnnotations></OME>"
    )


def write_dng(path: Path) -> Path:
    tags = {**makers.dng_tags(), **{tag[0]: tag for tag in (*PRIVATE, *PUBLIC)}}
    return makers.write_dng(path, makers.mosaic_of(46, 62), tags)


def write_mosaic(path: Path) -> Path:
    return makers.write_tiff(path, makers.mosaic_of(40, 50), description=SECRET, extratags=[*PRIVATE, *PUBLIC])


def write_svs(path: Path) -> Path:
    jpeg: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    picture = makers.picture_of(120, 150)
    with tifffile.TiffWriter(path) as tif:
        tif.write(picture, tile=(48, 48), description=APERIO, extratags=PRIVATE, iccprofile=ICC, **jpeg)
        tif.write(picture[::4, ::4], rowsperstrip=16, description=APERIO, **jpeg)
        tif.write(picture[::4, ::4], subfiletype=1, rowsperstrip=16, description=f"label {SECRET}", **jpeg)
        tif.write(picture[::8, ::4], subfiletype=9, rowsperstrip=16, description="macro", **jpeg)
    return path


def write_ome(path: Path) -> Path:
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "extratags": PRIVATE, "software": "x 1"}
    tifffile.imwrite(path, makers.mosaic_of(40, 50), description=ome_xml(path), **options)
    return path


def of_mosaic(path: Path, deidentify: bool) -> tuple[Any, tuple[str, ...], list[str]]:
    found = mosaic.decode(path, makers.calibration(), makers.params(deidentify=deidentify))
    return found.metadata, found.dropped, []


def of_picture(path: Path, deidentify: bool) -> tuple[Any, tuple[str, ...], list[str]]:
    kind: pictures.Kind = "slides" if path.suffix == ".svs" else "images"
    with pictures.opened(path, kind, makers.params(kind, deidentify=deidentify)) as one:
        return one.metadata, one.dropped, [*one.associated, *(name for name, _ in one.channels)]


Case = tuple[Callable[[Path], Path], Callable[..., Any], dict[str, Any], set[str]]
TIFF_NAMES = {"Artist", "DateTime", "HostComputer", "Copyright", "XMP", "IPTCNAA", "CameraSerialNumber"}
CASES: dict[str, Case] = {
    "a.dng": (write_dng, of_mosaic, {"make": "Maker", "model": "Model 9", "orientation": 6, "f_number": 2.8,
        "exposure_s": 0.002, "iso": 200, "left_justified_bits": 4, "compression": 1, "bits_per_sample": 16},
        TIFF_NAMES),
    "a.tif": (write_mosaic, of_mosaic, {"make": "Maker", "orientation": 6}, {*TIFF_NAMES, "ImageDescription"}),
    "a.svs": (write_svs, of_picture, {"objective_magnification": 20.0, "jpeg_quality": 70, "compression": 7,
        "software": "Aperio Image Library v11.2.1", "aperio_exposure_time": 45.0},
        {*TIFF_NAMES, "Aperio User", "Aperio Filename", "Aperio Title", "Aperio ScanScope ID", "Aperio Date",
         "Aperio Barcode", "Aperio other", "ImageDescription", "picture label", "picture macro"}),
    "a.ome.tif": (write_ome, of_picture, {"objective_magnification": 40.0, "software": "x 1"},
        {*TIFF_NAMES, "OME Experimenter UserName", "OME Image Name", "OME AcquisitionDate", "OME Description",
         "OME Microscope SerialNumber", "OME Value"}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_private_values_go_and_their_names_stay(tmp_path: Path, name: str) -> None:
    write, read, kept, dropped = CASES[name]
    path = write(tmp_path / name)
    assert SECRET.encode() in path.read_bytes()
    metadata, names, others = read(path, True)
    said = json.dumps([metadata, names, others])
    assert "Doe" not in said and "1970" not in said
    assert {key: metadata.get(key) for key in kept} == kept
    assert dropped <= set(names)
    assert list(names) == sorted(set(names))


@pytest.mark.parametrize("name", sorted(CASES))
def test_without_the_policy_values_are_kept_and_nothing_is_dropped(tmp_path: Path, name: str) -> None:
    write, read, kept, _ = CASES[name]
    metadata, names, others = read(write(tmp_path / name), False)
    assert SECRET in json.dumps(metadata)
    assert names == ()
    assert {key: metadata.get(key) for key in kept} == kept
    assert name != "a.svs" or {"label", "macro", "thumbnail"} <= set(others)


def test_what_is_long_is_cut_or_named_by_its_digest(tmp_path: Path) -> None:
    tags = [(315, 2, 0, "x" * 9000, True), (37500, 7, 9000, bytes(9000), True)]
    path = makers.write_tiff(tmp_path / "a.tif", makers.mosaic_of(40, 50), extratags=tags)
    found = of_mosaic(path, False)[0]["tags"]
    assert len(found["Artist"]) == 4096
    assert found["MakerNote"]["bytes"] == 9000 and len(found["MakerNote"]["sha256"]) == 64


def test_a_colour_profile_that_is_none_is_dropped_by_the_policy(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs")
    with pictures.opened(path, "slides", makers.params("slides", deidentify=True)) as one:
        assert one.icc is None and "icc" not in one.metadata and "ICC profile" in one.dropped
        assert sorted(one.associated) == ["thumbnail"]
    with pictures.opened(path, "slides", makers.params("slides")) as one:
        assert one.icc == ICC
        assert one.metadata["icc"]["bytes"] == len(ICC)


def test_an_ndpi_keeps_its_lens(tmp_path: Path) -> None:
    path = makers.write_ndpi(tmp_path / "s.ndpi", {20.0: makers.picture_of(50, 60)}, 0.5)
    with pictures.opened(path, "slides", makers.params("slides", deidentify=True)) as one:
        assert (one.metadata["source_lens"], one.metadata["make"]) == (20.0, "Hamamatsu")
        assert one.form == "NDPI"


def test_numbers_under_kept_keys_must_be_numbers(tmp_path: Path) -> None:
    """A name in the field of the magnification is no magnification."""
    words = makers.APERIO.format(size="1x1").replace("AppMag = 20", f"AppMag = {SECRET}")
    options: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32), "metadata": None}
    tifffile.imwrite(tmp_path / "a.svs", np.zeros((64, 64, 3), np.uint8), description=words, **options)
    found, names, _ = of_picture(tmp_path / "a.svs", True)
    assert "objective_magnification" not in found
    assert "Aperio AppMag" in names
