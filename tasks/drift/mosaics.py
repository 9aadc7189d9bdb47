"""Mosaics of labelled tiles as tensors, ready for the parametrised data model, and their views through it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks import store
from tasks.contracts import FULL_SCALE_DN, Calibration
from tasks.errors import InputError, fault
from tasks.isp.border import mirror_indices
from tasks.isp.crops import read_crops
from tasks.isp.parametrised import HALO_PX, Parametrised
from tasks.learn.data import Classes, Examples, Picked, WholeMasks, area_mean, truth_of, window_of
from tasks.learn.networks import where
from tasks.learn.params import TaskParams

MODELLED = ("pattern", "black_level_dn", "white_balance", "colour_matrix")
"""What of a calibration the parametrised data model starts from (`tasks.isp.parametrised.static`)."""


@dataclass(frozen=True)
class Mosaics:
    """Tiles in the order of `ids`: mosaics (n, y, x) float32, full scale 1, with a halo of `HALO_PX` on each side;
    one camera; `truth` and `whole` as in `tasks.learn.data.Examples`."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    pixels: NDArray[np.float32]
    truth: Classes
    whole: WholeMasks | None
    calibration: Calibration

    def pick(self, rows: Sequence[int]) -> "Mosaics":
        chosen = np.asarray(list(rows), dtype=np.int64)
        ids, groups = (tuple(names[i] for i in chosen) for names in (self.ids, self.groups))
        whole = self.whole and WholeMasks(self.whole.raw, tuple(self.whole.rows[i] for i in chosen))
        return Mosaics(ids, groups, self.pixels[chosen], self.truth[chosen], whole, self.calibration)


def load(raw: Path, table: pd.DataFrame, params: TaskParams) -> Mosaics:
    """The mosaics of the tiles of `table` (rows of the raw store `raw`, by `tasks.learn.data.read_table`).

    Of each tile what `params.window_px` says. Raises `InputError` for tiles of several cameras.
    """
    rows = list(table.itertuples(index=False))
    pixels = _crops(raw, table, params) if not rows[0].item else np.stack([_framed(raw, row) for row in rows])
    masks = None if params.task == "classification" else raw
    normalised = (pixels / np.float32(FULL_SCALE_DN)).astype(np.float32)
    ids, groups = tuple(table["tile_id"]), tuple(table["group"])
    whole = None if masks is None else WholeMasks(raw, tuple(rows))
    return Mosaics(ids, groups, normalised, truth_of(table, masks, params), whole, camera(raw, table))


def camera(raw: Path, table: pd.DataFrame) -> Calibration:
    """The calibration of the tiles of `table`; of several that make the same data model, the first by item.

    Exposure, gain and white level may differ: the parametrised data model starts from none of them. Raises
    `InputError` where anything else does, such as the white balance of a camera that sets it for each frame.
    """
    places = [raw / "frames" / item if item else raw / "mosaic" for item in sorted(set(table["item"]))]
    every = [Calibration.model_validate(store.read_attributes(place)["calibration"]) for place in places]
    differing = [name for name in MODELLED if len({getattr(one, name) for one in every}) > 1]
    if differing:
        count = len({tuple(getattr(one, name) for name in MODELLED) for one in every})
        wrong = f"{count} calibrations, which differ in {' '.join(differing)}"
        remedy = "ingest the files of each calibration (of each camera and white balance) into a store of its own"
        raise InputError(fault(raw, wrong, "tiles of one camera at one setting", remedy))
    return every[0]


def _crops(raw: Path, table: pd.DataFrame, params: TaskParams) -> NDArray[np.float32]:
    """Windows of whole crops with their halo, which is mirrored where a crop ends."""
    whole = read_crops(raw / "mosaic", table["index"].to_numpy(np.int64))
    seen = window_of(whole.shape[-1], params.window_px)
    return _around(whole, seen, seen)


def _framed(raw: Path, row: Any) -> NDArray[np.float32]:
    """A frame's tile with its halo, from an even place on. Raises `InputError` for a tile at an odd one."""
    if row.y_px % 2 or row.x_px % 2:
        wrong = f"tile at {row.y_px}, {row.x_px}"
        raise InputError(fault(raw / row.item, wrong, "even rows and columns", "ingest with even tile sides"))
    array = store.open_array(raw / "frames" / row.item / "0")
    return _around(array, slice(row.y_px, row.y_px + row.height_px), slice(row.x_px, row.x_px + row.width_px))


def _around(array: Any, rows: slice, columns: slice) -> NDArray[np.float32]:
    """The window `rows` x `columns` of (…, y, x) with `HALO_PX` around it, by the ISP's mirrored continuation."""
    spans = []
    for span, side in zip((rows, columns), array.shape[-2:], strict=True):
        spans.append(mirror_indices(span.start - HALO_PX, span.stop + HALO_PX, side))
    (y, x) = spans
    read = np.asarray(array[..., y.min() : y.max() + 1, x.min() : x.max() + 1])
    return read[..., (y - y.min())[:, None], x - x.min()].astype(np.float32)


def views_of(model: Parametrised, mosaics: Tensor, input_px: int) -> Tensor:
    """Views (n, 3, input_px, input_px) in [0, 1] of mosaics with their halo, on the model's device; differentiable in
    both."""
    view: Tensor = model(mosaics.to(where(model)))[..., HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
    return area_mean(view, input_px)


def examples(model: Parametrised, mosaics: Mosaics, params: TaskParams, batch: int = 16) -> Examples:
    """The views of all `mosaics` under a fixed `model`, as examples of the network's size."""
    views = np.empty((len(mosaics.ids), 3, params.input_px, params.input_px), np.float32)
    with torch.no_grad():
        for first in range(0, len(mosaics.ids), batch):
            pixels = torch.from_numpy(mosaics.pixels[first : first + batch])
            views[first : first + batch] = views_of(model, pixels, params.input_px).cpu().numpy()
    return Examples(mosaics.ids, Picked(views, np.arange(len(views))), mosaics.truth, mosaics.whole)
