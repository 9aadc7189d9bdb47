"""Which tiles the figures show."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.drift.params import OptimisationParams
from tasks.learn import data


def rows(table: pd.DataFrame, truth: NDArray[np.int64], params: OptimisationParams) -> list[int]:
    """Row numbers of `shown_tiles` test tiles (or of the first fold's, where there is no test split): of a
    classification evenly over the ids, of a segmentation those with most foreground, ties by id."""
    found = data.roles(table, data.folds_of(table)[0])
    tiles, count = found["test"] or found["validation"], params.shown_tiles
    if params.task == "segmentation":
        return sorted(tiles, key=lambda i: (-int((truth[i] > 0).sum()), i))[:count]
    places = np.linspace(0, len(tiles) - 1, min(count, len(tiles)))
    return [tiles[int(i)] for i in places]
