"""What is kept of a file's tags, and what the policy `deidentify` leaves out: fail-closed, by a list of what may stay.

A tag that is not on the list may hold a name, a date or a number that leads to a patient, so its value goes and
its name stands in the receipt. With the policy off such values are kept, long ones cut, bytes by their digest.
Tags that only say how pixels are stored are neither: the store says it in its own words.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tifffile

from tasks.ingest.formats import icc, tiff

MOST_TEXT = 4096
MOST_WORDS = 200
MOST_NUMBERS = 64
DESCRIPTION, COMPRESSION, ORIENTATION, EXIF, GPS, XMP, ICC = 270, 259, 274, 34665, 34853, 700, 34675
LAYOUT = frozenset(
    {254, 255, 256, 257, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284, 292, 293, 296, 297}
    | {317, 318, 319, 320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 512, 513, 514, 515, 519, 520, 521}
    | {529, 530, 531, 532, 32996, 32997, 32998, EXIF, ICC, 50838, 65324, 65325, 65420, 65426, 65432}
)
"""Tags of the file's layout, and pointers to directories that are looked into themselves."""
CAMERA = frozenset(
    {33421, 33422, 50706, 50707, *range(50710, 50733), 50733, 50734, 50737, 50738, 50739, 50741, 50778, 50779}
    | {50780, 50829, 50830, 50879, 50880, 51008, 51009, 51022, 51041, 51125, 37398}
)
"""Constants of a DNG that its calibration holds, and others of the sensor."""
KEPT = {
    258: "bits_per_sample", 271: "make", 272: "model", ORIENTATION: "orientation", 305: "software",
    33434: "exposure_s", 33437: "f_number", 34855: "iso", 37377: "shutter_speed_apex", 37378: "aperture_apex",
    37386: "focal_length_mm", 41989: "focal_length_35mm", 42034: "lens_specification", 42035: "lens_make",
    42036: "lens_model", 50708: "camera_model", 50736: "lens_info",
    65421: "source_lens", 65424: "z_offset", 65441: "capture_mode", 65444: "jpeg_quality", 65448: "firmware",
}  # fmt: skip
EXIF_KEPT = {
    "ExposureTime": "exposure_s", "FNumber": "f_number", "ISOSpeedRatings": "iso", "PhotographicSensitivity": "iso",
    "ISOSpeed": "iso", "ShutterSpeedValue": "shutter_speed_apex", "ApertureValue": "aperture_apex",
    "FocalLength": "focal_length_mm", "FocalLengthIn35mmFilm": "focal_length_35mm", "LensMake": "lens_make",
    "LensModel": "lens_model", "LensSpecification": "lens_specification",
}  # fmt: skip
TEXT_KEYS = frozenset({"make", "model", "software", "lens_make", "lens_model", "camera_model", "firmware"})
PROGRAM = re.compile(r"[A-Za-z][A-Za-z ]{0,40} v?\d{1,4}(\.\d{1,5}){0,4}[a-z]?(?![\w.])")
"""A program and its version: no number that could be a date of birth or a patient's."""
MODEL = re.compile(r"(?!.*\d{6})[\w .\-/()+%:]{0,60}")
"""The name of a thing: short, and without a number as long as a date or an identifier."""


@dataclass
class Kept:
    """`kept` is JSON; `dropped` are names of tags and pictures, never values."""

    deidentify: bool
    kept: dict[str, Any] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)

    def keep(self, key: str, value: Any) -> None:
        """A value that may stay under the name `key`; the first one wins."""
        clean = None if value is None else plain(value, MOST_WORDS)
        if clean not in (None, "", [], {}):
            self.kept.setdefault(key, clean)

    def may_tell(self, text: str) -> bool:
        """Whether free text may stay where a list lets the name of a thing stay."""
        return not self.deidentify or MODEL.fullmatch(text) is not None

    def keep_text(self, key: str, name: str, text: str) -> None:
        """Text under a key of text: a program's version, or the name of a thing; else private under `name`."""
        fits = PROGRAM.fullmatch(text.strip()) is not None if key in ("software", "firmware") else self.may_tell(text)
        if fits or not self.deidentify:
            self.keep(key, text)
        else:
            self.private(name, text)

    def private(self, name: str, value: Any) -> None:
        """A value of which nobody knows what it tells."""
        if value in (None, "", b""):
            return
        if self.deidentify:
            self.dropped.add(name)
        else:
            self.kept.setdefault("tags", {}).setdefault(name, plain(value, MOST_TEXT))


