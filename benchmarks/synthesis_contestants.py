"""What `benchmarks.synthesis` measures: one way to sample a canvas, in this process, printed as JSON."""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.params import load
from tasks.rng import generator
from tasks.synthesis import autoencoder, baselines, conditioning, decode, denoiser, networks, seams
from tasks.synthesis.canvas import Canvas, State
from tasks.synthesis.evaluate import guided, in_threads
from tasks.synthesis.params import AutoencoderParams, DenoiserParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import Denoise, Process, forward_process, plan_steps
from tasks.synthesis.windows import LAWS, Size, Window, owners, tile_minimum

ROOT = Path(__file__).parents[1]
SEED, CLASSES, TILE_PX = 1, 4, 128
MULTIPLE = 4
"""Windows' sides of the sample's denoiser, of three levels."""
Values = NDArray[np.float32]


@dataclass
class Counted:
    """A network that counts what it is asked."""

    network: Denoise
    windows: int = 0
    pixels: int = 0
    lock: Lock = field(default_factory=Lock)

    def __call__(self, z: torch.Tensor, condition: torch.Tensor, t: int) -> torch.Tensor:
        with self.lock:
            self.windows += len(z)
            self.pixels += len(z) * z.shape[2] * z.shape[3]
        return self.network(z, condition, t)


@dataclass(frozen=True)
class Models:
    """A network for windows of `side` latent pixels, and the decoder of its latents."""

    network: Denoise
    process: Process
    classes: int
    side: int
    codec: autoencoder.Codec


