"""Step `inpaint`: models and real pictures in, a synthetic store of pictures whose region is made again out."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts import DATA_MODEL_VERSION, Record
from tasks.errors import ParamsError, fault
from tasks.learn.determinism import on_device
from tasks.lineage.digest import canonical, sha256_bytes
from tasks.lineage.recipe import Plan, artefact, source_file
from tasks.output import Job, facts, mark_done, publish, start
from tasks.store import (
    RGB,
    Image,
    create_group,
    create_image,
    create_labels,
    open_array,
    pyramid_levels,
    write_image,
)
from tasks.synthesis import autoencoder, denoiser, figures, folder, inpaint, networks, originals, room, tolerance
from tasks.synthesis.canvas import Canvas, State
from tasks.synthesis.originals import PICTURE, Original
from tasks.synthesis.params import SAME, AutoencoderModel, DenoiserModel, InpaintParams
from tasks.synthesis.sampler import Sampling, sample
from tasks.synthesis.schedule import check_steps
from tasks.synthesis.step import (
    CHUNK_PX,
    SHARD_PX,
    SHOWN,
    SMALLEST_LEVEL_PX,
    beside,
    check_pair,
    evaluator,
    inside,
    pixels,
    sampling,
    tell,
)

SHOWN_PX = 512
SHEET = "figures/inpainted.png"


@dataclass(frozen=True)
class Wish:
    """What one sample is: the original by its id, what its region is to show, and w."""

    original: str
    target: str
    guidance: float


def wishes(names: Sequence[str], params: InpaintParams) -> dict[str, Wish]:
    """Samples by id: each original with each target at each w."""
    found = product(names, params.targets, params.guidances)
    return {f"s{index:05d}": Wish(*wish) for index, wish in enumerate(found)}


def prepare_tiles(
    models: Path, raw: Path, tiles: Sequence[str] | int, out: Path, params: InpaintParams, repair: str
) -> Job:
    """Plan the tiles of the raw store `raw` that are named, or so many of those held out.

    `models` is the folder of `autoencoder` and `denoiser`. Raises `LineageError`, `InputError` and `ParamsError`.
    """
    inputs = [*_models(models, out, params), artefact("raw", raw, out)]
    about = networks.read_model(models / "denoiser", DenoiserModel)
    pixel_size = networks.read_model(models / "autoencoder", AutoencoderModel).pixel_size_um
    originals.check_store(raw, about.classes, pixel_size)
    names = originals.first_held_out(raw, tiles, params) if isinstance(tiles, int) else originals.named(raw, tiles)
    shapes = {name: originals.tile(raw, name, params.region).region.shape for name in names}
    return _start(models, inputs, shapes, out, params, repair)


def prepare_picture(models: Path, picture: Path, region: Path, out: Path, params: InpaintParams, repair: str) -> Job:
    """Plan a user's own picture (8-bit RGB) with the region that a PNG of its size marks by any value but 0.

    Raises `LineageError`, `InputError` and `ParamsError`.
    """
    inputs = _models(models, out, params)
    if SAME in params.targets:
        wrong, expected = "same, but nothing is annotated on a picture", "the name of a class"
        raise ParamsError(fault("--class", wrong, expected, "say what the region is to show"))
    original = originals.drawn(picture, region)
    inputs += [source_file("picture", picture, out), source_file("region", region, out)]
    return _start(models, inputs, {PICTURE: original.region.shape}, out, params, repair)


def _models(models: Path, out: Path, params: InpaintParams) -> list[dict[str, Any]]:
    """Input entries of the two models, which fit one another and know the classes that are asked for."""
    inputs = [artefact(name, models / name, out) for name in ("autoencoder", "denoiser")]
    about = networks.read_model(models / "denoiser", DenoiserModel)
    check_pair(models, about)
    check_steps("inpaint.sampler.steps", params.sampler.steps, about.diffusion)
    for target in params.targets:
        if target != SAME and target not in about.classes:
            expected = f"{SAME}, {', '.join(about.classes)}"
            raise ParamsError(fault(f"--class {target}", "the model does not know it", expected, "name one of these"))
    return inputs


def _start(
    models: Path,
    inputs: Sequence[Mapping[str, Any]],
    shapes: Mapping[str, tuple[int, ...]],
    out: Path,
    params: InpaintParams,
    repair: str,
) -> Job:
    plan = Plan(
        stage="inpaint",
        name=out.stem,
        inputs=inputs,
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        seed=params.seed,
        notes={"originals": list(shapes), **tolerance.stated(params.sampler.device)},
    )
    classes = networks.read_model(models / "denoiser", DenoiserModel).classes
    pixel_size = networks.read_model(models / "autoencoder", AutoencoderModel).pixel_size_um
    planned = {item: shapes[wish.original] for item, wish in wishes(list(shapes), params).items()}
    return start(out, plan, planned, lambda content: _lay_out(content, planned, classes, pixel_size))


def _lay_out(
    content: Path, planned: Mapping[str, tuple[int, ...]], classes: Sequence[str], pixel_size_um: float | None
) -> None:
    about = {"version": DATA_MODEL_VERSION, "kind": "inpainted", "synthetic": True, "classes": list(classes)}
    create_group(content, {"rawmill": about})
    create_group(content / "samples", {})
    for item, (height, width) in sorted(planned.items()):
        layout = (pixel_size_um, pyramid_levels(height, width, SMALLEST_LEVEL_PX), CHUNK_PX, SHARD_PX)
        create_image(content / "samples" / item, Image("cyx", (3, height, width), "uint8", *layout, RGB))
        label = Image("yx", (height, width), "uint8", *layout, label=True)
        create_labels(content / "samples" / item, {"mask": label, "region": label})


def process(job: Job, item: str) -> None:
    """One sample: labels, latents by the sampler from what is known, decode and compose. Resumes step by step."""
    params, wish = _params(job), _wish(job, item)
    sampler = params.sampler_at(wish.guidance)
    scratch = inside((job.staging / "scratch" / item).absolute())  # workers have another working directory
    image = job.content / "samples" / item
    original = _original(job, wish.original)
    with on_device(sampler.device):
        codec = autoencoder.load(folder.input_path(job, "autoencoder"), sampler.device)
        model = denoiser.load(folder.input_path(job, "denoiser"), sampler.device)
        asked = original.asked(wish.target, model.about.classes)
        files = _write_labels(image, asked, original.region)
        how, most = room.fitted(_sampling(params, model, wish), sampler, model.about, beside(job))
        known = real_latents(original, codec, model, how, scratch)
        told = tell(open_array(image / "labels" / "mask" / "0"), model.about, codec.factor, scratch)
        state = State(known.z0.shape, scratch)
        latents = sample(told, codec.channels, evaluator(job, sampler, model, most), how, state, known)
        seen = pixels(latents, codec, how.window[0])
        weight = inpaint.weights(original.region, original.crossfade_px(asked, params.feather_px))
        files += write_image(image, lambda w: inpaint.compose(original.picture[w], seen(w), weight[w[1:]]))
    told_of = {**_measured(image, original), "recipe": _recipe(job, wish)}
    mark_done(job, item, files, told_of)
    shutil.rmtree(scratch)


def _params(job: Job) -> InpaintParams:
    return InpaintParams.model_validate(job.plan["params"])


def _wish(job: Job, item: str) -> Wish:
    return wishes(job.plan["notes"]["originals"], _params(job))[item]


def _original(job: Job, name: str) -> Original:
    if name == PICTURE:
        return originals.drawn(folder.input_path(job, "picture"), folder.input_path(job, "region"))
    return originals.tile(folder.input_path(job, "raw"), name, _params(job).region)


def _write_labels(image: Path, asked: NDArray[np.uint8], region: NDArray[np.bool_]) -> list[Path]:
    files = write_image(image / "labels" / "mask", lambda w: asked[w])
    return files + write_image(image / "labels" / "region", lambda w: region[w].astype(np.uint8))


def _sampling(params: InpaintParams, model: denoiser.Model, wish: Wish) -> Sampling:
    """The noise is the original's: the same for every target and w, so that only these tell samples apart."""
    how = sampling(params.sampler_at(wish.guidance), model, params.seed, wish.original)
    return replace(how, steps=inpaint.resampled(model.process, how.steps, params.resample))


