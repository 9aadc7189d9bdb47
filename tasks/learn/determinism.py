"""One thread and deterministic kernels while torch computes, with the caller's settings put back afterwards."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from tasks.errors import ParamsError, fault

_LOCK = threading.Lock()
_GENERATOR = threading.Lock()
_GPU = threading.RLock()
_inside = 0
_before = (1, False, False)
_limits: threadpool_limits | None = None


def _enter() -> None:
    global _inside, _before, _limits
    with _LOCK:
        if _inside == 0:
            _before = (torch.get_num_threads(), *_strictness())
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
            torch.use_deterministic_algorithms(_before[1], warn_only=_before[2])
            if _limits is not None:
                _limits.restore_original_limits()


def _strictness() -> tuple[bool, bool]:
    """Whether torch computes deterministically, and whether it only warns where it cannot."""
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


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


def device_of(name: str) -> torch.device:
    """The device called `cpu` or `cuda`. Raises `ParamsError` where PyTorch can use no such."""
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        if not torch.cuda.is_available():
            wrong = "no GPU that this PyTorch can use"
            raise ParamsError(fault("device: cuda", wrong, "one", "write device: cpu, or install PyTorch for CUDA"))
    return torch.device(name)


@contextmanager
def on_device(device: torch.device | str) -> Iterator[None]:
    """`one_thread()`; and on `cuda` one piece of work at a time in this process, the others wait for the GPU.

    As many trainings as the host has cores would not fit into a GPU's memory, nor be faster. Nests. On `cuda` float32
    is float32 (no TF32), and an operation that has no deterministic kernel there only warns: a user's own network may
    need one. Other processes are not waited for.
    """
    if torch.device(device).type != "cuda":
        with one_thread():
            yield
        return
    with _GPU, one_thread(), _on_gpu():
        yield


@contextmanager
def _on_gpu() -> Iterator[None]:
    """The process's settings for CUDA; only the holder of `_GPU` may change them."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    strict, before = _strictness(), (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)
    torch.use_deterministic_algorithms(True, warn_only=True)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = False, False, False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])


TOLERANCES = {
    "cpu": "exact: the same bytes on the same kind of machine",
    "cuda": "none is known: sums may differ in their last bits, which training multiplies; do not compare bytes",
}


def stated(device: str) -> dict[str, str]:
    """What a recipe's notes say of the device that it was computed on, and how near a repetition comes."""
    return {"device": device, "tolerance": TOLERANCES[device]}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global CPU generator seeded with `seed` inside, and as it was outside.

    For library constructors that draw their initial weights from it. One thread at a time.
    """
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
