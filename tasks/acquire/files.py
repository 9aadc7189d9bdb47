"""Writers of the formats: Bayer TIFF, DNG, mask PNG, calibration and manifest. Same input, same bytes."""

import csv
from collections.abc import Iterable, Mapping
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts import Calibration, Pattern
from tasks.disk import storage_faults
from tasks.lineage.digest import pretty

COLUMNS = ("file", "id", "group", "label", "mask", "intensity")
CAMERA = "rawmill sample camera"

XYZ_FROM_SRGB = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)
"""Linear sRGB to CIE XYZ, white D65 (IEC 61966-2-1)."""

D65 = 21
"""DNG's code for the illuminant of ColorMatrix1."""

CFA_CODES: dict[Pattern, tuple[int, int, int, int]] = {
    "RGGB": (0, 1, 1, 2),
    "BGGR": (2, 1, 1, 0),
    "GRBG": (1, 0, 2, 1),
    "GBRG": (1, 2, 0, 1),
}

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 10, 12


def _rationals(values: Iterable[float], denominator: int = 1_000_000) -> tuple[int, ...]:
    return tuple(part for v in values for part in (round(v * denominator), denominator))


def colour_matrix_1(calibration: Calibration) -> NDArray[np.float64]:
    """DNG's ColorMatrix1 (3x3): CIE XYZ to camera RGB before white balance.

    Developing computes sRGB = C W camera, so camera = (C W)^-1 sRGB = (C W)^-1 XYZ_FROM_SRGB^-1 XYZ.
    """
    develop = np.asarray(calibration.colour_matrix) @ np.diag(calibration.white_balance)
    return np.asarray(np.linalg.inv(develop) @ np.linalg.inv(XYZ_FROM_SRGB))


def dng_tags(calibration: Calibration, read_noise_e: float, name: str) -> list[tuple[Any, ...]]:
    """TIFF tags that make a CFA page a DNG (specification 1.4, chapter 4), as tifffile wants them.

    Gain and read noise stand in NoiseProfile: variance = S x + O of the signal x in [0, 1].
    """
    span = calibration.white_level_dn - max(calibration.black_level_dn)
    gain = calibration.gain_dn_per_e or 0.0
    noise = (gain / span, (gain * read_noise_e / span) ** 2)
    exposure = Fraction(calibration.exposure_s or 0).limit_denominator(100_000)
    tags: list[tuple[Any, ...]] = [
        (33421, SHORT, 2, (2, 2), True),
        (33422, BYTE, 4, bytes(CFA_CODES[calibration.pattern]), True),
        (33434, RATIONAL, 1, (exposure.numerator, exposure.denominator), True),
        (34855, SHORT, 1, round(calibration.iso or 0), True),
        (50706, BYTE, 4, bytes((1, 4, 0, 0)), True),
        (50707, BYTE, 4, bytes((1, 1, 0, 0)), True),
        (50708, ASCII, 0, CAMERA, True),
        (50710, BYTE, 3, bytes((0, 1, 2)), True),
        (50711, SHORT, 1, 1, True),
        (50713, SHORT, 2, (2, 2), True),
        (50714, RATIONAL, 4, _rationals(calibration.black_level_dn, 1000), True),
        (50717, LONG, 1, round(calibration.white_level_dn), True),
        (50721, SRATIONAL, 9, _rationals(colour_matrix_1(calibration).ravel().tolist()), True),
        (50728, RATIONAL, 3, _rationals(1 / w for w in calibration.white_balance), True),
        (50778, SHORT, 1, D65, True),
        (50827, BYTE, len(name), name.encode(), True),
        (51041, DOUBLE, 2, noise, True),
    ]
    return tags


def write_dng(path: Path, mosaic: NDArray[np.uint16], calibration: Calibration, read_noise_e: float) -> Path:
    """`mosaic` (y, x) uint16 as an uncompressed DNG that LibRaw opens with identical pixels."""
    tags = dng_tags(calibration, read_noise_e, path.name)
    with storage_faults(path):
        tifffile.imwrite(
            path, mosaic, photometric="CFA", compression=None, subfiletype=0, metadata=None, software=False,
            extratags=tags, byteorder="<",
        )  # fmt: skip
    return path


def write_bayer_tiff(path: Path, mosaic: NDArray[np.uint16]) -> Path:
    """`mosaic` (y, x) uint16 as a plain grey TIFF: all else about the camera stands in calibration.json."""
    with storage_faults(path):
        tifffile.imwrite(path, mosaic, photometric="minisblack", metadata=None, software=False, byteorder="<")
    return path


def write_mask(path: Path, mask: NDArray[np.uint8]) -> Path:
    """`mask` (y, x) uint8 of class indices as an 8-bit grey PNG."""
    with storage_faults(path):
        Image.fromarray(mask).save(path, format="PNG")
    return path


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    path = folder / "calibration.json"
    with storage_faults(path):
        path.write_bytes(pretty(calibration.model_dump(mode="json")))
    return path


def write_manifest(folder: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """manifest.csv (docs/data-model.md), sorted by file; with the column `subtype` where a row has one."""
    text, lines = StringIO(), sorted(rows, key=lambda row: str(row["file"]))
    more = ["subtype"] if any("subtype" in row for row in lines) else []
    writer = csv.DictWriter(text, [*COLUMNS, *more], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    path = folder / "manifest.csv"
    with storage_faults(path):
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path
