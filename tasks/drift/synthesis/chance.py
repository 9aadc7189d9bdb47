"""What a score is held against: the best that one and the same answer for every tile or pixel would score."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.drift.metric import Numbers, main_value
from tasks.learn.params import TaskParams, foreground


def constant(support: NDArray[np.int64], whole: int, task: TaskParams) -> Numbers:
    """The metric (c + 1,) of naming each scored class everywhere, and of naming none; `support` (c,) are the truth's
    tiles or pixels of each, `whole` all there are."""
    count = len(support)
    parts = np.zeros((count + 1, count, 3), dtype=np.int64)
    parts[..., 2] = support
    for k, own in enumerate(support):
        parts[k, k] = own, whole - own, 0
    return main_value(parts, task)


def chance(scores: pd.DataFrame, tiles: pd.DataFrame, task: TaskParams) -> float:
    """The main metric of the best constant answer on the tiles in `scores` (of one role, as
    `tasks.drift.synthesis.score.score_table` writes it), each member's tiles pooled and the mean over members taken,
    as a score is: the share of the most frequent class, or the mean IoU of one class everywhere. In [0, 1].

    `tiles` has `tile_id`, `height_px` and `width_px`. The truth is the same under every condition, so that one is
    looked at.
    """
    areas = dict(zip(tiles["tile_id"], tiles["height_px"] * tiles["width_px"], strict=True))
    names = [task.classes[k] for k in foreground(task.task, task.classes)]
    of_members = []
    for _, own in _once(scores).groupby("member", sort=True):
        support = np.array([int((own[f"hit_{name}"] + own[f"miss_{name}"]).sum()) for name in names], np.int64)
        whole = len(own) if task.task == "classification" else sum(int(areas[t]) for t in own["tile_id"])
        of_members.append(constant(support, whole, task))
    return float(np.mean(of_members, axis=0).max())


def _once(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of one model a member, under one condition."""
    keys = ["data_model", "kind", "condition", "severity"]
    first = scores.sort_values(keys, kind="stable").iloc[0]
    return scores[(scores[keys] == first[keys]).all(axis=1)]
