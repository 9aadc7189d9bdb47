"""One thread and deterministic kernels while torch computes, with the caller's settings put back afterwards."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

_LOCK = threading.Lock()
_GENERATOR = threading.Lock()
_inside = 0
_before = (1, False)
_limits: threadpool_limits | None = None


def _enter() -> None:
    global _inside, _before, _limits
    with _LOCK:
        if _inside == 0:
            _before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
            torch.use_deterministic_algorithms(True)
            _limits = threadpool_limits(1, user_api="blas")
        _inside += 1
    torch.set_num_threads(1)


def _leave() -> None:
    global _inside
    with _LOCK:
        _inside -= 1
        if _inside == 0:
            torch.set_num_threads(_before[0])
            torch.use_deterministic_algorithms(_before[1])
            if _limits is not None:
                _limits.restore_original_limits()


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and NumPy's BLAS on one thread, torch with deterministic algorithms.

    Nests, and may be used by several threads at once. OpenMP's number of threads belongs to the calling thread,
    MKL's and the BLAS's to the process: so each thread enters for itself, and only the last one to leave puts the
    settings back, lest it disturb one that still computes.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global CPU generator seeded with `seed` inside, and as it was outside.

    For library constructors that draw their initial weights from it. One thread at a time.
    """
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
