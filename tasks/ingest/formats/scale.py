"""How large a pixel is, how far sections and moments are apart, and what the channels are called."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from tasks import store
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import tiff
from tasks.ingest.formats.axes import Grid
from tasks.ingest.formats.metadata import MODEL
from tasks.ingest.params import IngestParams

UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "nm": 1e-3, "pm": 1e-6}
UM |= {"mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "inch": 25400.0, "in": 25400.0}
SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
INCH_UM, CM_UM = 25400.0, 10000.0
PLAUSIBLE_UM = (0.001, 100.0)
"""A screen's 72 dots an inch is no microscope's resolution."""
COLOURS = ("FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF", "FFFFFF")
"""Of channels that say none: red, green, blue, yellow, magenta, cyan, grey, then again."""


@dataclass(frozen=True)
class Scale:
    """Micrometres a pixel and between sections, seconds between moments; None where the file does not say."""

    pixel_um: float | None
    z_um: float | None
    t_s: float | None


def scale_of(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, params: IngestParams) -> Scale:
    """From Aperio's description, OME-XML, ImageJ's description or the resolution tags, else the params.

    Raises `BadFile` where x and y differ by more than 1 %: rawmill's pixels are square.
    """
    page = series.keyframe.aspage()
    pixels = ome_pixels(tif, series)
    if pixels is not None:
        sizes, z_um, t_s = _ome_size(pixels), _ome_value(pixels, "PhysicalSizeZ", UM), _ome_time(pixels)
    elif tif.is_imagej:
        sizes, z_um, t_s = _imagej(tif.imagej_metadata or {}, page)
    else:
        sizes, z_um, t_s = _aperio(tif, page), None, None
    sizes = sizes or (None if tif.is_imagej else _resolution(page))
    return Scale(_square(sizes, path) or params.pixel_size_um, z_um, t_s)


def _square(sizes: tuple[float, float] | None, path: Path) -> float | None:
    if sizes is None:
        return None
    y, x = sizes
    if abs(y / x - 1) > 0.01:
        raise BadFile(path, f"pixels of {y:g} x {x:g} um", "square pixels", "resample it")
    return math.sqrt(x * y) if x != y else x


def _plausible(y: float | None, x: float | None) -> tuple[float, float] | None:
    low, high = PLAUSIBLE_UM
    return (y, x) if y is not None and x is not None and low <= y <= high and low <= x <= high else None


def _aperio(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    found = re.search(r"\bMPP\s*=\s*([0-9]+(?:\.[0-9]+)?)", page.description) if tif.is_svs else None
    return _plausible(float(found[1]), float(found[1])) if found else None


def ome_pixels(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> ET.Element | None:
    """The element `Pixels` of the image of `series` in OME-XML (OME 2016-06): of its size, best of its name."""
    if not tif.is_ome or not tif.ome_metadata:
        return None
    try:
        images = list(ET.fromstring(tif.ome_metadata).iterfind("{*}Image"))
    except ET.ParseError:
        return None
    page = series.keyframe
    size = {"SizeX": str(page.imagewidth), "SizeY": str(page.imagelength)}
    found = [(i.get("Name") == series.name, p) for i in images for p in i.iterfind("{*}Pixels")]
    fitting = [(named, p) for named, p in found if size.items() <= p.attrib.items()] or found
    return max(fitting, key=lambda item: item[0])[1] if fitting else None


def _ome_value(pixels: ET.Element, name: str, units: Mapping[str, float]) -> float | None:
    """A positive attribute with its unit; micrometre and second unless it says otherwise."""
    try:
        value = float(pixels.attrib[name]) * units[pixels.attrib.get(f"{name}Unit", "µm" if units is UM else "s")]
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _ome_size(pixels: ET.Element) -> tuple[float, float] | None:
    return _plausible(*(_ome_value(pixels, f"PhysicalSize{a}", UM) for a in "YX"))


def _ome_time(pixels: ET.Element) -> float | None:
    return _ome_value(pixels, "TimeIncrement", SECONDS)


def _imagej(
    words: Mapping[str, Any], page: tifffile.TiffPage
) -> tuple[tuple[float, float] | None, float | None, float | None]:
    """ImageJ writes pixels a unit into the resolution tags, and the unit, section and interval as text."""
    factor = UM.get(str(words.get("unit", "")).replace("\\u00B5", "µ"))
    sizes = None
    if factor is not None and 282 in page.tags and 283 in page.tags:
        x, y = (tiff.rational(page.tags[code].value)[0] for code in (282, 283))
        sizes = _plausible(factor / y, factor / x) if x > 0 and y > 0 else None
    z_um = _number(words.get("spacing"), factor)
    return sizes, z_um, _number(words.get("finterval"), SECONDS.get(str(words.get("tunit", "sec"))))


def _number(value: Any, factor: float | None) -> float | None:
    if not isinstance(value, int | float) or factor is None:
        return None
    return float(value) * factor if math.isfinite(value) and value > 0 else None


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """From XResolution and YResolution (TIFF 6.0, pixels an inch or centimetre)."""
    unit = {2: INCH_UM, 3: CM_UM}.get(int(page.tags[296].value) if 296 in page.tags else 0)
    if unit is None or 282 not in page.tags or 283 not in page.tags:
        return None
    x, y = (tiff.rational(page.tags[code].value)[0] for code in (282, 283))
    return _plausible(unit / y, unit / x) if x > 0 and y > 0 else None


def channels_of(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, grid: Grid, deidentify: bool
) -> tuple[tuple[str, str], ...]:
    """(name, RRGGBB) of each channel: OME-XML's, else red, green and blue of RGB pages, else counted.

    By the policy a name that may be more than the name of a channel is counted too.
    """
    count = grid.shape[grid.axes.index("c")] if "c" in grid.axes else 1
    if grid.samples and count == 3 and grid.first.photometric in (2, 6):
        return store.RGB
    pixels = ome_pixels(tif, series)
    said = [] if pixels is None else [e.attrib for e in pixels if e.tag.endswith("}Channel")]
    plain = COLOURS if count > 1 else ("FFFFFF",)
    out = []
    for i in range(count):
        one = said[i] if len(said) == count else {}
        name = str(one.get("Name") or "")[:200]
        shown = name if name and (not deidentify or MODEL.fullmatch(name)) else f"channel {i}"
        out.append((shown, _colour(one.get("Color")) or plain[i % len(plain)]))
    return tuple(out)


def _colour(value: str | None) -> str | None:
    """RRGGBB of OME's signed 32-bit RGBA."""
    try:
        return None if value is None else f"{(int(value) & 0xFFFFFFFF) >> 8:06X}"
    except ValueError:
        return None
