"""Where the mask of a sample comes from: the user, the mask denoiser, or windows of the annotations."""

from pathlib import Path
from typing import Any

from tasks.errors import InputError, fault
from tasks.learn.determinism import on_device
from tasks.lineage.recipe import artefact
from tasks.output import Job
from tasks.synthesis import folder, mask_denoiser, mask_files, masks, networks
from tasks.synthesis.mask_params import MaskDenoiserModel
from tasks.synthesis.params import DenoiserModel, SynthesiseParams
from tasks.synthesis.schedule import check_steps


def mask_denoiser_entry(models: Path, out: Path, model: DenoiserModel, params: SynthesiseParams) -> dict[str, Any]:
    """The input entry of the mask denoiser, which must know the denoiser's classes and the subtypes asked for.

    Raises `InputError` and `LineageError`.
    """
    place = models / "mask_denoiser"
    if not place.is_dir():
        remedy = "train it, or set synthesise.masks.source to annotations"
        raise InputError(fault(place, "not there", "a mask denoiser, to generate masks", remedy))
    entry = artefact("mask_denoiser", place, out)
    about = networks.read_model(place, MaskDenoiserModel)
    if about.classes != model.classes:
        wrong = f"masks of the classes {', '.join(about.classes)}"
        raise InputError(fault(place, wrong, ", ".join(model.classes), "train both on the same slides"))
    check_steps("masks.generated.sampler.steps", params.masks.generated.sampler.steps, about.diffusion)
    for subtype in params.masks.generated.subtypes:
        mask_denoiser.prompt(about.subtypes, subtype)
    return entry


def mask_of(job: Job, params: SynthesiseParams, item: str, classes: int) -> masks.Mask | mask_files.Given:
    """The mask of sample `item`: a function of the job's plan and the item's name."""
    given = {entry["role"]: entry for entry in job.plan["inputs"]}
    if "mask" in given:
        return mask_files.given(folder.input_path(job, "mask") / given["mask"].get("inside", ""), classes)
    number = int(item[1:])
    size = params.sizes_px[number % len(params.sizes_px)]
    if not classes:
        return masks.unknown(size)
    if "mask_denoiser" in given:
        return _generated(job, params, item, size)
    return masks.cut(masks.load_bank(folder.input_path(job, "denoiser")), size, params.masks, params.seed, item)


def _generated(job: Job, params: SynthesiseParams, item: str, size: tuple[int, int]) -> masks.Mask:
    how = params.masks.generated
    with on_device(how.sampler.device):
        model = mask_denoiser.load(folder.input_path(job, "mask_denoiser"), how.sampler.device)
        subtypes = how.subtypes or model.about.subtypes or ("",)
        # Sizes are taken in turn too: subtypes change after each round of sizes, so that all meet all.
        subtype = subtypes[int(item[1:]) // len(params.sizes_px) % len(subtypes)]
        asked = mask_denoiser.Asked(subtype, size, params.seed, item, how.thinnest_px, params.masks.smallest_region_px)
        return mask_denoiser.generate(model, asked, how.sampler, job.staging / "scratch" / item / "mask")
