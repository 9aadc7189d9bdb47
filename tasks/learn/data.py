"""From a variant store (and the raw store's label images) to the arrays that a network learns from."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.disk import storage_faults
from tasks.errors import InputError, fault
from tasks.learn import augment
from tasks.learn.params import AugmentParams, TaskParams
from tasks.store import open_array, read_attributes

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Picked:
    """Some rows of an array (n, 3, y, x) that may be a memory map; only what is asked for is read."""

    base: Floats
    rows: Classes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int | slice) -> Floats:
        return np.array(self.base[self.rows[at]])


@dataclass(frozen=True)
class WholeMasks:
    """Masks (y, x) int64 of the tiles `rows` of a table, at their stored size; read from the raw store when asked."""

    raw: Path
    rows: tuple[Any, ...]

    def __getitem__(self, at: int) -> Classes:
        return read_mask(self.raw, self.rows[at])


@dataclass(frozen=True)
class Examples:
    """Tiles ready for a network, in the order of `ids`: views (n, 3, y, x) float32 in [0, 1]; truth int64 class
    indices at the network's size, (n,) of a classification or (n, y, x) of a segmentation, which has the masks as
    they are stored in `whole`."""

    ids: tuple[str, ...]
    views: Picked
    truth: Classes
    whole: WholeMasks | None

    def pick(self, rows: Sequence[int]) -> "Examples":
        """The tiles at `rows`; their views stay where they are."""
        chosen = np.asarray(list(rows), dtype=np.int64)
        views = Picked(self.views.base, self.views.rows[chosen])
        whole = self.whole and WholeMasks(self.whole.raw, tuple(self.whole.rows[i] for i in chosen))
        return Examples(tuple(self.ids[i] for i in chosen), views, self.truth[chosen], whole)


def read_table(views: Path, params: TaskParams) -> pd.DataFrame:
    """The usable rows of the store's `tiles.parquet`, sorted by tile id: those with a label or a mask.

    Raises `InputError` where a label is not a class of the params, a group lies in more than one split or fold,
    tiles are not square, or nothing is left.
    """
    table: pd.DataFrame = pq.read_table(views / "tiles.parquet").to_pandas().sort_values("tile_id", kind="stable")
    known = table["label" if params.task == "classification" else "mask"] != ""
    table = table[known].reset_index(drop=True)
    where = views / "tiles.parquet"
    if table.empty:
        raise InputError(fault(where, "has no labelled tile", "some", "give labels or masks in the manifest"))
    strange = sorted(set(table["label"]) - set(params.classes)) if params.task == "classification" else []
    if strange:
        raise InputError(fault(where, f"label {strange[0]}", f"one of {', '.join(params.classes)}", "mend the params"))
    places = table[["group", "split", "fold"]].drop_duplicates()
    torn = sorted(places.loc[places["group"].duplicated(), "group"])
    if torn:
        wrong = f"group {torn[0]} is in several splits or folds"
        raise InputError(fault(where, wrong, "whole groups", "ingest again"))
    if (table["height_px"] != table["width_px"]).any():
        raise InputError(fault(where, "has tiles that are not square", "square tiles", "ingest with square tiles"))
    return table


def folds_of(table: pd.DataFrame) -> tuple[int, ...]:
    """The folds among the training tiles; `InputError` for fewer than two."""
    folds = tuple(sorted(int(f) for f in set(table.loc[table["split"] == "train", "fold"])))
    if len(folds) < 2:
        wrong = f"{len(folds)} folds of labelled training tiles"
        raise InputError(fault("tiles.parquet", wrong, "two or more", "ingest more groups or folds"))
    return folds


def roles(table: pd.DataFrame, fold: int) -> dict[str, list[int]]:
    """Row numbers of `table` per role for the model of `fold`: train, validation, test."""
    training, own = table["split"] == "train", table["fold"] == fold
    masks = {"train": training & ~own, "validation": training & own, "test": table["split"] == "test"}
    return {role: [int(i) for i in np.flatnonzero(mask)] for role, mask in masks.items()}


def check_classes(where: Path, table: pd.DataFrame, params: TaskParams, among: str = "") -> None:
    """`InputError` where a class of a classification is in no training tile of a fold: it could never be learnt.

    `where` is the file of the table, `among` ends the sentence that says what is wrong.
    """
    for fold in folds_of(table) if params.task == "classification" else ():
        absent = sorted(set(params.classes) - set(table.loc[roles(table, fold)["train"], "label"]))
        if absent:
            wrong = f"no training tile of class {absent[0]} for fold {fold}{among}"
            raise InputError(fault(where, wrong, "each class", "bring more groups or fewer folds"))


def area_mean(image: Tensor, side_px: int) -> Tensor:
    """(n, c, y, x) float32 to (n, c, side, side): each new pixel the mean of all pixels that its area touches.

    The windows, which overlap where the ratio is no whole number, are those of PyTorch's adaptive average pooling. As
    products of matrices it has a deterministic gradient on a GPU; with weights of 0 and 1, divided at the end, sums of
    whole numbers are exact.
    """
    n, c, height, width = image.shape
    if height == width == side_px:
        return image
    rows, columns = (_touched(side, side_px, image) for side in (height, width))
    planes = image.reshape(n * c, height, width)
    # Plane by plane, never all rows as one product: its sums would depend on the company that a plane is in.
    sums = torch.bmm(torch.bmm(rows.expand(n * c, -1, -1), planes), columns.T.expand(n * c, -1, -1))
    return (sums / torch.outer(rows.sum(1), columns.sum(1))).view(n, c, side_px, side_px)


def _touched(side: int, new_side: int, like: Tensor) -> Tensor:
    """(new side, side) of 0 and 1: which pixels a new pixel touches along one axis."""
    at, new = (torch.arange(k, device=like.device) for k in (side, new_side))
    first, end = new * side // new_side, -(-(new + 1) * side // new_side)
    return ((at >= first[:, None]) & (at < end[:, None])).to(like.dtype)


def resize_views(views: Floats, side_px: int) -> Floats:
    """(n, c, y, x) resized to (n, c, side, side) by `area_mean`."""
    if views.shape[-1] == views.shape[-2] == side_px:
        return views
    return np.asarray(area_mean(torch.from_numpy(views), side_px).numpy())


def resize_masks(masks: Classes, side_px: int, classes: int) -> Classes:
    """(n, y, x) class indices resized to the class with most area in each new pixel; ties go to the lower index."""
    if masks.shape[-1] == masks.shape[-2] == side_px:
        return masks
    parts = np.stack([masks == k for k in range(classes)], axis=1).astype(np.float32)
    return np.asarray(resize_views(parts, side_px).argmax(axis=1), dtype=np.int64)


def window_of(side_px: int, window_px: int | None) -> slice:
    """The middle `window_px` of `side_px`, from an even place on, so that a mosaic keeps its pattern. Raises
    `InputError` where the side is too short."""
    if window_px is None:
        return slice(0, side_px)
    if window_px > side_px:
        wrong = f"tiles of {side_px} px"
        raise InputError(fault("tiles.parquet", wrong, f"{window_px} px or more", "take a smaller window_px"))
    first = (side_px - window_px) // 4 * 2
    return slice(first, first + window_px)


def read_view(views: Path, row: Any, scale: float) -> Floats:
    """One tile's display RGB (3, y, x) float32 in [0, 1], at its stored size."""
    if row.index >= 0:
        stored = open_array(views / "view")[row.index]
    else:
        stored = open_array(views / "frames" / row.item / "0")[:, *_window(row)]
    return (np.asarray(stored).astype(np.float64) * scale).astype(np.float32)


