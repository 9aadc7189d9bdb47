"""Windows of a step on a Dask cluster: its workers read the canvas from the file system that they share with us, and
send back what the network predicts; only this process writes.

A worker that dies costs its batch only, which another evaluates anew: a batch depends on the snapshot alone.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.learn.determinism import on_device
from tasks.synthesis import denoiser, networks
from tasks.synthesis.evaluate import Evaluate, Snapshot, fitting
from tasks.synthesis.schedule import Denoise
from tasks.synthesis.windows import Window

Values = NDArray[np.float32]
AHEAD = 3
"""Batches that wait at each thread of a worker, so that none is idle while a result travels."""


@dataclass(frozen=True)
class Network:
    """A guided denoiser by the folder that a worker loads it from."""

    folder: Path
    guidance: float
    device: str


def address() -> str | None:
    """The scheduler that RAWMILL_DASK names; None where it names none, or in a worker, whose threads do the work."""
    named = os.environ.get("RAWMILL_DASK")
    if not named:
        return None
    from distributed import get_worker  # takes a second to import

    try:
        get_worker()
    except ValueError:
        return named
    return None


def on_cluster(address: str, network: Network) -> Evaluate:
    """Batches on the workers of the scheduler at `address`; a snapshot must lie in files, at absolute paths. Raises
    `InputError` where no worker answers there, or none is left."""
    weights = (network.folder / networks.WEIGHTS).stat().st_mtime_ns

    def evaluate(snapshot: Snapshot, batches: Sequence[Sequence[Window]]) -> Iterator[tuple[Sequence[Window], Values]]:
        from distributed import as_completed

        client = _client(address)
        seats = AHEAD * _threads_of(client, address)
        waiting = iter(batches)
        first = [_submit(client, network, weights, snapshot, batch) for batch in islice(waiting, seats)]
        running: Any = as_completed(first)  # type: ignore[no-untyped-call]
        for future in running:
            yield future.result()
            for batch in islice(waiting, 1):
                running.add(_submit(client, network, weights, snapshot, batch))

    return evaluate


def _submit(client: Any, network: Network, weights: int, snapshot: Snapshot, batch: Sequence[Window]) -> Any:
    return client.submit(evaluate_batch, network, weights, snapshot, batch, pure=False)


@lru_cache(maxsize=1)
def _client(address: str) -> Any:
    from distributed import Client

    try:
        client: Any = Client(address, timeout="10s")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # what is no address at all is a ValueError
        wrong = str(error) if isinstance(error, ValueError) else "no answer"
        raise InputError(fault(address, wrong, "a Dask scheduler", "start one, or unset RAWMILL_DASK")) from None
    _threads_of(client, address)
    return client


def _threads_of(client: Any, address: str) -> int:
    threads = sum(client.nthreads().values())
    if not threads:
        raise InputError(fault(address, "no workers", "at least one", "start `dask worker` for this scheduler"))
    return int(threads)


def evaluate_batch(
    network: Network, weights: int, snapshot: Snapshot, windows: Sequence[Window]
) -> tuple[Sequence[Window], Values]:
    """Carried out by a worker: the z_0 predicted for some windows. `weights` tells apart what a folder held when."""
    with on_device(network.device):
        z, told = snapshot.cut(windows)
        return windows, fitting(_loaded(network, weights), z, told, snapshot.t)


@lru_cache(maxsize=2)
def _loaded(network: Network, weights: int) -> Denoise:
    return denoiser.load(network.folder, network.device).guided(network.guidance)[0]
