"""Step `synthesise`: autoencoder and denoiser in, a synthetic store of mask-image pairs out."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from tasks.contracts import DATA_MODEL_VERSION, Record
from tasks.disk import storage_faults
from tasks.errors import InputError, LineageError, ParamsError, fault
from tasks.learn.determinism import on_device
from tasks.lineage.digest import canonical, sha256_bytes
from tasks.lineage.recipe import Plan, artefact, digest_of, read, source_file
from tasks.output import Job, mark_done, publish, receipt, start
from tasks.store import (
    RGB,
    Image,
    Window,
    create_array,
    create_group,
    create_image,
    create_labels,
    open_array,
    pyramid_levels,
    windows,
    write,
    write_image,
)
from tasks.synthesis import (
    autoencoder,
    cluster,
    conditioning,
    decode,
    denoiser,
    figures,
    folder,
    masks,
    networks,
    tolerance,
)
from tasks.synthesis.canvas import Canvas, State
from tasks.synthesis.evaluate import Evaluate, in_threads
from tasks.synthesis.params import AutoencoderModel, DenoiserModel, SamplerParams, SynthesiseParams
from tasks.synthesis.pictures import to_pictures
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import plan_steps

CHUNK_PX, SHARD_PX, SMALLEST_LEVEL_PX = 256, 2048, 128
TRAJECTORY, TRAJECTORY_SHARD = "trajectory", 256
SHOWN, SHOWN_PX = 8, 512


def prepare(
    models: Path, out: Path, params: SynthesiseParams, corpus: str, repair: str, mask: Path | None = None
) -> Job:
    """Plan `params.count` samples by the `autoencoder` and `denoiser` below the folder `models`.

    `mask`, a PNG of class indices, is used for each sample as it is and sets their size; without it masks are cut
    from the annotations that the denoiser carries. Raises `LineageError`, `InputError` and `ParamsError`.
    """
    inputs = [artefact(name, models / name, out) for name in ("autoencoder", "denoiser")]
    model = networks.read_model(models / "denoiser", DenoiserModel)
    check_pair(models, model)
    _check_steps(params.sampler, model)
    sizes = list(params.sizes_px)
    if mask is not None:
        inputs.append(source_file("mask", _there(mask), out))
        sizes = [masks.read_png(mask, len(model.classes)).shape]  # type: ignore[list-item]
    plan = Plan(
        stage="synthesise",
        name=corpus,
        inputs=inputs,
        params=params.model_copy(update={"sizes_px": tuple(sizes)}).model_dump(mode="json"),
        code=__name__,
        repair=repair,
        seed=params.seed,
        notes=tolerance.stated(params.sampler.device),
    )
    ids = [f"s{index:05d}" for index in range(params.count)]
    pixel_size = networks.read_model(models / "autoencoder", AutoencoderModel).pixel_size_um
    planned = {sample_id: tuple(sizes[index % len(sizes)]) for index, sample_id in enumerate(ids)}
    return start(out, plan, ids, lambda content: lay_out(content, planned, list(model.classes), pixel_size))


def _there(mask: Path) -> Path:
    if not mask.is_file():
        raise InputError(fault(mask, "not there", "a PNG of class indices", "name one with --mask"))
    return mask


def check_pair(models: Path, model: DenoiserModel) -> None:
    """The denoiser must have been trained on this very autoencoder's latents. Raises `LineageError`."""
    found = digest_of(read(models / "autoencoder"))
    if found != model.autoencoder:
        wrong = f"its latents are those of autoencoder {model.autoencoder[:16]}"
        raise LineageError(fault(models / "denoiser", wrong, found[:16], "train the denoiser again"))


def _check_steps(sampler: SamplerParams, model: DenoiserModel) -> None:
    if sampler.steps > model.diffusion.timesteps:
        wrong, most = f"{sampler.steps} sampling steps", f"1 to {model.diffusion.timesteps}, the denoiser's timesteps"
        raise ParamsError(fault("synthesise.sampler.steps", wrong, most, "take fewer"))


