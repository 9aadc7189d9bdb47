"""How the windows of a step are evaluated: in batches of any size, in any order, by any number of workers.

A batch reads its windows from the step's snapshot, which nobody writes; what it gives belongs to its windows alone.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.learn.determinism import one_thread
from tasks.parallel import parallel
from tasks.synthesis.canvas import Readable
from tasks.synthesis.schedule import Denoise
from tasks.synthesis.windows import Window

Values = NDArray[np.float32]
log = logging.getLogger("rawmill")


@dataclass(frozen=True)
class Snapshot:
    """What the windows of a step are cut from: the canvas, what is told of it (k, y, x), and the timestep."""

    canvas: Readable
    told: Readable
    t: int

    def cut(self, windows: Sequence[Window]) -> tuple[Values, Values]:
        """z (n, c, h, w) and conditions (n, k, h, w) of some windows of one size."""
        places = [window.place for window in windows]
        return np.stack([self.canvas.read(*p) for p in places]), np.stack([self.told.read(*p) for p in places])


Evaluate = Callable[[Snapshot, Sequence[Sequence[Window]]], Iterator[tuple[Sequence[Window], Values]]]
"""(snapshot, batches of windows) -> each batch with the z_0 predicted for it (n, c, h, w), in any order."""


def in_threads(networks: Sequence[Denoise], most: int | None = None) -> Evaluate:
    """Threads of this process, as many as there are cores (or `most`), which take turns with `networks`: one network
    that is shared, or one on each GPU."""
    if len(networks) == 1:
        return _threads(lambda: networks[0], lambda network: None, most)
    free: SimpleQueue[Denoise] = SimpleQueue()
    for network in networks:
        free.put(network)
    return _threads(free.get, free.put, len(networks))


def _threads(take: Callable[[], Denoise], give_back: Callable[[Denoise], None], most: int | None) -> Evaluate:
    def evaluate(snapshot: Snapshot, batches: Sequence[Sequence[Window]]) -> Iterator[tuple[Sequence[Window], Values]]:
        def work(windows: Sequence[Window]) -> tuple[Sequence[Window], Values]:
            network = take()
            try:
                with one_thread():
                    z, told = snapshot.cut(windows)
                    return windows, fitting(network, z, told, snapshot.t)
            finally:
                give_back(network)

        return parallel(work, batches, most)

    return evaluate


def fitting(network: Denoise, z: Values, told: Values, t: int) -> Values:
    """`network` of a whole batch, or of its halves where memory is too short, which is said."""
    try:
        with torch.inference_mode():
            found: Values = network(torch.from_numpy(z), torch.from_numpy(told), t).cpu().numpy()
        return found
    except (MemoryError, RuntimeError) as error:
        if len(z) == 1 or not is_out_of_memory(error):
            raise
    half = len(z) // 2
    log.warning("too little memory for a batch of %d windows: going on with %d", len(z), half)
    return np.concatenate([fitting(network, z[part], told[part], t) for part in (slice(half), slice(half, None))])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or NumPy could not get memory; on the CPU torch says so in a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def guided(network: Denoise, null: Tensor, guidance: float) -> Denoise:
    """Classifier-free guidance, thesis A eq. 2.7: (1 + w) f(z, c) - w f(z, 0); two forwards a window.

    The factors sum to 1 and z_0 is affine in eps, so that it is the same for z_0 as for eps. `null` is the null
    condition (k, h, w). With w = 0 the network is called once, conditionally.
    """

    def denoise(z: Tensor, condition: Tensor, t: int) -> Tensor:
        if guidance == 0:
            return network(z, condition, t)
        both = torch.cat([condition, null.expand_as(condition)])
        with_condition, without = network(torch.cat([z, z]), both, t).chunk(2)
        return (1 + guidance) * with_condition - guidance * without

    return denoise
