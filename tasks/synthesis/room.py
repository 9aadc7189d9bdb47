"""What a batch of windows needs of memory, estimated before the first step, and how many fit.

Evaluating a U-Net keeps the outputs of its way down for the way up, and beside them the work of one block: its input
joined with what was kept, normalised, activated, convolved (with copies in the layout of the convolution).
"""

import logging
import os
from dataclasses import replace

import torch

from tasks.memory import available_bytes
from tasks.synthesis.params import DenoiserModel, SamplerParams
from tasks.synthesis.sampler import Sampling

log = logging.getLogger("rawmill")
COPIES = 10
"""Of the largest joined input of a block, that are alive at a time: an estimate 1.6 to 2.7 times the growth of peak RSS
that was measured for the networks of params.yaml and params/paper.yaml, so that it is not too low."""
LARGEST = 2.25
"""Area of the largest window of a grid, where that of a window of the size trained on is 1."""
MIB = 2**20


def window_bytes(about: DenoiserModel, guidance: float) -> int:
    """Bytes of the network's activations for one window, float32; a guided window is evaluated twice at a time."""
    architecture, side = about.architecture, about.window_latent_px
    pixels = [(-(-side // 2**level)) ** 2 for level in range(len(architecture.channels))]
    levels = list(zip(architecture.channels, pixels, strict=True))
    kept = sum((architecture.blocks_per_level + 2) * channels * area for channels, area in levels)
    below = (*architecture.channels[1:], architecture.channels[-1])
    joined = max((channels + more) * area for (channels, area), more in zip(levels, below, strict=True))
    passes = 1 if guidance == 0 else 2
    return int(4 * passes * (kept + COPIES * joined))


def free_bytes(device: str) -> int:
    """What may still be taken on the device; of several GPUs, on the fullest. What torch keeps there for later use is
    free to us, though not to others."""
    if device == "cuda":
        return min(_free_on(k) for k in range(torch.cuda.device_count()))
    return available_bytes()


def _free_on(gpu: int) -> int:
    kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
    return int(torch.cuda.mem_get_info(gpu)[0]) + kept


def batch_bytes(how: Sampling, one: int) -> int:
    """Bytes of the largest batch, where a window of the size trained on takes `one`: a grid has windows of once and a
    half its sides, which may be all of a batch."""
    return int(max(how.batch_windows, LARGEST if how.law == "grid" else 1) * one)


def fitted(how: Sampling, params: SamplerParams, about: DenoiserModel, beside: int) -> tuple[Sampling, int]:
    """`how` and the number of batches at a time, such that they fit beside `beside - 1` other samples in the making.

    First fewer batches are evaluated at a time, which changes no byte; then, which is said, smaller ones, whose sums
    may differ in their last bits. One window at a time is always tried. A GPU has one sample in the making at a time
    (`on_device`), whatever waits `beside`.
    """
    gpu = params.device == "cuda"
    free, one = free_bytes(params.device) // (1 if gpu else beside), window_bytes(about, params.guidance)
    cores = 1 if gpu else len(os.sched_getaffinity(0))
    log.debug("%s: about %.0f MiB a batch, %.0f MiB to be had", how.name, one * how.batch_windows / MIB, free / MIB)
    fits = max(1, free // one)
    if fits >= how.batch_windows:
        return how, max(1, min(cores, free // batch_bytes(how, one)))
    needs = "%s: a batch of %d windows needs about %.0f MiB and %.0f MiB are to be had: going on with %d windows"
    log.warning(needs, how.name, how.batch_windows, one * how.batch_windows / MIB, free / MIB, fits)
    return replace(how, batch_windows=fits), 1
