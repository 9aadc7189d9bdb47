"""Data-parallel training in several processes: each takes its rows of a step's batch, gradients are summed.

Each process builds the same network from the same seed and takes the same steps, so that weights stay equal without
being sent. Processes meet by a file in the staging place; the backend is gloo on the CPU and NCCL on GPUs, one a
process. Sums over processes round otherwise than sums within one: weights agree with those of one process within
float32 rounding, and a repetition with as many processes agrees with the first in every bit (on the CPU).
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import FileStore, PrefixStore  # type: ignore[attr-defined]

from tasks.errors import ParamsError, RawmillError, StoreError, fault
from tasks.learn.determinism import device_of

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others, who may be writing a checkpoint."""
A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Group:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes the checkpoints and the log."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """This process's rows of a batch; the shares differ by one where the processes do not divide it."""
        return slice(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def device(self, name: str) -> torch.device:
        """The device of this process: the CPU, or the GPU of its rank. Raises `ParamsError` where there is none."""
        found = device_of(name)
        if found.type == "cpu" or self.size == 1:
            return found
        if self.size > (count := torch.cuda.device_count()):
            wrong = f"{self.size} processes for {count} GPUs"
            raise ParamsError(fault("fit.processes", wrong, "a GPU each", "write fewer processes"))
        return torch.device("cuda", self.rank)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, float32 on one device, by its sum over the processes, in one message."""
        if self.size > 1:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            _reduced(flat, dist.ReduceOp.SUM)
            parts = torch.split(flat, [tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def least(self, value: int, device: torch.device) -> int:
        """The smallest of the processes' values."""
        if self.size == 1:
            return value
        found = torch.tensor([value], device=device)
        _reduced(found, dist.ReduceOp.MIN)
        return int(found)


ALONE = Group()


def _reduced(tensor: Tensor, how: dist.ReduceOp.RedOpType) -> None:
    try:
        dist.all_reduce(tensor, how)
    except RuntimeError as error:
        wrong = f"a process is gone ({' '.join(str(error).split())[:100]})"
        raise StoreError(fault("training", wrong, "all", "run it again: it resumes from its checkpoint")) from None


def together(work: Callable[[A, Group], R], argument: A, processes: int, device: str, place: Path) -> R:
    """`work(argument, group)` here as rank 0 and in `processes` - 1 new ones; returns what rank 0 finds.

    `work` is a function of a module and `argument` small plain data. `place` is a folder for the file by which they
    meet. Raises what rank 0 raises, and `StoreError` where another process ends before its work is done.
    """
    if processes == 1:
        return work(argument, ALONE)
    Group(0, processes).device(device)
    if multiprocessing.current_process().daemon:
        wrong, remedy = f"{processes} processes from within a worker", "write 1, or run the stage outside the workers"
        raise ParamsError(fault("fit.processes", wrong, "1 there", remedy))
    place.mkdir(parents=True, exist_ok=True)
    meeting = place / f"meeting-{os.getpid()}"
    meeting.unlink(missing_ok=True)
    spawn = multiprocessing.get_context("spawn")
    ranks = [Group(rank, processes) for rank in range(1, processes)]
    others = [spawn.Process(target=_other, args=(work, argument, g, device, meeting), daemon=True) for g in ranks]
    for process in others:
        process.start()
    try:
        return _first(work, argument, Group(0, processes), device, meeting, others)
    finally:
        for process in others:
            process.terminate()
            process.join()
        meeting.unlink(missing_ok=True)


def _first(
    work: Callable[[A, Group], R],
    argument: A,
    group: Group,
    device: str,
    meeting: Path,
    others: Sequence[BaseProcess],
) -> R:
    _wait_for(others, meeting, group)
    with _joined(group, device, meeting):
        try:
            found = work(argument, group)
        except BaseException:  # before the group is left, which the others would report
            for process in others:
                process.terminate()
            raise
    for process in others:
        process.join()
    _refuse_dead(others)
    return found


def _wait_for(others: Sequence[BaseProcess], meeting: Path, group: Group) -> None:
    """Wait until all have come to the meeting place, or one has died on the way."""
    store = FileStore(str(meeting), -1)
    while not store.check([f"here/{rank}" for rank in range(1, group.size)]):
        _refuse_dead(others)
        time.sleep(0.05)


def _refuse_dead(others: Sequence[BaseProcess]) -> None:
    for rank, process in enumerate(others, start=1):
        if process.exitcode:
            wrong = f"process {rank} ended with exit code {process.exitcode}"
            raise StoreError(fault("training", wrong, "0", "see its message above; run it again: it resumes"))


def _other(work: Callable[[A, Group], R], argument: A, group: Group, device: str, meeting: Path) -> None:
    """What a new process does. It takes its message with it when rank 0 is gone; Ctrl-C, which reaches all processes of
    a terminal, is for rank 0, who ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    FileStore(str(meeting), -1).set(f"here/{group.rank}", "yes")
    try:
        with _joined(group, device, meeting):
            work(argument, group)
    except RawmillError as error:
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None


class _joined:
    """Membership of the process group; loopback only, since all processes are on this machine."""

    def __init__(self, group: Group, device: str, meeting: Path) -> None:
        self.group, self.device, self.meeting = group, group.device(device), meeting

    def __enter__(self) -> None:
        store = PrefixStore("group", FileStore(str(self.meeting), -1))
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=self.group.rank, world_size=self.group.size, timeout=PATIENCE
        )

    def __exit__(self, *error: object) -> None:
        with suppress(RuntimeError):
            dist.destroy_process_group()
