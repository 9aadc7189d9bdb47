"""Texts that scanners and programs put into a picture: Aperio's, ImageJ's and OME-XML, sorted by the same policy."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tifffile

from tasks.ingest.formats import metadata
from tasks.ingest.formats.metadata import Kept

APERIO = {
    "AppMag": "objective_magnification", "MPP": "aperio_mpp", "Left": "aperio_left_mm", "Top": "aperio_top_mm",
    "LineCameraSkew": "aperio_line_camera_skew", "LineAreaXOffset": "aperio_line_area_x_offset",
    "LineAreaYOffset": "aperio_line_area_y_offset", "Exposure Time": "aperio_exposure_time",
    "Exposure Scale": "aperio_exposure_scale", "DisplayColor": "aperio_display_colour",
    "OriginalWidth": "aperio_original_width", "OriginalHeight": "aperio_original_height",
    "StripeWidth": "aperio_stripe_width", "Filtered": "aperio_filtered", "Gamma": "aperio_gamma",
}  # fmt: skip
"""Numbers of Aperio's description; anything else, and anything that is no number, is private."""
APERIO_PRIVATE = frozenset(
    {"User", "Filename", "Title", "ScanScope ID", "Barcode", "Date", "Time", "Time Zone", "ImageID", "ICC Profile"}
    | {"Parmset", "SlideID", "Slide ID", "Rack", "Slide", "CaseID", "Description", "Focus Offset", "SessonMode"}
    | {"SessionMode", "Originalheight", "OriginalHeight", "Exposure Time", "Exposure Scale", "DSR ID", "ImageName"}
)
"""Keys that may be named when their value goes; any other may itself tell something."""
IMAGEJ_PRIVATE = frozenset({"Info", "Labels", "LUTs", "Ranges", "Overlays", "ROI", "Plot", "Properties"})
OME_SPACE = "{http://www.openmicroscopy.org/"
IMAGEJ_NUMBERS = frozenset({"images", "channels", "slices", "frames", "spacing", "finterval", "fps", "min", "max"})
IMAGEJ_WORDS = frozenset({"ImageJ", "hyperstack", "mode", "unit", "tunit", "loop", "order"})
OME = {
    "Pixels": {"DimensionOrder", "Type", "BigEndian", "Interleaved", "SignificantBits", "SizeX", "SizeY", "SizeZ"}
    | {"SizeC", "SizeT", "TimeIncrement", "TimeIncrementUnit"}
    | {f"PhysicalSize{a}{u}" for a in "XYZ" for u in ("", "Unit")},
    "Channel": {"Name", "Color", "SamplesPerPixel", "EmissionWavelength", "EmissionWavelengthUnit", "Fluor"}
    | {"ExcitationWavelength", "ExcitationWavelengthUnit", "ContrastMethod", "AcquisitionMode", "IlluminationType"}
    | {"PinholeSize", "PinholeSizeUnit", "NDFilter"},
    "Objective": {"Manufacturer", "Model", "NominalMagnification", "CalibratedMagnification", "LensNA", "Immersion"}
    | {"Correction", "WorkingDistance", "WorkingDistanceUnit", "Iris"},
    "ObjectiveSettings": {"CorrectionCollar", "Medium", "RefractiveIndex"},
    "Microscope": {"Manufacturer", "Model", "Type"},
    "Detector": {"Manufacturer", "Model", "Type", "Gain", "Voltage", "AmplificationGain", "Zoom"},
    "DetectorSettings": {"Gain", "Binning", "ReadOutRate"},
}
"""Attributes of OME-XML (2016-06) that may stay, by element; identifiers and all text are private."""
OME_NAMES = frozenset({"Name", "Fluor", "Manufacturer", "Model"})
NUMBER = re.compile(r"[-+]?\d{1,15}(\.\d{1,20})?([eE][-+]?\d{1,3})?")
OME_LAYOUT = frozenset({"OME", "TiffData", "UUID", "Plane", "BinData"})
IDENTIFIER = re.compile(r"[A-Za-z]+(:\d+)+")


def of_tiff(
    tif: tifffile.TiffFile, main: tifffile.TiffPageSeries, deidentify: bool
) -> tuple[dict[str, Any], tuple[str, ...], bytes | None]:
    """Of the slide or image `main`: what is kept, the sorted names of what is not, and the colour profile."""
    found = Kept(deidentify)
    page = main.keyframe.aspage()
    known = _description(tif, page, found)
    metadata.tags_of(page, found, described=known)
    first = tif.pages.first
    others = [one.keyframe.aspage() for one in tif.series if one is not main]
    metadata.described(others if first.offset == page.offset else [first, *others], found)
    profile = _stored(page, [page], found)
    return found.kept, tuple(sorted(found.dropped)), profile


