"""Work that lets go of the interpreter (hashing, codecs, reading), on all cores of this process."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel(work: Callable[[T], R], things: Iterable[T], most: int | None = None) -> Iterator[R]:
    """`work` of each of `things`, as many at a time as there are cores, or `most` if these are fewer; results in the
    order of `things`."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(min(most or cores, cores)) as pool:
        yield from pool.map(work, things)