def read_views(views: Path, table: pd.DataFrame, params: TaskParams, side_px: int) -> Iterator[Floats]:
    """Of each tile of `table`, a table of the variant store `views`, what the params' window shows: (3, side, side)."""
    scale = float(read_attributes(views)["scale"])
    for row, side in zip(table.itertuples(index=False), table["height_px"].to_list(), strict=True):
        seen = window_of(side, params.window_px)
        yield resize_views(read_view(views, row, scale)[None, :, seen, seen], side_px)[0]


def read_mask(raw: Path, row: Any) -> Classes:
    """One tile's mask (y, x) int64 from the label image of its item in the raw store."""
    return np.asarray(open_array(raw / row.mask / "0")[_window(row)]).astype(np.int64)


def _window(row: Any) -> tuple[slice, slice]:
    return slice(row.y_px, row.y_px + row.height_px), slice(row.x_px, row.x_px + row.width_px)


_MAKING: dict[Path, threading.Lock] = {}


def memory_map(path: Path, shape: tuple[int, ...], rows: Callable[[], Iterable[Floats]]) -> Floats:
    """A read-only memory map at `path`, made where not there, once for all threads of this process.

    It is filled tile by tile under another name first, so that other processes never see half of it.
    """
    with _MAKING.setdefault(path.absolute(), threading.Lock()):
        if not path.exists():
            with storage_faults(path):
                _fill(path, shape, rows())
    views: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    return views


