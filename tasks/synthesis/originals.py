"""Real pictures of which a region is to be made again: tiles of a raw store, or a user's picture with its region."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.store import read_attributes
from tasks.synthesis import inpaint, tiles
from tasks.synthesis.mask_files import read_png
from tasks.synthesis.params import SAME, InpaintParams

PICTURE = "picture"
"""Id of a user's picture, which is in no table."""


@dataclass(frozen=True)
class Original:
    """A real picture (3, y, x), what is annotated on it (y, x), 0 = unknown, and the region to be made again (y, x)."""

    name: str
    picture: NDArray[np.uint8]
    annotation: NDArray[np.uint8]
    region: NDArray[np.bool_]

    def asked(self, target: str, classes: Sequence[str]) -> NDArray[np.uint8]:
        """The annotation with class `target` in the region; as it is for `same`."""
        if target == SAME:
            return self.annotation
        return np.where(self.region, np.uint8(classes.index(target) + 1), self.annotation)

    def crossfade_px(self, asked: NDArray[np.uint8], feather_px: int) -> int:
        """`feather_px`, or 0 where another class is `asked` than is annotated: a rim of the old class under the new
        label would be a false label."""
        replaced = (self.annotation > 0) & (asked != self.annotation)
        return 0 if replaced.any() else feather_px


def check_store(raw: Path, classes: Sequence[str], pixel_size_um: float | None) -> None:
    """Raises `InputError` unless `raw` holds slides with the model's classes and scale."""
    about = read_attributes(raw)
    if about.get("kind") != "slides":
        wrong = f"a store of {about.get('kind')}"
        raise InputError(fault(raw, wrong, "a raw store of slides", "name one, or a picture with --image and --region"))
    if tiles.classes(raw) != list(classes):
        wrong, expected = f"classes {', '.join(tiles.classes(raw))}", f"the model's {', '.join(classes)}"
        raise InputError(fault(raw, wrong, expected, "ingest the slides with the classes of the model"))
    for slide in sorted(set(read_table(raw)["item"])):
        found = tiles.pixel_size_um(raw, slide)
        if found and pixel_size_um and abs(found / pixel_size_um - 1) > 0.05:
            wrong, expected = f"{slide} has pixels of {found:g} um", f"the model's {pixel_size_um:g} um"
            raise InputError(fault(raw, wrong, expected, "ingest the level of that scale"))


def read_table(raw: Path) -> pd.DataFrame:
    """`tiles.parquet` of a raw store, by tile id, with the column `annotated`: the fraction with a named class."""
    table = pd.read_parquet(raw / "tiles.parquet").sort_values("tile_id", ignore_index=True)
    named = [name for name in table.columns if name.startswith("fraction_")]
    return table.assign(annotated=table[named].sum(axis=1))


def of_tile(raw: Path, row: Any, region: str) -> Original:
    """The tile of a row of `read_table`, with the region that the params call `region`."""
    annotation = tiles.annotation(raw, row)
    area = inpaint.largest_area(annotation) if region == "largest" else annotation > 0
    return Original(row.tile_id, tiles.picture(raw, row), annotation, area)


def named(raw: Path, ids: Sequence[str]) -> list[str]:
    """`ids` once each. Raises `InputError` where a tile is unknown or has no annotation."""
    table = read_table(raw).set_index("tile_id")
    for name in ids:
        if name not in table.index:
            some = ", ".join(table.index[:3])
            raise InputError(fault(f"{raw}#{name}", "no such tile", f"a tile id such as {some}", "name one of these"))
        if table.loc[name, "annotated"] == 0:
            remedy = "name another tile, or cut it out and draw a region: --image, --region"
            raise InputError(fault(f"{raw}#{name}", "nothing is annotated on it", "an annotated area", remedy))
    return list(dict.fromkeys(ids))


def first_held_out(raw: Path, count: int, params: InpaintParams) -> list[str]:
    """Ids of the first `count` held-out tiles whose region is neither too small nor all there is to see.

    Raises `InputError` where there are fewer.
    """
    found = []
    for row in _held_out(raw):
        share = float(of_tile(raw, row, params.region).region.mean())
        found += [row.tile_id] if params.region_fractions[0] <= share <= params.region_fractions[1] else []
        if len(found) == count:
            return found
    low, high = params.region_fractions
    wrong = f"{len(found)} held-out tiles with a region of {low:g} to {high:g} of the tile"
    raise InputError(fault(raw, wrong, f"{count}", "ask for fewer, or change region_fractions in the params"))


def _held_out(raw: Path) -> Iterator[Any]:
    table = read_table(raw)
    yield from table[(table["split"] == "test") & (table["annotated"] > 0)].itertuples(index=False)


def tile(raw: Path, name: str, region: str) -> Original:
    """The tile called `name`; see `of_tile`."""
    table = read_table(raw)
    return of_tile(raw, next(table[table["tile_id"] == name].itertuples(index=False)), region)


def drawn(picture: Path, region: Path) -> Original:
    """A user's picture, on which nothing is annotated, with the region that a PNG shows by any value but 0.

    Raises `InputError` where either cannot be read, sizes differ or the region is empty.
    """
    pixels, area = read_rgb(picture), read_png(_there(region), 255) > 0
    if area.shape != pixels.shape[1:]:
        expected = f"{pixels.shape[1]} x {pixels.shape[2]} px (height x width) of {picture.name}"
        raise InputError(fault(region, f"{area.shape[0]} x {area.shape[1]} px", expected, "draw it on the picture"))
    if not area.any():
        raise InputError(fault(region, "empty: all of it is 0", "a pixel of another value", "mark what to make again"))
    return Original(PICTURE, pixels, np.zeros(area.shape, np.uint8), area)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Pixels (3, y, x) of an 8-bit RGB file. Raises `InputError`."""
    from PIL import Image, UnidentifiedImageError

    expected = "an 8-bit RGB picture, PNG, TIFF or JPEG"
    try:
        with Image.open(_there(path), formats=["PNG", "TIFF", "JPEG"]) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise InputError(fault(path, " ".join(str(error).split())[:200], expected, "save it again")) from None
    if mode != "RGB":
        raise InputError(fault(path, f"a picture of mode {mode}", expected, "save it as RGB"))
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(fault(path, "not there", "a file", "name one with --image and its region with --region"))
    return path