def plain(value: Any, most: int) -> Any:
    """`value` as JSON: text cut at `most`, bytes and long lists by their SHA-256, numbers that are none as null."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, str):
        return "".join(c for c in value[:most] if c.isprintable() or c in "\r\n\t").strip()
    if isinstance(value, bool | int | np.integer):
        return int(value) if abs(int(value)) < 2**63 else str(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return plain(value.tobytes() if value.size > MOST_NUMBERS else value.tolist(), most)
    if isinstance(value, Mapping):
        return {str(k)[:MOST_WORDS]: plain(v, most) for k, v in list(value.items())[:MOST_NUMBERS]}
    if isinstance(value, list | tuple):
        return [plain(v, most) for v in value] if len(value) <= MOST_NUMBERS else plain(repr(value).encode(), most)
    return plain(str(value), most)


def tags_of(page: tifffile.TiffPage, found: Kept, described: bool = False) -> None:
    """Sort the tags of one directory and of the EXIF and GPS directories below it.

    `described`: the description is one that is looked into on its own.
    """
    for tag in page.tags:
        code = int(tag.code)
        if code in LAYOUT or code in CAMERA or (code == DESCRIPTION and described):
            _below(tag, found) if code == EXIF else None
        elif code in KEPT:
            _keep(found, KEPT[code], tag.name, tag.value, int(tag.dtype))
        elif isinstance(tag.value, Mapping):
            for name, value in tag.value.items():
                found.private(f"{tag.name} {name}"[:MOST_WORDS], value)
        else:
            found.private(tag.name, tag.value)


def _below(tag: tifffile.TiffTag, found: Kept) -> None:
    """The EXIF directory, which tifffile gives as names and values."""
    if not isinstance(tag.value, Mapping):
        return
    for name, value in tag.value.items():
        if name in EXIF_KEPT:
            kind = 5 if isinstance(value, tuple) and len(value) % 2 == 0 else 0
            _keep(found, EXIF_KEPT[name], f"EXIF {name}", value, kind)
        else:
            found.private(f"EXIF {name}"[:MOST_WORDS], value)


def _keep(found: Kept, key: str, name: str, value: Any, kind: int) -> None:
    """Keep text under keys of text, and numbers under the others: nothing else may pass as what it is not."""
    if key in TEXT_KEYS:
        if isinstance(value, str):
            found.keep_text(key, name, value)
        return
    numbers = np.atleast_1d(np.asarray(value)).ravel()
    if numbers.dtype.kind not in "iuf" or not 0 < numbers.size <= MOST_NUMBERS:
        return
    listed = [getattr(n, "item", lambda n=n: n)() for n in numbers]
    listed = list(tiff.rational(tuple(listed))) if kind in (5, 10) and len(listed) % 2 == 0 else listed
    found.keep(key, listed[0] if len(listed) == 1 else listed)


def icc_of(page: tifffile.TiffPage) -> bytes | None:
    """The colour profile (tag 34675)."""
    tag = page.tags.get(ICC)
    return bytes(tag.value) if tag is not None and isinstance(tag.value, bytes) and tag.value else None


def keep_icc(profile: bytes | None, found: Kept) -> bytes | None:
    """The colour profile that may stay: as it is, or by the policy its colours without its texts."""
    if profile and found.deidentify:
        profile, lost = icc.without_texts(profile)
        found.dropped |= lost
    found.keep("icc", profile)
    return profile


def described(pages: Iterable[tifffile.TiffPage], found: Kept) -> None:
    """Names of what stands in other pages than the picture's own: only what must go is of interest there."""
    names = Kept(True)
    for page in pages:
        tags_of(page, names)
    if found.deidentify:
        found.dropped |= names.dropped


def software(text: str) -> str | None:
    """A program and its version at the start of a description, where it is no more than that."""
    match = PROGRAM.match(text)
    return match[0].strip() if match else None
