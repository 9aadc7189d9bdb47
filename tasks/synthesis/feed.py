"""Batches made ahead of the step that needs them, in order, by a few threads, a bounded number at a time.

A batch is a function of its step alone, so neither the depth nor the number of threads can change one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
DEPTH = 3
"""Batches that are ready or in the making while a step computes."""
THREADS = 2


@contextmanager
def feed(
    make: Callable[[int], T], first: int, end: int, depth: int = DEPTH, threads: int = THREADS
) -> Iterator[Iterator[T]]:
    """`make(step)` for first <= step < end, as an iterator; at most `depth` are made ahead, none with depth 0.

    What `make` raises is raised where its batch is taken. On leaving nothing more is begun, and what is in the
    making is waited for.
    """
    if depth == 0:
        yield map(make, range(first, end))
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="feed")
    try:
        yield _in_order(pool, make, first, end, depth)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, make: Callable[[int], T], first: int, end: int, depth: int) -> Iterator[T]:
    following = min(first + depth, end)
    ahead: deque[Future[T]] = deque(pool.submit(make, step) for step in range(first, following))
    while ahead:
        batch = ahead.popleft().result()
        if following < end:
            ahead.append(pool.submit(make, following))
            following += 1
        yield batch
