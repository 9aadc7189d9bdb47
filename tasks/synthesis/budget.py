"""What a training step needs of memory, said before the first step, and the rows at a time that fit.

State: 20 bytes a weight (weight, average, gradient and both moments of Adam, float32), 16 without the average for a
discriminator; what of it is there already, all of it where a run is resumed, is to be had. Activations: what one row's
forward pass keeps for the backward pass (counted by `torch.autograd.graph.saved_tensors_hooks`, each storage once,
weights left out), times the rows at a time, times `TRANSIENT` for the gradients and work space beside them. Autocast's
copies of the weights are kept once whatever the rows, and so counted. Data: the batches in the making, and caches.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tasks.errors import ParamsError, fault
from tasks.memory import available_bytes
from tasks.synthesis.checkpoint import Run
from tasks.synthesis.feed import DEPTH
from tasks.synthesis.ranks import Group

log = logging.getLogger("rawmill")
TRANSIENT = 1.5
"""Peak of a step over what the forward pass keeps."""
WORKSPACE = 2**27
"""What libraries take beside (code, threads, kernels), measured at about 0.1 GiB."""
GIB = 2**30


def state_bytes(run: Run) -> int:
    """Bytes of weights, average, gradients and moments."""
    own = sum(weight.numel() for weight in run.network.parameters())
    other = sum(weight.numel() for weight in run.opponent.network.parameters()) if run.opponent else 0
    return 20 * own + 16 * other


def held_bytes(run: Run) -> int:
    """Bytes of the state that are taken already."""
    learners = [run.learner, *([run.opponent] if run.opponent else [])]
    weights = [weight for one in learners for weight in one.network.parameters()]
    moments = [value for one in learners for state in one.adam.state.values() for value in state.values()]
    return sum(value.nbytes for value in (*weights, *moments, *run.average.values()))


def kept_bytes(run: Run, forward: Callable[[], Tensor], most: int) -> int:
    """Bytes that `forward` keeps for its backward pass; stops early where they exceed `most`."""
    seen = {weight.untyped_storage().data_ptr() for weight in run.network.parameters()}
    alive: list[Tensor] = []
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            alive.append(tensor.detach())  # or its address may be given to another
            total += storage.nbytes()
            if total > most:
                raise MemoryError
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return total


def row_bytes(run: Run, forward: Callable[[int], Tensor], most: int, cast: bool) -> tuple[int, int]:
    """Bytes that `forward(rows)` keeps for each row, and those that it keeps once: copies of weights, where it casts.

    Raises as `forward` does, and `MemoryError` where one row keeps more than `most`.
    """
    one = kept_bytes(run, lambda: forward(1), most)
    if not cast:
        return one, 0
    try:
        row = kept_bytes(run, lambda: forward(2), most) - one
    except MemoryError:
        return one, 0
    return row, one - row


def free_bytes(device: torch.device, group: Group) -> int:
    """What this process may still take on its device; processes on one machine's CPU share it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes() // group.size


def plan(
    run: Run,
    forward: Callable[[int], Tensor],
    one: Sequence[Tensor],
    wanted: int,
    cache_bytes: int,
    cast: bool,
    what: str,
    group: Group,
    device: torch.device,
) -> int:
    """Rows at a time: `wanted`, or as many fewer as fit. Raises `ParamsError` where not one does.

    `forward(rows)` is the loss of so many rows like `one`, by autocast where `cast`. Logs the estimate beside what is
    there.
    """
    free = free_bytes(device, group) + held_bytes(run)
    row = sum(part.nbytes for part in one)
    fixed = WORKSPACE + state_bytes(run) + cache_bytes + (DEPTH + 1) * wanted * row
    try:
        kept, once = row_bytes(run, forward, max(0, free - fixed), cast)
        activations, fixed = round(TRANSIENT * kept), fixed + once
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        activations = free
    fits = group.least((free - fixed) // max(1, activations), device)
    _say(what, fixed, activations, wanted, fits, free, group)
    if fits < 1:
        wrong = f"{(fixed + activations) / GIB:.2f} GiB or more for one tile at a time, {free / GIB:.2f} GiB to be had"
        raise ParamsError(fault(what, wrong, "one tile to fit", "write a smaller architecture, or find more memory"))
    return min(wanted, fits)


def _say(what: str, fixed: int, activations: int, wanted: int, fits: int, free: int, group: Group) -> None:
    if not group.writes:
        return
    line = "%s: needs about %.2f GiB (weights and data %.2f, %d tiles of %.3f at a time), %.2f GiB to be had"
    need = fixed + wanted * activations
    log.info(line, what, need / GIB, fixed / GIB, wanted, activations / GIB, free / GIB)
    if 1 <= fits < wanted:
        log.warning(
            "%s: %d tiles at a time do not fit into %.2f GiB: %d at a time, the same batch by accumulation,"
            " whose last bits may differ",
            *(what, wanted, free / GIB, fits),
        )