def lay_out(
    content: Path, planned: Mapping[str, tuple[int, ...]], classes: list[str], pixel_size_um: float | None
) -> None:
    """The empty images of the samples `planned` (height, width) and their masks."""
    create_group(
        content,
        {"rawmill": {"version": DATA_MODEL_VERSION, "kind": "synthetic", "synthetic": True, "classes": classes}},
    )
    create_group(content / "samples", {})
    for sample_id, (height, width) in sorted(planned.items()):
        levels = pyramid_levels(height, width, SMALLEST_LEVEL_PX)
        layout = (pixel_size_um, levels, CHUNK_PX, SHARD_PX)
        create_image(content / "samples" / sample_id, Image("cyx", (3, height, width), "uint8", *layout, RGB))
        label = Image("yx", (height, width), "uint8", *layout, label=True)
        create_labels(content / "samples" / sample_id, {"mask": label})


def process(job: Job, item: str) -> None:
    """One sample: its mask, latents by the random-patch sampler, decode into the store. Resumes step by step."""
    params = SynthesiseParams.model_validate(job.plan["params"])
    scratch = job.staging / "scratch" / item
    with on_device(params.sampler.device):
        codec = autoencoder.load(folder.input_path(job, "autoencoder"), params.sampler.device)
        model = denoiser.load(folder.input_path(job, "denoiser"), params.sampler.device)
        mask = _mask(job, params, item, len(model.about.classes))
        image = job.content / "samples" / item
        files = write_image(image / "labels" / "mask", mask.read)
        told = tell(open_array(image / "labels" / "mask" / "0"), model.about, codec.factor, scratch)
        how = sampling(params.sampler, model, params.seed, item)
        state = State((codec.channels, *told.shape[1:]), scratch, params.sampler.record)
        latents = sample(told, codec.channels, evaluator(job, params.sampler, model), how, state)
        files += write_image(image, pixels(latents, codec, how.window[0]))
        files += write_trajectory(image, state, how) if params.sampler.record else []
    facts = {
        "height_px": mask.size_px[0],
        "width_px": mask.size_px[1],
        "mask_source": list(mask.source),
        "recipe": sample_recipe(job.plan, item, mask.size_px),
    }
    mark_done(job, item, files, facts)
    shutil.rmtree(scratch)


def _mask(job: Job, params: SynthesiseParams, item: str, classes: int) -> masks.Mask:
    if any(entry["role"] == "mask" for entry in job.plan["inputs"]):
        return masks.given(folder.input_path(job, "mask"), classes)
    size = params.sizes_px[job.items.index(item) % len(params.sizes_px)]
    return masks.cut(masks.load_bank(folder.input_path(job, "denoiser")), size, params.masks, params.seed, item)


