"""Small source files in the real formats, with known truth, and the params to ingest them."""

import csv
import json
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts import Calibration
from tasks.ingest.formats.calibration import XYZ_FROM_SRGB
from tasks.ingest.params import IngestParams

CFA_PATTERN = {"RGGB": (0, 1, 1, 2), "BGGR": (2, 1, 1, 0), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1)}
BLACK_DN = (100.25, 201.0, 302.5, 403.0)
NEUTRAL = (0.5, 1.0, 0.625)
SRGB_CAMERA = np.linalg.inv(XYZ_FROM_SRGB)
"""ColorMatrix1 of a camera that sees linear sRGB."""
APERIO = "Aperio Image Library v11.2.1\r\n{size} (240x240) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990|Left = 25.7"


def rng(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def mosaic_of(height: int, width: int, key: int = 1) -> NDArray[np.uint16]:
    """A 12-bit mosaic left-justified in 16 bits."""
    return (rng(key).integers(0, 4096, (height, width)) * 16).astype(np.uint16)


def picture_of(height: int, width: int, key: int = 1) -> NDArray[np.uint8]:
    """A smooth RGB picture (y, x, c) with a dark disc of tissue on bright glass."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    disc = (y - height / max(height, width) / 2) ** 2 + (x - width / max(height, width) / 2) ** 2 < 0.1
    tissue = np.stack([180 + 30 * np.sin(9 * x), 90 + 30 * np.sin(7 * y), 160 + 20 * np.sin(5 * (x + y))], axis=-1)
    noise = rng(key).integers(-4, 5, (height, width, 1))
    return np.clip(np.where(disc[..., None], tissue, 242) + noise, 0, 255).astype(np.uint8)


def calibration(**changes: Any) -> Calibration:
    known: dict[str, Any] = {
        "pattern": "RGGB",
        "black_level_dn": BLACK_DN,
        "white_level_dn": 65520.0,
        "white_balance": (2.0, 1.0, 1.6),
        "colour_matrix": ((1.5, -0.3, -0.2), (-0.2, 1.7, -0.5), (0.0, -0.3, 1.3)),
        "exposure_s": 0.01,
        "iso": None,
        "gain_dn_per_e": 8.448,
        "left_justified_bits": 4,
    }
    return Calibration.model_validate({**known, **changes})


def write_calibration(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(calibration(**changes).model_dump(mode="json")), encoding="utf-8")
    return path


def _ratios(values: Sequence[float]) -> tuple[int, ...]:
    pairs = [Fraction(float(v)).limit_denominator(10**6) for v in values]
    return tuple(n for f in pairs for n in (f.numerator, f.denominator))


def dng_tags(pattern: str = "RGGB", matrix: NDArray[np.float64] = SRGB_CAMERA) -> dict[int, tuple[Any, ...]]:
    """Extra tags of a DNG by code: (code, dtype, count, value, written once)."""
    tags: list[tuple[Any, ...]] = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes(CFA_PATTERN[pattern]), True),
        (33434, 5, 1, (1, 500), True),
        (34855, 3, 1, 200, True),
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50708, 2, 0, "rawmill test camera", True),
        (50713, 3, 2, (2, 2), True),
        (50714, 5, 4, _ratios(BLACK_DN), True),
        (50717, 4, 1, 65520, True),
        (50721, 10, 9, _ratios(matrix.ravel().tolist()), True),
        (50728, 5, 3, _ratios(NEUTRAL), True),
        (51041, 12, 2, (1.3e-4, 1e-7), True),
    ]
    return {tag[0]: tag for tag in tags}


def write_dng(
    path: Path,
    mosaic: NDArray[Any],
    tags: Mapping[int, tuple[Any, ...]] | None = None,
    photometric: str = "CFA",
    compression: int | None = None,
    **options: Any,
) -> Path:
    lossless = {"lossless": True, "bitspersample": 16} if compression == 7 else None
    extra = list((dng_tags() if tags is None else tags).values())
    tifffile.imwrite(
        path,
        mosaic,
        photometric=photometric,
        compression=compression,
        compressionargs=lossless,
        subfiletype=0,
        extratags=extra,
        metadata=None,
        software=False,
        **options,
    )
    return path


def write_tiff(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, software=False, **options)
    return path


def write_slide(path: Path, picture: NDArray[np.uint8], tile: int = 64, um: float = 0.5, **options: Any) -> Path:
    """A generic tiled pyramidal TIFF with resolution tags."""
    settings: dict[str, Any] = {"tile": (tile, tile), "photometric": "rgb", "compression": "zlib", **options}
    per_cm = (1e4 / um, 1e4 / um)
    with tifffile.TiffWriter(path) as tif:
        tif.write(picture, subifds=1, resolution=per_cm, resolutionunit=3, metadata=None, **settings)
        tif.write(picture[::2, ::2], subfiletype=1, metadata=None, **settings)
    return path


def write_svs(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Laid out as Aperio's scanners do: baseline in JPEG tiles, thumbnail, label, macro."""
    jpeg: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95}}
    height, width = picture.shape[:2]
    words = APERIO.format(size=f"{width}x{height}")
    with tifffile.TiffWriter(path) as tif:
        tif.write(picture, tile=(48, 48), description=words, metadata=None, **jpeg)
        tif.write(picture[::4, ::4], rowsperstrip=16, description=words, metadata=None, **jpeg)
        label = np.full((40, 30, 3), 200, np.uint8)
        tif.write(label, subfiletype=1, compression="lzw", rowsperstrip=7, description="label", metadata=None)
        tif.write(picture[::8, ::4], subfiletype=9, rowsperstrip=16, description="macro", metadata=None, **jpeg)
    return path