def models(folder: Path | None) -> Models:
    """Those of a folder, or the sample's with drawn weights."""
    if folder is not None:
        model = denoiser.load(folder / "denoiser")
        codec = autoencoder.load(folder / "autoencoder")
        return Models(model.networks[0], model.process, len(model.about.classes), model.about.window_latent_px, codec)
    coder = load(ROOT / "params.yaml", "train.autoencoder", AutoencoderParams).architecture
    about = load(ROOT / "params.yaml", "train.denoiser", DenoiserParams)
    network = networks.denoiser(about.architecture, coder.latent_channels, conditioning.channels(CLASSES))
    decoder = networks.autoencoder(coder)
    for drawn in (network, decoder):
        networks.initialise(drawn, SEED)
        drawn.eval().requires_grad_(False)
    mean = np.zeros((coder.latent_channels, 1, 1), np.float32)
    codec = autoencoder.Codec(decoder, coder.factor, coder.latent_channels, mean, 1.0)
    process = forward_process(about.diffusion)
    return Models(denoiser.predictor(network, process), process, CLASSES, TILE_PX // coder.factor, codec)


def mask(side: int, classes: int, cell: int) -> NDArray[np.uint8]:
    """Classes 1 to `classes` (side, side) in the cells of a Voronoi diagram, about `cell` pixels wide."""
    draw = generator(SEED, "mask", "voronoi")
    points = draw.uniform(0, side, (max(classes, (side // cell) ** 2), 2))
    label = (np.arange(len(points)) % classes + 1).astype(np.uint8)
    y, x = np.ogrid[:side, :side]
    nearest, found = np.full((side, side), np.inf), np.zeros((side, side), np.uint8)
    for (py, px), index in zip(points, label, strict=True):
        distance = (y - py) ** 2 + (x - px) ** 2
        closer = distance < nearest
        nearest[closer], found[closer] = distance[closer], index
    return found


def memory_mb(which: str) -> float:
    """`VmHWM` or `VmRSS` of this process; ru_maxrss would begin with the caller's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{which}:")[1].split()[0]) / 1024


def fewer_threads_if_faster(denoise: Denoise, told: Canvas, channels: int, side: int) -> None:
    """Give torch all cores for single windows, or one where that is faster, as it is for small networks: the published
    sampler has nothing else to spread over them."""
    window = (slice(0, side), slice(0, side))
    z, condition = torch.zeros(1, channels, side, side), torch.from_numpy(told.read(*window))[None]
    taken = {}
    for threads in (len(os.sched_getaffinity(0)), 1):
        torch.set_num_threads(threads)
        denoise(z, condition, 1)
        began = time.perf_counter()
        for _ in range(3):
            denoise(z, condition, 1)
        taken[threads] = time.perf_counter() - began
    torch.set_num_threads(min(taken, key=lambda threads: taken[threads]))


def warm_up(found: Models, told: Canvas, batch: int) -> None:
    """Let torch choose and build its kernels before the clock runs."""
    condition = torch.from_numpy(told.read(slice(0, found.side), slice(0, found.side)))
    for windows in (1, 2 * batch):
        z = torch.zeros(windows, found.codec.channels, found.side, found.side)
        found.network(z, condition.expand(windows, -1, -1, -1), 1)


@dataclass(frozen=True)
class Work:
    """One contestant: it samples, and tells where the window borders of the last step lie."""

    sample: Callable[[], Values]
    borders: Callable[[], seams.Lines]
    asked: Counted
    forwards: Counted


def contestant(name: str, found: Models, told: Canvas, how: Sampling, guidance: float, scratch: Path) -> Work:
    """The contestant of that name on what is `told`; `how.law` is its law where it has one."""
    size, channels = (told.shape[1], told.shape[2]), found.codec.channels
    forwards = Counted(found.network)
    null = torch.from_numpy(conditioning.null(found.classes, 1, 1))
    asked = Counted(guided(forwards, null, guidance))
    evaluate = in_threads([asked])

    def owned() -> seams.Lines:
        return seams.owner_borders(owners(size, how.windows(size, len(how.steps) - 1)))

    if name == "reference":
        asked = Counted(baselines.per_label(forwards, found.classes + 1, guidance))
        fewer_threads_if_faster(found.network, told, channels, found.side)
        return Work(lambda: baselines.sequential(told, channels, asked, how), owned, asked, forwards)
    if name == "sliding":
        order = [window for together in baselines.outwards(size, how.window) for window in together]
        return Work(
            lambda: baselines.sliding_window(told, channels, evaluate, how, found.process),
            lambda: seams.owner_borders(owners(size, order)),
            asked,
            forwards,
        )
    if name == "diffcollage":
        places = [window.place for window in baselines.pieces(size, how.window)]
        return Work(
            lambda: baselines.diffcollage(told, channels, evaluate, how),
            lambda: seams.edges(size, places),
            asked,
            forwards,
        )
    if name == "limit":
        evaluate, asked = in_threads([forwards]), forwards
    return Work(lambda: everything(sample(told, channels, evaluate, how, State((channels, *size), scratch))), owned,
                asked, forwards)  # fmt: skip


def tiles(canvas: Size, side: Size, multiple: int, draw: np.random.Generator) -> list[Window]:
    """The least windows that cover the canvas, at the same places in every step."""
    ys, xs = ([min(at, n - s) for at in range(0, n, s)] for n, s in zip(canvas, side, strict=True))
    return [Window(y, x, *side) for y in ys for x in xs]


LAWS["limit"] = tiles


def everything(canvas: Canvas) -> Values:
    return canvas.read(slice(0, canvas.shape[1]), slice(0, canvas.shape[2]))


def placed(canvas: int, side: int, draws: int) -> dict[str, float]:
    """How many windows of `side` a step takes on a square canvas, by each way to place them; means over `draws`."""
    size, window = (canvas, canvas), (side, side)

    def mean(law: str) -> float:
        drawn = [LAWS[law](size, window, MULTIPLE, generator(SEED, str(k), "windows")) for k in range(draws)]
        return float(np.mean([sum(w.height * w.width for w in windows) / side**2 for windows in drawn]))

    parts = baselines.pieces(size, window)
    return {
        "least": float(tile_minimum(size, window)),
        "grid": mean("grid"),
        "random": mean("random"),
        "sliding": float(len(baselines.halves(canvas, side)) ** 2),
        "diffcollage": float(len(parts)),
        "diffcollage_windows": sum(window.height * window.width for window in parts) / side**2,
    }


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Sample once; see `benchmarks.synthesis` for what is returned."""
    name, scratch, steps = asked.name, asked.scratch, asked.steps
    found = models(asked.model)
    side = asked.canvas_px // found.codec.factor
    told = Canvas((conditioning.channels(found.classes), side, side), scratch / "told.f32")
    labels = mask(side, found.classes, found.side)
    told.write(slice(0, side), slice(0, side), conditioning.condition(labels, found.classes, 1))
    law = {"grid": "grid", "limit": "limit"}.get(name, "random")
    plan = plan_steps(found.process, steps, "ddim", 0.0)
    how = Sampling(plan, law, (found.side, found.side), MULTIPLE, asked.batch, SEED, "benchmark")
    work = contestant(name, found, told, how, asked.guidance, scratch)
    warm_up(found, told, asked.batch)
    before_mb = memory_mb("VmRSS")
    work.asked.windows = work.forwards.windows = work.forwards.pixels = 0
    began, used = time.perf_counter(), time.process_time()
    latents = work.sample()
    seconds, cpu_s, peak_mb = time.perf_counter() - began, time.process_time() - used, memory_mb("VmHWM")
    least = tile_minimum((side, side), how.window) * how.window[0] * how.window[1]
    return {
        "windows_per_step": work.asked.windows / steps,
        "forwards_per_px": work.forwards.pixels / steps / side**2,
        "times_tile_minimum": work.forwards.pixels / steps / least / (2 if asked.guidance else 1),
        "seconds": seconds,
        "cpu_s": cpu_s,
        "peak_mb": peak_mb,
        "added_mb": peak_mb - before_mb,
        "threads": torch.get_num_threads(),
        **_seams(found, latents, work.borders()),
    }


def _seams(found: Models, latents: Values, borders: seams.Lines) -> dict[str, list[float]]:
    """Across window borders, and across the borders of the decoder's windows; the latter also where the canvas is
    decoded in one piece, which has no such borders: what the picture does at the same places by itself."""
    canvas = Canvas((latents.shape[0], *latents.shape[1:]))
    rows, columns = (slice(0, n) for n in latents.shape[1:])
    canvas.write(rows, columns, latents)
    seen = decode.blend(canvas, found.codec.decode, found.side, found.codec.factor)
    factor = found.codec.factor
    whole = (slice(0, rows.stop * factor), slice(0, columns.stop * factor))
    steepness = seams.gradients(np.concatenate(list(seen.strips(*whole)), axis=1), factor)
    down, right = (
        [slice(a // factor, b // factor) for a, b in pairwise(line.edges)] for line in (seen.rows, seen.columns)
    )
    pieces = [*((part, columns) for part in down), *((rows, part) for part in right)]
    inner = seams.edges((rows.stop, columns.stop), pieces)
    one_piece = seams.gradients(found.codec.decode(latents[None])[0], factor)
    told = {"seam": (steepness, borders), "decode_seam": (steepness, inner), "one_piece_seam": (one_piece, inner)}
    return {name: _values(seams.seam(*pair, found.side, SEED)) for name, pair in told.items()}


def _values(found: seams.Seam) -> list[float]:
    return [found.ratio, found.low, found.high]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    for option, kind in (("scratch", Path), ("model", Path), ("canvas-px", int), ("steps", int), ("batch", int)):
        parser.add_argument(f"--{option}", type=kind)
    parser.add_argument("--guidance", type=float)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
