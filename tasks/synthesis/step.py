"""Step `synthesise`: autoencoder and denoiser in, a synthetic store of mask-image pairs out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tasks.contracts import DATA_MODEL_VERSION, Record
from tasks.errors import InputError, LineageError, fault
from tasks.learn.determinism import one_thread
from tasks.lineage.digest import canonical, sha256_bytes
from tasks.lineage.recipe import Plan, artefact, digest_of, read, source_file
from tasks.output import Job, mark_done, publish, receipt, start
from tasks.store import RGB, Image, create_group, create_image, create_labels, open_array, pyramid_levels, write_image
from tasks.synthesis import autoencoder, conditioning, decode, denoiser, figures, folder, masks, networks
from tasks.synthesis.params import AutoencoderModel, DenoiserModel, SynthesiseParams
from tasks.synthesis.pictures import to_pictures
from tasks.synthesis.sampler import guided, sample
from tasks.synthesis.schedule import ddim_steps

CHUNK_PX, SHARD_PX, SMALLEST_LEVEL_PX = 256, 2048, 128
SHOWN = 8


def prepare(
    models: Path, out: Path, params: SynthesiseParams, corpus: str, repair: str, mask: Path | None = None
) -> Job:
    """Plan `params.count` samples by the `autoencoder` and `denoiser` below the folder `models`.

    `mask`, a PNG of class indices, is used for each sample as it is and sets their size; without it masks are cut
    from the annotations that the denoiser carries. Raises `LineageError` and `InputError`.
    """
    inputs = [artefact(name, models / name, out) for name in ("autoencoder", "denoiser")]
    model = networks.read_model(models / "denoiser", DenoiserModel)
    _check_pair(models, model)
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
    )
    ids = [f"s{index:05d}" for index in range(params.count)]
    pixel_size = networks.read_model(models / "autoencoder", AutoencoderModel).pixel_size_um
    planned = {sample_id: tuple(sizes[index % len(sizes)]) for index, sample_id in enumerate(ids)}
    return start(out, plan, ids, lambda content: _lay_out(content, planned, list(model.classes), pixel_size))


def _there(mask: Path) -> Path:
    if not mask.is_file():
        raise InputError(fault(mask, "not there", "a PNG of class indices", "name one with --mask"))
    return mask


def _check_pair(models: Path, model: DenoiserModel) -> None:
    """The denoiser must have been trained on this very autoencoder's latents."""
    found = digest_of(read(models / "autoencoder"))
    if found != model.autoencoder:
        wrong = f"its latents are those of autoencoder {model.autoencoder[:16]}"
        raise LineageError(fault(models / "denoiser", wrong, found[:16], "train the denoiser again"))


def _lay_out(
    content: Path, planned: Mapping[str, tuple[int, ...]], classes: list[str], pixel_size_um: float | None
) -> None:
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


@one_thread()
def process(job: Job, item: str) -> None:
    """One sample: mask, latents by the random-patch sampler, decode into the store."""
    params = SynthesiseParams.model_validate(job.plan["params"])
    codec = autoencoder.load(folder.input_path(job, "autoencoder"))
    model = denoiser.load(folder.input_path(job, "denoiser"))
    cut = _mask(job, params, item, len(model.about.classes))
    latents = draw_latents(cut.mask, codec, model, params, item)
    files = write_pair(job.content / "samples" / item, latents, cut.mask, codec, model.about.window_latent_px)
    facts = {
        "height_px": cut.mask.shape[0],
        "width_px": cut.mask.shape[1],
        "mask_source": list(cut.source),
        "recipe": sample_recipe(job.plan, item, cut.mask.shape),
    }
    mark_done(job, item, files, facts)


def _mask(job: Job, params: SynthesiseParams, item: str, classes: int) -> masks.Cut:
    if any(entry["role"] == "mask" for entry in job.plan["inputs"]):
        return masks.Cut(masks.read_png(folder.input_path(job, "mask"), classes), ())
    size = params.sizes_px[job.items.index(item) % len(params.sizes_px)]
    return masks.cut(masks.load_bank(folder.input_path(job, "denoiser")), size, params.masks, params.seed, item)


def draw_latents(
    mask: NDArray[np.uint8], codec: autoencoder.Codec, model: denoiser.Model, params: SynthesiseParams, item: str
) -> NDArray[np.float32]:
    """Unit-variance latents (c, y, x) for a mask: as large as the mask needs, at least one window."""
    told = conditioning.condition(mask, len(model.about.classes), codec.factor)
    fill = [(0, max(0, model.about.window_latent_px - n)) for n in told.shape[1:]]
    told = np.pad(told, [(0, 0), *fill], mode="edge")
    null = torch.from_numpy(conditioning.null(len(model.about.classes), 1, 1))
    window = (model.about.window_latent_px, model.about.window_latent_px)
    epsilon = guided(model.epsilon, null, params.sampler.guidance)
    steps = ddim_steps(model.retained, params.sampler.steps)
    return sample(told, epsilon, steps, window, codec.channels, params.seed, item, params.sampler.batch_windows)


def write_pair(
    path: Path, latents: NDArray[np.float32], mask: NDArray[np.uint8], codec: autoencoder.Codec, window: int
) -> list[Path]:
    """Decode `latents` strip by strip into the image at `path`, cropped to the mask, and write the mask's label."""
    stream = decode.strips(latents, codec.decode, window, codec.factor)
    reader = decode.RowReader(stream, to_pictures)
    files = write_image(path, reader.read)
    return files + write_image(path / "labels" / "mask", lambda part: mask[part])


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
        mask = np.asarray(open_array(job.content / "samples" / item / "labels" / "mask" / "0")[:])
        counts += np.bincount(mask.ravel(), minlength=len(counts))
    names = ["unknown", *classes]
    return {f"mask_fraction_{name}": float(n / counts.sum()) for name, n in zip(names, counts, strict=True)}


def _sheet(job: Job) -> None:
    pairs = []
    for item in job.items[:SHOWN]:
        path = job.content / "samples" / item
        mask = np.asarray(open_array(path / "labels" / "mask" / "0")[:])
        pairs.append([figures.coloured(mask), np.asarray(open_array(path / "0")[:])])
    rows = [pairs[k] + (pairs[k + 1] if k + 1 < len(pairs) else []) for k in range(0, len(pairs), 2)]
    figures.sheet(rows, job.content / "figures" / "samples.png")