def of_pages(
    pages: Sequence[tifffile.TiffPage], deidentify: bool
) -> tuple[dict[str, Any], tuple[str, ...], bytes | None]:
    """Of a mosaic: the same, from the directories that tell of it, the first before the others."""
    found = Kept(deidentify)
    for page in pages:
        metadata.tags_of(page, found)
    profile = _stored(pages[0], pages, found)
    return found.kept, tuple(sorted(found.dropped)), profile


def _stored(page: tifffile.TiffPage, pages: Sequence[tifffile.TiffPage], found: Kept) -> bytes | None:
    """How the pixels of `page` are stored, and the first colour profile of `pages`, as the policy leaves it."""
    found.keep("compression", int(page.compression))
    photometric = page.photometric
    found.keep("photometric", str(getattr(photometric, "name", photometric)).lower())
    return metadata.keep_icc(next((p for p in map(metadata.icc_of, pages) if p), None), found)


def _description(tif: tifffile.TiffFile, page: tifffile.TiffPage, found: Kept) -> bool:
    """Sort the description by what wrote it; False where nobody known did."""
    if tif.is_ome and tif.ome_metadata:
        _ome(tif.ome_metadata, found)
    elif tif.is_svs:
        _aperio(page.description, found)
    elif tif.is_imagej:
        _imagej(tif.imagej_metadata or {}, found)
    else:
        return False
    return True


def _aperio(text: str, found: Kept) -> None:
    """A line of the program, one of the geometry, then key = value between bars."""
    head, *pairs = text.split("|")
    program = metadata.software(head)
    if program is not None:
        found.keep("software", program)
    quality = re.search(r"\bQ=(\d{1,3})\b", head)
    if quality:
        found.keep("jpeg_quality", int(quality[1]))
    if not found.deidentify:
        found.private("Aperio description", head)
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        number = _number(value)
        if key in APERIO and number is not None:
            found.keep(APERIO[key], number)
        else:
            found.private(f"Aperio {_name(key, {*APERIO, *APERIO_PRIVATE})}", value)


def _name(key: str, known: Iterable[str]) -> str:
    """A key that is known as such; another may itself be a value."""
    return key if key in known else "other"


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[-+]?\d{1,15}(\.\d{1,15})?", text) else None


def _imagej(words: Mapping[str, Any], found: Kept) -> None:
    for key, value in words.items():
        simple = isinstance(value, bool | int | float)
        word = isinstance(value, str) and len(value) <= 20 and re.fullmatch(r"[\w.\\µ/]+", value) is not None
        if (key in IMAGEJ_NUMBERS and simple) or (key in IMAGEJ_WORDS and (simple or word)):
            found.keep(f"imagej_{key.lower()}", value)
        else:
            found.private(f"ImageJ {_name(key, IMAGEJ_NUMBERS | IMAGEJ_WORDS | IMAGEJ_PRIVATE)}", value)


def _ome(text: str, found: Kept) -> None:
    """Attributes of the list by element, one entry an element; all text and all other attributes are private."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        found.private("OME-XML", text)
        return
    kept: dict[str, list[dict[str, Any]]] = {}
    for element in root.iter():
        name = re.sub(r"\{.*\}", "", element.tag)
        if name in OME_LAYOUT:
            _layout(name, element, found)
            continue
        words = {k: v for k, v in element.attrib.items() if k in OME.get(name, ())}
        here = {k: metadata.plain(v, metadata.MOST_WORDS) for k, v in words.items() if _may_tell(k, v, found)}
        for key in words.keys() - here.keys():
            found.private(f"OME {name} {key}", words[key])
        if here and len(kept.setdefault(name, [])) < metadata.MOST_NUMBERS:
            kept[name].append(here)
        shown = name if element.tag.startswith(OME_SPACE) else "other"
        for key, value in element.attrib.items():
            if key not in OME.get(name, ()) and not IDENTIFIER.fullmatch(value):
                found.private(f"OME {shown} {re.sub(r'{.*}', '', key)}"[: metadata.MOST_WORDS], value)
        if element.text and element.text.strip():
            found.private(f"OME {shown}"[: metadata.MOST_WORDS], element.text.strip())
    found.keep("ome", kept)
    lens = next(iter(kept.get("Objective", [])), {}).get("NominalMagnification", "")
    if _number(str(lens)) is not None:
        found.keep("objective_magnification", _number(str(lens)))


def _may_tell(key: str, value: str, found: Kept) -> bool:
    """Numbers may be long where a number belongs, but not in a name."""
    return found.may_tell(value) or (key not in OME_NAMES and NUMBER.fullmatch(value) is not None)


def _layout(name: str, element: ET.Element, found: Kept) -> None:
    """Elements that place pixels: only what a program adds of its own there is private."""
    private = {"FileName", "Creator", "UUID"} & set(element.attrib)
    for key in private:
        found.private(f"OME {name} {key}", element.attrib[key])
    if name == "UUID" and element.text:
        found.private("OME UUID", element.text)
