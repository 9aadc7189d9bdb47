"""Stained sections to pyramidal TIFF with annotations: the work of one slide."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks import rng
from tasks.acquire import annotations, optics, sensor, tissue
from tasks.acquire.fields import smooth
from tasks.acquire.params import SlidesParams
from tasks.contracts import FULL_SCALE_DN
from tasks.disk import storage_faults
from tasks.store import halve

Row = dict[str, object]
PICTURES = ("tissue",)
DARK_DN = 512.0


def items(params: SlidesParams) -> list[str]:
    return [f"slide{k + 1}" for k in range(params.slides)]


def setup(content: Path, params: SlidesParams) -> None:
    """Nothing beforehand: a slide carries its pixel size and is in display RGB."""


def scan(light: NDArray[np.float32], params: SlidesParams, name: str) -> NDArray[np.uint8]:
    """The display picture (3, y, x) uint8 that a three-chip scanner makes of linear `light` (3, y, x)."""
    image = optics.blur(light, optics.sigma_from_fwhm(params.psf_fwhm_um, params.pixel_um))
    black = np.full((1, 1, 1), DARK_DN, np.float32)
    raw = sensor.read_out(sensor.electrons(image, params.scanner, 1.0), black, params.scanner, params.seed, name)
    developed = tissue.display((raw.astype(np.float32) - np.float32(DARK_DN)) / np.float32(FULL_SCALE_DN))
    return np.asarray(np.rint(developed * 255).astype(np.uint8))


def write_pyramid(path: Path, picture: NDArray[np.uint8], params: SlidesParams) -> Path:
    """`picture` (3, y, x) as a tiled JPEG TIFF; level 0 in the first page, the smaller levels in its SubIFDs."""
    options: dict[str, Any] = {
        "photometric": "rgb",
        "planarconfig": "contig",
        "tile": (params.tile_px, params.tile_px),
        "compression": "jpeg",
        "compressionargs": {"level": params.jpeg_quality},
        "resolutionunit": "CENTIMETER",
        "software": False,
        "metadata": None,
    }
    with storage_faults(path), tifffile.TiffWriter(path, byteorder="<") as writer:
        place: dict[str, Any] = {"subifds": params.levels - 1, "description": description(path.stem, params)}
        for level in range(params.levels):
            per_cm = 1e4 / (params.pixel_um * 2**level)
            pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
            writer.write(pixels, resolution=(per_cm, per_cm), **options, **place)
            place = {"subfiletype": 1}
            picture = halve(picture, label=False)
    return path


def description(name: str, params: SlidesParams) -> str:
    """The text of ImageDescription: what this is, and its pixel size in micrometres."""
    return json.dumps({"rawmill_sample": name, "mpp_um": params.pixel_um, "stain": "H&E"}, sort_keys=True)


def make(content: Path, params: SlidesParams, item: str) -> tuple[list[Path], list[Row]]:
    """The TIFF and the annotations of slide `item`, and its manifest row."""
    source = rng.generator(params.seed, item, "regions")
    subtype = tissue.subtype_of(params, item)
    classes = tissue.regions(params, params.subtypes[subtype], source)
    interest = smooth((params.side_px, params.side_px), params.side_px / 4, source)
    seen = annotations.seen_by_annotator(classes, interest, params.annotated_fraction)
    picture = scan(tissue.paint(params, item, classes), params, item)
    tiff = write_pyramid(content / f"{item}.tif", picture, params)
    drawn = annotations.write(content / f"{item}.geojson", seen, params.classes)
    row: Row = {"file": tiff.name, "id": item, "group": item, "label": "", "mask": drawn.name, "intensity": 1.0}
    return [tiff, drawn], [{**row, "subtype": subtype}]