def real_latents(
    original: Original, codec: autoencoder.Codec, model: denoiser.Model, how: Sampling, scratch: Path
) -> inpaint.RealLatents:
    """The original's latents in a file of `scratch`, and where they are free."""
    side = how.window[0]
    values = inpaint.encode(original.picture, codec.encode, side, codec.factor)
    z0 = Canvas((len(values), *values.shape[1:]), scratch / "real.f32")
    z0.write(slice(0, values.shape[1]), slice(0, values.shape[2]), values)
    first = how.steps[0].t
    start = (float(model.process.signal[first]), float(model.process.noise[first]))
    return inpaint.RealLatents(z0, inpaint.free_latents(original.region, side, codec.factor), start)


def _measured(image: Path, original: Original) -> dict[str, float]:
    made, region = np.asarray(open_array(image / "0")[:]), original.region
    change = np.abs(made.astype(np.float32) - original.picture)[:, region]
    return {
        "height_px": int(region.shape[0]),
        "width_px": int(region.shape[1]),
        "region_fraction": float(region.mean()),
        "mean_change_dn": float(change.mean()),
        "seam_dn": inpaint.seam(made, region),
        "original_seam_dn": inpaint.seam(original.picture, region),
    }


def _recipe(job: Job, wish: Wish) -> str:
    """SHA-256 of all that determines one sample: models, original, code, libraries, seed, target, w and sampler."""
    own = {key: job.plan["params"][key] for key in ("seed", "region", "resample", "feather_px", "sampler")}
    common = {key: job.plan[key] for key in ("code", "libraries")}
    inputs = {entry["role"]: entry.get("recipe", entry.get("sha256")) for entry in job.plan["inputs"]}
    wished = {"original": wish.original, "target": wish.target, "guidance": wish.guidance}
    return sha256_bytes(canonical({**wished, "params": own, "inputs": inputs, **common}))