def tell(mask: zarr.Array[Any], about: DenoiserModel, factor: int, scratch: Path) -> Canvas:
    """The condition (k, y, x) of a mask (y, x) as a canvas of latent pixels: as large as the mask needs, at least one
    window; what lies beyond the mask repeats its border."""
    count, side = len(about.classes), about.window_latent_px
    height, width = (max(-(-n // factor), side) for n in mask.shape)
    told = Canvas((conditioning.channels(count), height, width), inside(scratch) / "told.f32")
    for rows in told.bands():
        first = min(rows.start * factor, (mask.shape[0] - 1) // factor * factor)
        part = np.asarray(mask[first : rows.stop * factor])
        found = conditioning.condition(part, count, factor)
        fill = [(0, rows.stop - rows.start - found.shape[1]), (0, width - found.shape[2])]
        told.write(rows, slice(0, width), np.pad(found, [(0, 0), *fill], mode="edge"))
    return told


def inside(scratch: Path) -> Path:
    """`scratch`, which is made where it is not there."""
    with storage_faults(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def sampling(params: SamplerParams, model: denoiser.Model, seed: int, item: str) -> Sampling:
    """How the latents of `item` are sampled."""
    steps = plan_steps(model.process, params.steps, params.solver, params.eta)
    window = (model.about.window_latent_px, model.about.window_latent_px)
    return Sampling(steps, params.law, window, params.batch_windows, seed, item)


def evaluator(job: Job, params: SamplerParams, model: denoiser.Model) -> Evaluate:
    """The guided denoiser on a Dask cluster where there is one, else in threads here or on every GPU."""
    address = cluster.address()
    if address:
        folder_path = folder.input_path(job, "denoiser").resolve()
        return cluster.on_cluster(address, cluster.Network(folder_path, params.guidance, params.device))
    return in_threads(model.guided(params.guidance))


def pixels(latents: Canvas, codec: autoencoder.Codec, side: int) -> Callable[[Window], NDArray[np.uint8]]:
    """What the canvas shows in a window (c, y, x) of the image, decoded."""
    seen = decode.blend(latents, codec.decode, side, codec.factor)

    def read(window: Window) -> NDArray[np.uint8]:
        return np.concatenate([to_pictures(strip) for strip in seen.strips(*window[1:])], axis=1)

    return read


def write_trajectory(image: Path, state: State, how: Sampling) -> list[Path]:
    """The canvas before each step as an array (step, c, y, x) beside the pyramid; returns its files."""
    path, shape = image / TRAJECTORY, (len(how.steps), *state.shape)
    side = TRAJECTORY_SHARD
    shard = (1, *state.shape[:1], side, side)
    if not (path / "zarr.json").exists():  # laid out here, as its size is not known before; by a run that was killed
        create_array(path, shape, "float32", shard, shard, "scyx")
    parts = windows(open_array(path))
    return [write(path, w, state.canvas(w[0].start).read(*w[2:])[None]) for w in parts]


def sample_recipe(plan: Mapping[str, Any], item: str, shape: tuple[int, ...]) -> str:
    """SHA-256 of all that determines one sample: models, code, libraries, seed, id, size, sampler and masks."""
    params = plan["params"]
    own = {key: params[key] for key in ("seed", "sampler", "masks")}
    common = {key: plan[key] for key in ("code", "libraries")}
    inputs = {entry["role"]: entry.get("recipe", entry.get("sha256")) for entry in plan["inputs"]}
    return sha256_bytes(canonical({"sample": item, "shape": list(shape), "params": own, "inputs": inputs, **common}))


def finish(job: Job) -> Record:
    """Write `samples.parquet` and the sheet of pairs, and publish."""
    params = SynthesiseParams.model_validate(job.plan["params"])
    found = [(item, receipt(job, item)) for item in job.items]
    rows = [_row(item, done["facts"], params) for item, done in found if done]
    with storage_faults(job.out):
        pd.DataFrame(rows).to_parquet(job.content / "samples.parquet", index=False)
        _sheet(job)
    classes = networks.read_model(folder.input_path(job, "denoiser"), DenoiserModel).classes
    metrics = {"samples": float(len(rows)), **_frequencies(job, classes)}
    return publish(job, metrics, figures=("figures/samples.png",))


def _row(item: str, facts: Mapping[str, Any], params: SynthesiseParams) -> dict[str, Any]:
    return {
        "sample_id": item,
        "seed": params.seed,
        "height_px": int(facts["height_px"]),
        "width_px": int(facts["width_px"]),
        "guidance": params.sampler.guidance,
        "steps": params.sampler.steps,
        "mask_source": list(facts["mask_source"]),
        "recipe": facts["recipe"],
    }


def _frequencies(job: Job, classes: Sequence[str]) -> dict[str, float]:
    """Fraction of each class over the masks of all samples (thesis A, fig. 5.7)."""
    counts = np.zeros(len(classes) + 1)
    for item in job.items:
        mask = open_array(job.content / "samples" / item / "labels" / "mask" / "0")
        for window in windows(mask):
            counts += np.bincount(np.asarray(mask[window]).ravel(), minlength=len(counts))
    names = ["unknown", *classes]
    return {f"mask_fraction_{name}": float(n / counts.sum()) for name, n in zip(names, counts, strict=True)}


def _sheet(job: Job) -> None:
    pairs = []
    for item in job.items[:SHOWN]:
        path = job.content / "samples" / item
        mask, picture = (_shown(image) for image in (path / "labels" / "mask", path))
        pairs.append([figures.coloured(mask), picture])
    rows = [pairs[k] + (pairs[k + 1] if k + 1 < len(pairs) else []) for k in range(0, len(pairs), 2)]
    figures.sheet(rows, job.content / "figures" / "samples.png")


def _shown(image: Path) -> NDArray[np.uint8]:
    """The largest level of a pyramid whose sides are at most `SHOWN_PX`."""
    level = 0
    while max(open_array(image / str(level)).shape[-2:]) > SHOWN_PX:
        level += 1
    return np.asarray(open_array(image / str(level))[:])
