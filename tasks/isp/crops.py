"""Reading many small mosaics of a stack at once.

Each is one chunk. Through zarr-python a chunk costs a millisecond of bookkeeping on one thread for all workers, as
much as developing it; here threads decode side by side.
"""

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks import shards
from tasks.errors import StoreError, fault
from tasks.isp.engine import Mosaic


def read_crops(path: Path, numbers: NDArray[np.int64]) -> Mosaic:
    """The mosaics (crop, y, x) of the array (crop, y, x) at `path` with these `numbers`, in their order.

    Raises `StoreError` naming the shard that is damaged or incomplete.
    """
    how = shards.layout(path)
    mosaics = np.empty((len(numbers), *how.shape[1:]), np.uint16)
    for shard in np.unique(numbers // how.shards[0]):
        wanted = np.flatnonzero(numbers // how.shards[0] == shard)
        file = path / "c" / str(shard) / "0" / "0"
        try:
            _fill(mosaics, wanted, numbers[wanted] % how.shards[0], file.read_bytes(), how)
        except shards.DAMAGE as error:
            raise StoreError(
                fault(file, str(error), "the chunks as written", "audit the store, make it again")
            ) from None
    return mosaics


def _fill(
    mosaics: Mosaic, wanted: NDArray[np.intp], inside: NDArray[np.int64], shard: bytes, how: shards.Layout
) -> None:
    if how.chunks != (1, *how.shape[1:]) or how.shards[1:] != how.shape[1:]:
        raise ValueError(f"chunks of {how.chunks}, not one a crop")
    count = prod(how.grid)
    spans = shards.ranges(shard[-(count * shards.ENTRY + shards.CRC) :], count, len(shard))
    for target, crop in zip(wanted, inside, strict=True):
        offset, length = spans[crop]
        if offset == shards.EMPTY:
            raise ValueError(f"no chunk for crop {crop} of the shard")
        mosaics[target] = shards.decode(shard[offset : offset + length], how)[0]
