"""How one fold's model does on the tiles that it was not trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tasks.disk import storage_faults
from tasks.learn import metrics
from tasks.learn.data import Examples
from tasks.learn.params import TaskParams, foreground
from tasks.learn.predict import BATCH, probabilities

SCORED = ("validation", "test")
OVERLAP = ("iou", "dice", "iou_tile_mean", "dice_tile_mean", "iou_of_everywhere", "iou_tile_mean_of_nothing")
Counts = NDArray[np.int64]


def tile_counts(model: nn.Module, tiles: Examples, params: TaskParams) -> tuple[Counts, NDArray[np.float32]]:
    """Per tile the confusion counts (n, k, k), and the mean probabilities (n, k) over the tile's pixels.

    Segmentations are counted at the tiles' stored size, against the masks as they are stored: masks resized to
    the network's size have lost what is hard. Memory is that of one batch.
    """
    k = len(params.classes)
    counts = np.zeros((len(tiles.ids), k, k), dtype=np.int64)
    mean = np.zeros((len(tiles.ids), k), dtype=np.float32)
    for start in range(0, len(tiles.ids), BATCH):
        p = probabilities(model, tiles.views[start : start + BATCH])
        for i, one in enumerate(p, start):
            truth = tiles.truth[i : i + 1] if tiles.whole is None else tiles.whole[i]
            one = one if tiles.whole is None else at_size(one, *truth.shape)
            counts[i] = metrics.confusion(truth, one.argmax(axis=0), k)
            mean[i] = one.reshape(k, -1).mean(axis=1)
    return counts, mean


def at_size(probability: NDArray[np.float32], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Class probabilities (k, y, x) float32 brought to (k, height, width): bilinear between pixel centres, and with
    the triangle widened to the step where the size shrinks. The sum over the classes stays 1."""
    if probability.shape[1:] == (height_px, width_px):
        return probability
    whole = functional.interpolate(
        torch.from_numpy(probability)[None], (height_px, width_px), mode="bilinear", antialias=True
    )
    return np.asarray(whole[0].numpy())


def headline(counts: Counts, params: TaskParams) -> dict[str, metrics.Value]:
    """The few numbers of one fold and role, from counts (n, k, k), with the baseline of no learning beside them.

    Classification: accuracy, balanced accuracy, mean F1 and the majority class's accuracy. Segmentation: IoU and
    Dice over all pixels, their means over tiles (both sides empty: 1), the IoU of naming a class everywhere, and
    the mean over tiles of naming it nowhere, for IoU and Dice alike; each a mean over the foreground classes.
    """
    total = counts.sum(axis=0)
    if params.task == "classification":
        f1 = [v for c in metrics.per_class(total, params.classes).values() if (v := c["f1"]) is not None]
        return {
            "accuracy": metrics.accuracy(total),
            "balanced_accuracy": metrics.balanced_accuracy(total),
            "f1_mean": float(np.mean(f1)) if f1 else None,
            "accuracy_of_majority": metrics.majority(total),
        }
    return _overlap(counts, total, foreground(params.task, params.classes))


def _overlap(counts: Counts, total: Counts, classes: Sequence[int]) -> dict[str, metrics.Value]:
    pooled = [metrics.counts_of(total, c) for c in classes]
    tiles = [metrics.counts_of(one, c) for one in counts for c in classes]
    area = float(total.sum())
    if not tiles or not area:
        return dict.fromkeys(OVERLAP)
    return {
        "iou": float(np.mean([metrics.iou(*c) for c in pooled])),
        "dice": float(np.mean([metrics.dice(*c) for c in pooled])),
        "iou_tile_mean": float(np.mean([metrics.iou(*c) for c in tiles])),
        "dice_tile_mean": float(np.mean([metrics.dice(*c) for c in tiles])),
        "iou_of_everywhere": float(np.mean([(hit + miss) / area for hit, _, miss in pooled])),
        "iou_tile_mean_of_nothing": float(np.mean([metrics.iou(0, 0, hit + miss) for hit, _, miss in tiles])),
    }


def main_metric(params: TaskParams) -> str:
    """The name of the one number that stands for a task."""
    return "accuracy" if params.task == "classification" else "iou"


def validation(model: nn.Module, tiles: Examples, params: TaskParams) -> list[tuple[str, float]]:
    """The headline on validation tiles, as rows of a history; without what is undefined."""
    found = headline(tile_counts(model, tiles, params)[0], params)
    return [(f"validation_{name}", value) for name, value in found.items() if value is not None]


def judge(file: Path, model: nn.Module, parts: Mapping[str, Examples], params: TaskParams) -> dict[str, Any]:
    """Score `model` on the parts that are scored and write `prediction_table` to `file`; returns the confusion counts
    and the headline of each. Raises `StoreError` where it cannot be written."""
    scored = {role: (parts[role], *tile_counts(model, parts[role], params)) for role in SCORED}
    with storage_faults(file):
        pq.write_table(prediction_table(scored, params), file)
    return {
        "confusion": {role: counts.sum(axis=0).tolist() for role, (_, counts, _) in scored.items()},
        "headline": {role: headline(counts, params) for role, (_, counts, _) in scored.items()},
    }


def prediction_table(parts: Mapping[str, tuple[Examples, Counts, NDArray[np.float32]]], params: TaskParams) -> pa.Table:
    """One row a scored tile: `tile_id`, `role`, then per class `probability_<c>` (mean over the tile) and the
    counts `hit_<c>`, `false_alarm_<c>`, `miss_<c>` (tiles, or pixels at the stored size)."""
    columns: dict[str, list[Any]] = {"tile_id": [], "role": []}
    for role, (tiles, counts, mean) in parts.items():
        for tile, matrix, p in zip(tiles.ids, counts, mean, strict=True):
            columns["tile_id"].append(tile)
            columns["role"].append(role)
            for k, name in enumerate(params.classes):
                columns.setdefault(f"probability_{name}", []).append(float(p[k]))
                for what, value in zip(("hit", "false_alarm", "miss"), metrics.counts_of(matrix, k), strict=True):
                    columns.setdefault(f"{what}_{name}", []).append(value)
    return pa.table(columns)