def _fill(path: Path, shape: tuple[int, ...], rows: Iterable[Floats]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    array = np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=shape)  # type: ignore[no-untyped-call]
    for i, row in enumerate(rows):
        array[i] = row
    array.flush()
    Path(name).replace(path)


def load(views: Path, raw: Path | None, table: pd.DataFrame, params: TaskParams, cache: Path) -> Examples:
    """All tiles of `table` at the network's size; views are a memory map at `cache`, made where not there.

    `raw` holds the masks of a segmentation. Raises `InputError` where a mask holds a value without a class.
    """
    shape = (len(table), 3, params.input_px, params.input_px)
    truth = truth_of(table, raw, params)
    every = memory_map(cache, shape, lambda: read_views(views, table, params, params.input_px))
    whole = None if raw is None else WholeMasks(raw, tuple(table.itertuples(index=False)))
    return Examples(tuple(table["tile_id"]), Picked(every, np.arange(len(table))), truth, whole)


def truth_of(table: pd.DataFrame, raw: Path | None, params: TaskParams) -> Classes:
    """Class indices of the tiles of `table`, (n,) of a classification, (n, y, x) at the network's size of a
    segmentation, whose masks `raw` holds. Raises `InputError` where a mask holds a value without a class."""
    return _labels(table, params) if raw is None else _masks(raw, list(table.itertuples(index=False)), params)


def _labels(table: pd.DataFrame, params: TaskParams) -> Classes:
    return np.array([params.classes.index(label) for label in table["label"]], dtype=np.int64)


def _masks(raw: Path, rows: Sequence[Any], params: TaskParams) -> Classes:
    out = np.empty((len(rows), params.input_px, params.input_px), dtype=np.int64)
    for i, row in enumerate(rows):
        mask = read_mask(raw, row)
        if int(mask.max()) >= len(params.classes):
            wrong = f"mask value {int(mask.max())} in {row.tile_id}"
            raise InputError(fault(raw / row.mask, wrong, f"below {len(params.classes)}", "name its class in params"))
        out[i] = resize_masks(mask[None], params.input_px, len(params.classes))[0]
    return out


def channel_statistics(views: Floats | Picked) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over all tiles and pixels of (n, c, y, x), in float64."""
    moments = np.zeros((2, views[0].shape[0]))
    for i in range(len(views)):
        view = views[i].astype(np.float64)
        moments += view.mean(axis=(1, 2)), (view**2).mean(axis=(1, 2))
    mean, square = moments / len(views)
    sd = np.sqrt(np.maximum(square - mean**2, 0))
    return [float(m) for m in mean], [float(s) for s in sd]


@dataclass(frozen=True)
class Augmented:
    """A `tasks.learn.train.Source`: examples, augmented per (seed, tile, epoch)."""

    examples: Examples
    params: AugmentParams
    seed: int

    def __len__(self) -> int:
        return len(self.examples.ids)

    def batch(self, indices: Classes, epoch: int) -> tuple[Tensor, Tensor]:
        """Views and truth of the tiles at `indices`, each under its own augmentation of `epoch`."""
        e = self.examples
        drawn = [augment.draw(self.params, self.seed, e.ids[i], epoch) for i in indices]
        views = [augment.light(augment.turn(e.views[i], a), a) for i, a in zip(indices, drawn, strict=True)]
        spatial = e.truth.ndim > 1
        truth = [augment.turn(e.truth[i], a) if spatial else e.truth[i] for i, a in zip(indices, drawn, strict=True)]
        return torch.from_numpy(np.stack(views)), torch.from_numpy(np.stack(truth))
