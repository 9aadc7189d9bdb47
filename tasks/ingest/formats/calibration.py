"""Calibrations that stand beside the pictures, and what a DNG says in other words."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.contracts import Calibration
from tasks.ingest.bad import BadFile

XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ, white D65 (IEC 61966-2-1)."""


MOST_BYTES = 1_000_000
"""Of a calibration, asked before it is read."""


def read_calibration(path: Path) -> Calibration:
    """The calibration in the JSON file at `path`. Raises `BadFile`, naming the first wrong field."""
    remedy = "see calibration.json in docs/data-model.md"
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadFile(path, f"{size} bytes", f"at most {MOST_BYTES} of a calibration", remedy)
        return Calibration.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadFile(path, "not there", "a calibration", remedy) from None
    except OSError as error:
        raise BadFile(path, str(error.strerror).lower(), "a calibration", remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "it"
        raise BadFile(path, f"{field}: {first['msg'].lower()}", "a calibration", remedy) from None
    except (ValueError, RecursionError):
        raise BadFile(path, "not JSON", "a calibration", remedy) from None


def srgb_from_camera(camera_from_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """White-balanced camera RGB to linear sRGB, from a DNG's ColorMatrix (XYZ to camera), both 3x3.

    camera = ColorMatrix XYZ_FROM_SRGB sRGB; each row is scaled so that white keeps all three channels at 1,
    which is what white balance does to the camera's numbers, and the result is inverted (DNG 1.4, chapter 6,
    with the white point of sRGB as the adopted white). Rows of the result sum to 1.
    """
    camera_from_srgb = camera_from_xyz @ XYZ_FROM_SRGB
    balanced = camera_from_srgb / camera_from_srgb.sum(axis=1, keepdims=True)
    return np.asarray(np.linalg.inv(balanced))


def spare_bits(mosaic: NDArray[np.uint16]) -> int:
    """How many low bits are zero in every pixel (0 to 15): 12 bits left-justified in 16 leave 4."""
    used = int(np.bitwise_or.reduce(mosaic, axis=None))
    return min(15, (used & -used).bit_length() - 1) if used else 0
