"""A crop of one sample of a synthetic store made again alone, from the trajectory that was recorded around it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from tasks.errors import InputError, ParamsError, fault
from tasks.learn.determinism import on_device
from tasks.store import open_array
from tasks.synthesis import autoencoder, crop, decode, denoiser, step
from tasks.synthesis.canvas import Readable
from tasks.synthesis.crop import Region
from tasks.synthesis.evaluate import Evaluate, in_threads
from tasks.synthesis.folder import input_path
from tasks.synthesis.regenerate import Result, Stored, changes, find, job_in, workplace
from tasks.synthesis.sampler import Sampling
from tasks.synthesis.tolerance import Difference, difference, recorded

Crop = tuple[int, int, int, int]
"""y, x, height and width in pixels."""


class Recorded:
    """The canvas before step `k` of a recorded trajectory (step, c, y, x)."""

    def __init__(self, trajectory: zarr.Array[Any], k: int) -> None:
        _, channels, height, width = trajectory.shape
        self.shape = (channels, height, width)
        self._trajectory = trajectory
        self._k = k

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """(c, y, x), a copy."""
        return np.array(self._trajectory[self._k, :, y, x])


def regenerate_crop(path: Path, sample: str, where: Crop) -> Result:
    """Make the pixels of `where` of `sample` of the store at `path` again and compare. The mask is the stored one.

    Raises as `regenerate`, `InputError` where the sample has no trajectory, and `ParamsError` where `where` leaves the
    image.
    """
    stored = find(path, sample)
    part = region_of(where, stored)
    if f"{step.TRAJECTORY}/zarr.json" not in stored.tree:
        remedy = "make the store with `--record`, or regenerate the whole sample"
        raise InputError(fault(str(stored), "no recorded trajectory", "the canvas before each step", remedy))
    bound = recorded(stored.recipe)
    with workplace(None) as folder:
        made = make_crop(stored, part, Path(folder))
    was = np.asarray(open_array(stored.image / "0")[:, *part])
    rows, columns = made.region
    return Result(
        sample=str(stored),
        pixels=f"{where[2]} x {where[3]} px at {where[0]}, {where[1]} of {rows.stop - rows.start} x "
        f"{columns.stop - columns.start} latents",
        image=difference(was, made.pixels, bound.grey_levels),
        mask=Difference(),
        files=0,
        files_alike=0,
        tolerance=bound,
        device=stored.params.sampler.device,
        changed=changes(stored.recipe),
        latents_off=made.latents_off,
    )


def region_of(where: Crop, stored: Stored) -> Region:
    """Rows and columns of a crop. Raises `ParamsError` where it is empty or leaves the image."""
    y, x, height, width = where
    size = (int(stored.row["height_px"]), int(stored.row["width_px"]))
    if not (0 <= y < y + height <= size[0] and 0 <= x < x + width <= size[1]):
        wrong = f"{height} x {width} px at {y}, {x}"
        raise ParamsError(fault("--crop", wrong, f"a part of {size[0]} x {size[1]} px", "name one inside the image"))
    return slice(y, y + height), slice(x, x + width)


@dataclass(frozen=True)
class Made:
    """A crop that was made: `pixels` (3, y, x), the latents `region` that it took, and by how much those on the way
    were off the recorded ones."""

    pixels: NDArray[np.uint8]
    region: Region
    latents_off: float


def make_crop(stored: Stored, part: Region, folder: Path) -> Made:
    """The pixels of `part`, sampled and decoded again; `folder` is for what is large."""
    params = stored.params.sampler
    job = job_in(stored, folder)
    with on_device(params.device):
        codec = autoencoder.load(input_path(job, "autoencoder"), params.device)
        model = denoiser.load(input_path(job, "denoiser"), params.device)
        told = step.tell(open_array(stored.image / "labels" / "mask" / "0"), model.about, codec.factor, folder)
        how = step.sampling(params, model, stored.params.seed, stored.sample)
        how = replace(how, batch_windows=int(stored.row["batch_windows"]))  # fewer than asked where memory was short
        rows, across = (decode.axis(length, how.window[0], codec.factor) for length in told.shape[1:])
        region = crop.latents_of(part, (rows, across))
        evaluate = in_threads(model.guided(params.guidance))
        latents, off = sample_crop(region, open_array(stored.image / step.TRAJECTORY), told, evaluate, how)
        made = crop.pixels(region, latents, part, codec, (rows, across))
    return Made(made, region, off)


def sample_crop(
    region: Region, trajectory: zarr.Array[Any], told: Readable, evaluate: Evaluate, how: Sampling
) -> tuple[NDArray[np.float32], float]:
    """The latents (c, y, x) of `region` of y_0, and the largest difference of those before from the recorded."""
    off, latents = 0.0, np.zeros(0, np.float32)
    for k, latents in enumerate(crop.resample(region, lambda k: Recorded(trajectory, k), told, evaluate, how), 1):
        if k < len(how.steps):
            off = max(off, float(np.abs(latents - Recorded(trajectory, k).read(*region)).max()))
    return latents, off
