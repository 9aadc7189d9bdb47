"""Reading many small mosaics of a stack at once.

Each is one chunk. Through zarr-python a chunk costs a millisecond of bookkeeping on one thread for all workers, as
much as developing it; here threads decode side by side.
"""

from math import prod
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

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
    for number in np.unique(numbers // how.shards[0]):
        wanted = np.flatnonzero(numbers // how.shards[0] == number)
        file = path / "c" / str(number) / "0" / "0"
        try:
            with file.open("rb") as shard:
                _fill(mosaics, wanted, numbers[wanted] % how.shards[0], shard, how)
        except shards.DAMAGE as error:
            raise StoreError(
                fault(file, str(error), "the chunks as written", "audit the store, make it again")
            ) from None
    return mosaics


def _fill(
    mosaics: Mosaic, wanted: NDArray[np.intp], inside: NDArray[np.int64], shard: BinaryIO, how: shards.Layout
) -> None:
    """Read the chunks `inside` of an open `shard`, and no others, to `mosaics[wanted]`."""
    if how.chunks != (1, *how.shape[1:]) or how.shards[1:] != how.shape[1:]:
        raise ValueError(f"chunks of {how.chunks}, not one a crop")
    spans = _spans(shard, prod(how.grid))
    for target, crop in zip(wanted, inside, strict=True):
        offset, length = spans[crop]
        if offset == shards.EMPTY:
            raise ValueError(f"no chunk for crop {crop} of the shard")
        shard.seek(offset)
        mosaics[target] = shards.decode(shard.read(length), how)[0]


def _spans(shard: BinaryIO, count: int) -> list[tuple[int, int]]:
    """Where each of the `count` chunks of an open `shard` stands, by its index."""
    size = shard.seek(0, SEEK_END)
    shard.seek(max(0, size - count * shards.ENTRY - shards.CRC))
    return shards.ranges(shard.read(), count, size)
