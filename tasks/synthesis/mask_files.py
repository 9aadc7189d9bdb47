"""Users' masks: PNG, label raster in TIFF, or a label image of a rawmill store; the last two are read by window."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.ingest.formats import segments, tiff
from tasks.ingest.formats.sniff import TIFF_MAGIC
from tasks.lineage.digest import RECIPE
from tasks.lineage.recipe import artefact, source_file
from tasks.store import open_array, read_attributes
from tasks.synthesis.cleaning import Classes

MOST_PNG_PIXELS = 80_000_000
"""A PNG is decoded whole; larger masks are read by window from a TIFF or a store."""
MOST_SEGMENT_PIXELS = 30_000_000
BAND = 512
Read = Callable[[tuple[slice, ...]], Classes]


@dataclass(frozen=True)
class Given:
    """A user's mask of `size_px` (height, width), read by window; a counterpart of `masks.Mask`."""

    size_px: tuple[int, int]
    read: Read
    source: tuple[str, ...] = ()
    subtype: str = ""
    origin: str = "given"


def entry(path: Path, out: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    """The input entry of a mask: a file, or the store that a label image is `inside` of. Raises `InputError`.

    Also where the store's classes are not the model's, and the errors of `tasks.lineage.recipe.artefact`.
    """
    if path.is_file():
        return source_file("mask", path, out)
    if not path.is_dir():
        remedy = "name one with --mask"
        raise InputError(fault(path, "not there", "a PNG or TIFF of class indices, or a label image", remedy))
    root = next((parent for parent in (path, *path.absolute().parents) if (parent / RECIPE).is_file()), None)
    if root is None:
        expected = "a label image of a rawmill store, such as raw.zarr/slides/a/labels/annotation"
        raise InputError(fault(path, "a folder outside of any rawmill store", expected, "name one with --mask"))
    found = tuple(str(name) for name in read_attributes(root).get("classes", ()))
    if found != classes:
        wrong = f"masks of the classes {', '.join(found) or 'none'}"
        raise InputError(fault(path, wrong, ", ".join(classes), "use masks of the model's classes"))
    return {**artefact("mask", root, out), "inside": path.absolute().relative_to(root.absolute()).as_posix()}


def given(path: Path, classes: int) -> Given:
    """A user's mask as it is: class indices 0 … `classes`. Raises `InputError` where it is none; see `checked`."""
    if path.is_dir():
        return _label_image(path)
    with path.open("rb") as file:
        head = file.read(4)
    return _tiff(path, classes) if head in TIFF_MAGIC else _png(path, classes)


def checked(path: Path, classes: int) -> Given:
    """`given`, once all its pixels have been seen to be class indices. Raises `InputError`."""
    found = given(path, classes)
    height, width = found.size_px
    for top in range(0, height, BAND):
        band = found.read((slice(top, min(top + BAND, height)), slice(0, width)))
        if int(band.max(initial=0)) > classes:
            raise _foreign(path, int(band.max()), classes)
    return found


def _foreign(path: Path, value: int, classes: int) -> InputError:
    return InputError(fault(path, f"class {value}", f"0 to {classes}", "map it to the model's classes"))


def _label_image(path: Path) -> Given:
    array = open_array(path / "0")
    if len(array.shape) != 2 or array.dtype != np.uint8:
        wrong = f"an array of {len(array.shape)} axes and dtype {array.dtype}"
        raise InputError(fault(path, wrong, "a label image (y, x) of uint8", "name one with --mask"))
    return Given((array.shape[0], array.shape[1]), lambda window: np.asarray(array[window]))


def _tiff(path: Path, classes: int) -> Given:
    """The first page of a TIFF: one channel of 8 or 16 bits, in tiles or strips. Raises `InputError`."""
    with tiff.opened(path) as tif:
        first = tiff.first_page(tif, path)
        if first.dtype not in (np.uint8, np.uint16) or first.samplesperpixel != 1:
            wrong = f"{first.samplesperpixel} channels of {first.dtype}"
            expected = f"one channel of class indices 0 to {classes} in 8 or 16 bits"
            raise InputError(fault(path, wrong, expected, "export it again"))
        page = tiff.page_of(first, path, MOST_SEGMENT_PIXELS)
    segments.check_codec(page, path)
    segments.check_piece(page, path)
    return Given((page.height, page.width), lambda window: _pixels(page, path, window, classes))


def _pixels(page: tiff.Page, path: Path, window: tuple[slice, ...], classes: int) -> Classes:
    rows, columns = window
    out: NDArray[Any] = np.empty((1, rows.stop - rows.start, columns.stop - columns.start), page.dtype)
    file = os.open(path, os.O_RDONLY)
    try:
        segments.read_into(out, page, file, path, rows, columns)
    finally:
        os.close(file)
    if int(out.max(initial=0)) > classes:  # before 16 bits become 8
        raise _foreign(path, int(out.max()), classes)
    return np.asarray(out[0], np.uint8)


def _png(path: Path, classes: int) -> Given:
    mask = read_png(path, classes)
    return Given((mask.shape[0], mask.shape[1]), lambda window: np.array(mask[window]))


def read_png(path: Path, classes: int) -> Classes:
    """A user's mask: a single-channel PNG of 8 bits or 1, class indices 0 … classes. Raises `InputError`."""
    from PIL import Image, UnidentifiedImageError

    expected = f"a single-channel 8-bit PNG of class indices 0 to {classes}"
    _check_size(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, mask = image.mode, np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:  # too long texts: a ValueError
        raise InputError(fault(path, " ".join(str(error).split())[:200], expected, "save it again")) from None
    mask = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    if mode not in ("1", "L", "P") or mask.dtype != np.uint8:
        raise InputError(fault(path, f"a PNG of mode {mode}", expected, "save it again"))
    if int(mask.max(initial=0)) > classes:
        raise _foreign(path, int(mask.max()), classes)
    return mask


def _check_size(path: Path) -> None:
    """Asked before memory is taken: a PNG's header says its size."""
    with path.open("rb") as file:
        head = file.read(24)
    width, height = struct.unpack(">II", head[16:24]) if len(head) == 24 else (0, 0)
    if head.startswith(b"\x89PNG") and width * height > MOST_PNG_PIXELS:
        remedy = "save it as a tiled TIFF, which is read by window, or use a label image of a store"
        raise InputError(fault(path, f"{height} x {width} pixels", f"a PNG of at most {MOST_PNG_PIXELS}", remedy))
