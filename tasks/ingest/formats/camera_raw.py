"""Raw files of cameras: the visible mosaic as it was, and the camera's constants; DNG by `dng`, others by LibRaw.

LibRaw gives black levels in its colour order R, G, B, G2; `raw_colors` says which site has which colour, so
`black[raw_colors]` is the mosaic order whatever the pattern.
Start workers by spawn: LibRaw's OpenMP deadlocks after fork.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import rawpy
from numpy.typing import NDArray

from tasks.contracts import Calibration, Pattern, Triple
from tasks.ingest.bad import AGAIN, BadFile, too_large
from tasks.ingest.formats import dng
from tasks.ingest.formats.calibration import spare_bits
from tasks.ingest.formats.metadata import Kept
from tasks.ingest.formats.mosaic import Mosaic
from tasks.ingest.formats.picture import DECODER as PICTURE_DECODER
from tasks.ingest.params import IngestParams

DECODER = f"rawpy {version('rawpy')} (LibRaw {'.'.join(map(str, rawpy.libraw_version))})"
OTHER_CFA = "convert it with a tool that knows this sensor, or leave it out"


@contextmanager
def opened(path: Path) -> Iterator[rawpy.RawPy]:
    """The raw file at `path`; `BadFile` with LibRaw's own words where it cannot be opened or unpacked."""
    try:
        with rawpy.imread(str(path)) as raw:
            yield raw
    except rawpy.LibRawError as error:
        words = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error.args[0])
        raise BadFile(path, f"LibRaw cannot read it: {words.lower()}", "a raw file that LibRaw reads", AGAIN) from None


def pattern_of(raw: rawpy.RawPy, path: Path) -> Pattern:
    """The Bayer pattern at the corner of the visible area. Raises `BadFile` on any other filter array."""
    if raw.raw_type != rawpy.RawType.Flat or raw.raw_pattern is None or raw.raw_pattern.shape != (2, 2):
        raise BadFile(path, "no Bayer mosaic in it", "a 2x2 Bayer pattern", OTHER_CFA)
    letters = raw.color_desc.decode()
    found = "".join(letters[i] for i in raw.raw_colors_visible[:2, :2].ravel())
    for pattern in get_args(Pattern):
        if pattern == found:
            return pattern  # type: ignore[no-any-return]
    raise BadFile(path, f"the colour pattern {found}", "RGGB, BGGR, GRBG or GBRG", OTHER_CFA)


def decode(path: Path, is_dng: bool, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    """The mosaic of the raw file at `path` with its calibration. Raises `BadFile`."""
    return (_decode_dng if is_dng else _decode_raw)(path, calibration, params)


def _decode_dng(path: Path, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    tags = dng.read_tags(path, params)
    _check_pattern(path, tags.pattern, calibration)
    pixels = dng.read_mosaic(path, tags)
    known = calibration or _from_tags(path, tags.pattern, pixels, tags)
    said = {**tags.metadata, "left_justified_bits": known.left_justified_bits}
    return Mosaic("DNG", pixels, known, said, tags.dropped, PICTURE_DECODER)


def _decode_raw(path: Path, calibration: Calibration | None, params: IngestParams) -> Mosaic:
    with opened(path) as raw:
        too_large(path, raw.sizes.raw_height, raw.sizes.raw_width, params.most_frame_pixels, "most_frame_pixels")
        pattern = pattern_of(raw, path)
        _check_pattern(path, pattern, calibration)
        pixels = np.array(raw.raw_image_visible, np.uint16)
        known = calibration or _from_libraw(path, raw, pattern, pixels)
        kept, dropped = _metadata(raw, params.deidentify)
    said = {**kept, "left_justified_bits": known.left_justified_bits}
    return Mosaic("camera raw", pixels, known, said, dropped, DECODER)


def _check_pattern(path: Path, pattern: Pattern, calibration: Calibration | None) -> None:
    if calibration is not None and calibration.pattern != pattern:
        remedy = "mend calibration.json or leave the file out"
        raise BadFile(path, f"the colour pattern {pattern}", f"{calibration.pattern} as calibration.json says", remedy)


def _metadata(raw: rawpy.RawPy, deidentify: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What LibRaw says of the picture; it reads no other tags, so that none can pass."""
    found = Kept(deidentify)
    found.keep("orientation_libraw_flip", int(raw.sizes.flip))
    numbers = {"iso": raw.other.iso_speed, "exposure_s": raw.other.shutter_speed, "f_number": raw.other.aperture}
    for key, value in {**numbers, "focal_length_mm": raw.other.focal_length}.items():
        found.keep(key, _known(value))
    found.keep_text("lens_make", "lens make", raw.lens.make)
    found.keep_text("lens_model", "lens model", raw.lens.model)
    found.private("artist", raw.other.artist)
    if raw.other.timestamp.timestamp() > 0:
        found.private("timestamp", raw.other.timestamp.isoformat())
    return found.kept, tuple(sorted(found.dropped))


def _from_tags(path: Path, pattern: Pattern, pixels: NDArray[np.uint16], tags: dng.DngTags) -> Calibration:
    """From a DNG's own tags. Raises `BadFile` where they do not say enough to develop it."""
    if tags.white_balance is None:
        raise BadFile(path, "no white balance (AsShotNeutral)", "one in the file", dng.GIVE)
    if tags.colour_matrix is None:
        raise BadFile(path, "no usable ColorMatrix1", "a colour matrix in the file", dng.GIVE)
    return _calibration(
        path,
        pattern=pattern,
        black_level_dn=tags.black_level_dn,
        white_level_dn=tags.white_level_dn,
        white_balance=tags.white_balance,
        colour_matrix=tags.colour_matrix,
        exposure_s=tags.exposure_s,
        iso=tags.iso,
        gain_dn_per_e=tags.gain_dn_per_e,
        left_justified_bits=spare_bits(pixels),
    )


def _from_libraw(path: Path, raw: rawpy.RawPy, pattern: Pattern, pixels: NDArray[np.uint16]) -> Calibration:
    """For formats whose tags only LibRaw knows."""
    sites = raw.raw_colors_visible[:2, :2].ravel()
    black = np.asarray(raw.black_level_per_channel, float)[sites]
    red, green, blue = (float(v) for v in raw.camera_whitebalance[:3])
    if min(red, green, blue) <= 0:
        raise BadFile(path, f"white balance {red:g}, {green:g}, {blue:g}", "three positive factors", dng.GIVE)
    balance: Triple = (red / green, 1.0, blue / green)
    return _calibration(
        path,
        pattern=pattern,
        black_level_dn=black.tolist(),
        white_level_dn=raw.white_level,
        white_balance=balance,
        colour_matrix=np.asarray(raw.color_matrix, float)[:, :3].tolist(),
        exposure_s=_known(raw.other.shutter_speed),
        iso=_known(raw.other.iso_speed),
        gain_dn_per_e=None,
        left_justified_bits=spare_bits(pixels),
    )


def _known(value: float) -> float | None:
    """LibRaw keeps float32: the shortest number that is this one there, as the camera wrote it."""
    return float(str(np.float32(value))) if value > 0 else None


def _calibration(path: Path, **fields: object) -> Calibration:
    try:
        return Calibration.model_validate(fields)
    except ValueError:
        raise BadFile(path, "camera constants that cannot be", "finite numbers in 16 bits", dng.GIVE) from None