def write_ndpi(path: Path, pictures: Mapping[float, NDArray[np.uint8]], um: float) -> Path:
    """Laid out as Hamamatsu's scanners do (TIFF with 64-bit offsets): one uncompressed strip a magnification.

    An entry's value has its upper 32 bits after the offset of the next directory. Tag 65427 holds a private text.
    """
    body, previous = bytearray(b"II*\x00" + bytes(8)), 4
    for magnification, picture in pictures.items():
        pixels = len(body)
        body += picture.tobytes()
        size = len(body)
        body += struct.pack("<HHH", 8, 8, 8) + b"Hamamatsu\x00" + struct.pack("<II", round(1e4 / um * 1000), 1000)
        value = struct.unpack("<I", struct.pack("<f", magnification))[0]
        entries = [
            (254, 4, 1, 0), (256, 4, 1, picture.shape[1]), (257, 4, 1, picture.shape[0]), (258, 3, 3, size),
            (259, 3, 1, 1), (262, 3, 1, 2), (271, 2, 10, size + 6), (273, 4, 1, pixels), (277, 3, 1, 3),
            (278, 4, 1, picture.shape[0]), (279, 4, 1, picture.nbytes), (282, 5, 1, size + 16), (283, 5, 1, size + 16),
            (284, 3, 1, 1), (296, 3, 1, 3), (65420, 4, 1, 1), (65421, 11, 1, value),
            (65427, 2, 4, int.from_bytes(b"Doe\0", "little")),
        ]  # fmt: skip
        struct.pack_into("<Q", body, previous, len(body))
        body += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        previous = len(body)
        body += bytes(8 + 4 * len(entries))
    path.write_bytes(body)
    return path


def write_png(path: Path, values: NDArray[np.uint8]) -> Path:
    Image.fromarray(values).save(path)
    return path


def feature(name: str, kind: str, coordinates: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def write_geojson(path: Path, features: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}), encoding="utf-8")
    return path


def write_manifest(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows need `file` and `id`; the group is the id unless given."""
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = ("file", "id", "group", "label", "mask", "intensity")
        more = ("subtype",) if any("subtype" in row for row in rows) else ()
        writer = csv.DictWriter(file, (*columns, *more), restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({"group": row["id"], "label": "", "mask": "", "intensity": "1.0", **row})
    return path


def params(kind: str = "auto", **changes: Any) -> IngestParams:
    known: dict[str, Any] = {
        "kind": kind,
        "deidentify": False,
        "jpeg": "recode",
        "stack_axis": None,
        "mask_values": "index",
        "classes": None,
        "source_classes": [],
        "merge": {},
        "unknown_class": "refuse",
        "tile_sides_px": [64],
        "tile_overlap_px": 0,
        "least_tissue": 0.0,
        "least_label": 0.0,
        "test_groups": 0,
        "folds": 1,
        "most_frame_pixels": 1_000_000,
        "most_slide_pixels": 10_000_000,
        "most_annotation_bytes": 1_000_000,
        "pixel_size_um": None,
        "smallest_level_px": 64,
        "associated": ["thumbnail", "label", "macro"],
        "tissue": {
            "longest_side_px": 128,
            "blur_sigma_px": 1.0,
            "density_least": 0.04,
            "density_most": 0.08,
            "hole_px": 8,
        },
        "crate": {"date_published": "2026-01-01", "licence": None},
    }
    return IngestParams.model_validate({**known, **changes})


def crops_folder(folder: Path, count: int = 5, side: int = 32) -> Path:
    """A dataset of crops of two classes from as many groups."""
    folder.mkdir(parents=True, exist_ok=True)
    write_calibration(folder / "calibration.json")
    for i in range(count):
        write_tiff(folder / f"c{i}.tif", mosaic_of(side, side, key=i))
    rows = [{"file": f"c{i}.tif", "id": f"c{i}", "label": "AB"[i % 2]} for i in range(count)]
    write_manifest(folder, rows)
    return folder


def frames_folder(folder: Path, count: int = 3, height: int = 96, width: int = 128) -> Path:
    """A dataset of DNG frames with PNG masks of one class, `car`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        write_dng(folder / f"f{i}.dng", mosaic_of(height, width, key=i))
        mask = np.zeros((height, width), np.uint8)
        mask[10 * i + 5 : 10 * i + 20, 30:60] = 1
        write_png(folder / f"f{i}-mask.png", mask)
        rows.append({"file": f"f{i}.dng", "id": f"f{i}", "mask": f"f{i}-mask.png"})
    write_manifest(folder, rows)
    return folder


def slides_folder(folder: Path, count: int = 2, height: int = 200, width: int = 260) -> Path:
    """A dataset of tiled TIFF slides with GeoJSON polygons of two classes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        write_slide(folder / f"s{i}.tif", picture_of(height, width, key=i))
        shapes = [
            feature("tumour", "Polygon", [box(60, 50, 120, 130)]),
            feature("stroma", "Polygon", [box(120, 50, 180, 130)]),
        ]
        write_geojson(folder / f"s{i}.geojson", shapes)
        rows.append({"file": f"s{i}.tif", "id": f"s{i}", "mask": f"s{i}.geojson"})
    write_manifest(folder, rows)
    return folder


FOLDERS = {"crops": crops_folder, "frames": frames_folder, "slides": slides_folder}
PARAMS = {
    "crops": lambda: params("crops", tile_sides_px=[]),
    "frames": lambda: params("frames", source_classes=["car"], classes=["car"]),
    "slides": lambda: params("slides", classes=["tumour", "stroma"]),
}