def finish(job: Job) -> Record:
    """Write `samples.parquet` and the sheet, and publish."""
    told = facts(job, job.items)
    table = pd.DataFrame([_row(job, item, told[item]) for item in job.items])
    table.to_parquet(job.content / "samples.parquet", index=False)
    _sheet(job)
    met = table[(table["original_seam_dn"] > 0) & (table["target"] == SAME)]  # else an edge is what is asked for
    metrics = {"samples": float(len(table)), "region_fraction": float(table["region_fraction"].mean())}
    for w, rows in met.groupby("guidance"):
        metrics[f"seam_ratio_w{w:g}"] = float(rows["seam_dn"].sum() / rows["original_seam_dn"].sum())
    for w, rows in table.groupby("guidance"):
        metrics[f"mean_change_dn_w{w:g}"] = float(rows["mean_change_dn"].mean())
    return publish(job, metrics, figures=(SHEET,))


def _row(job: Job, item: str, told: Mapping[str, Any]) -> dict[str, Any]:
    params, wish = _params(job), _wish(job, item)
    tile = [] if wish.original == PICTURE else [wish.original]
    return {
        "sample_id": item,
        "original": wish.original,
        "target": wish.target,
        "guidance": wish.guidance,
        "seed": params.seed,
        "steps": params.sampler.steps,
        **told,
        "mask_source": tile,
    }


def _sheet(job: Job) -> None:
    """A row for each original and target: the original, the region in the colours of what is asked, each w."""
    columns = len(_params(job).guidances)
    rows = []
    for first in range(0, min(len(job.items), SHOWN * columns), columns):
        items = job.items[first : first + columns]
        original = _original(job, _wish(job, items[0]).original)
        made = [np.asarray(open_array(job.content / "samples" / item / "0")[:]) for item in items]
        asked = np.asarray(open_array(job.content / "samples" / items[0] / "labels" / "mask" / "0")[:])
        shown = np.where(original.region, figures.coloured(asked), original.picture)
        rows.append([_reduced(picture) for picture in (original.picture, shown, *made)])
    figures.sheet(rows, job.content / SHEET)


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One pixel in so many that the sheet stays small."""
    stride = -(-max(picture.shape[1:]) // SHOWN_PX)
    return picture[:, ::stride, ::stride]
