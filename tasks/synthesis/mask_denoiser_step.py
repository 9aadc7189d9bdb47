"""Step `train` for the mask denoiser: the training slides' annotations in, `data/models/mask_denoiser` out."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts import Record
from tasks.errors import InputError, ParamsError, fault
from tasks.learn.determinism import device_of, on_device, one_thread, stated
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job, mark_done, start
from tasks.rng import generator
from tasks.synthesis import denoiser, figures, folder, frequencies, mask_denoiser, masks, networks, tiles
from tasks.synthesis.checkpoint import Run
from tasks.synthesis.mask_denoiser import Annotations, Asked
from tasks.synthesis.mask_params import MaskDenoiserModel, MaskDenoiserParams
from tasks.synthesis.optimise import Objective, fit_network
from tasks.synthesis.ranks import Group, together
from tasks.synthesis.schedule import forward_process

Classes = NDArray[np.uint8]
SHOWN, SHOWN_PX = 6, 128
REPAIR = "rawmill repro mask_denoiser"
FIGURES = ("figures/loss.png", "figures/masks.png", "figures/frequencies.png")


def prepare(raw: Path, out: Path, params: MaskDenoiserParams, repair: str = REPAIR) -> Job:
    """Check the input and plan the training. Raises `LineageError`, `InputError` and `ParamsError`."""
    table = tiles.read_tiles(raw)
    if not (table.loc[table["split"] == "train", "annotated"] > 0).any():
        wrong = "no training tile is annotated"
        raise InputError(fault(raw / "tiles.parquet", wrong, "some with a mask", "annotate a training slide"))
    levels = 2 ** (len(params.architecture.channels) - 1)
    if params.window_px % levels:
        raise ParamsError(fault("window_px", params.window_px, f"a multiple of {levels}", "mend that key"))
    plan = Plan(
        stage="train",
        name="mask_denoiser",
        inputs=[artefact("slides", raw, out)],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        seed=params.seed,
        notes=stated(params.fit.device),
    )
    return start(out, plan, [folder.ITEM], lambda content: None)


def process(job: Job, item: str) -> None:
    """Train, resuming from a checkpoint, compare what it generates with the annotations, write the model folder."""
    params = MaskDenoiserParams.model_validate(job.plan["params"])
    raw = folder.input_path(job, "slides")
    table = tiles.read_tiles(raw)
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    annotations = Annotations(*tiles.annotations(raw, train, params.reduction))
    model = _about(raw, params, annotations)
    run = together(fit, job, params.fit.processes, params.fit.device, job.staging)
    with on_device(params.fit.device):
        metrics = _held_out(run, Annotations(*tiles.annotations(raw, test, params.reduction)), model, params)
    files = networks.save(job.content, run.average, model)
    files.append(masks.save_bank(job.content, dict(annotations.slides), params.reduction, annotations.subtypes))
    with on_device(params.comparison.sampler.device):
        more, compared = _compare(job, annotations, params)
    metrics |= more | ({"final_loss": run.curve[-1][1]} if run.curve else {})
    files += [*compared, *folder.write_tables(job, metrics, run.curve, _roles(train))]
    files.append(figures.curve(run.curve, "loss", job.content / "figures" / "loss.png"))
    mark_done(job, folder.ITEM, files, {"metrics": metrics, "curve": run.curve})


def _about(raw: Path, params: MaskDenoiserParams, annotations: Annotations) -> MaskDenoiserModel:
    return MaskDenoiserModel(
        kind="mask_denoiser",
        architecture=params.architecture,
        diffusion=params.diffusion,
        classes=tuple(tiles.classes(raw)),
        subtypes=annotations.known(),
        window_px=params.window_px,
        reduction=params.reduction,
        signal=params.signal,
    )


@one_thread()
def fit(job: Job, group: Group) -> Run:
    """Train on windows of the annotations, as one of a group of processes."""
    params = MaskDenoiserParams.model_validate(job.plan["params"])
    raw = folder.input_path(job, "slides")
    table = tiles.read_tiles(raw)
    annotations = Annotations(*tiles.annotations(raw, table[table["split"] == "train"], params.reduction))
    classes, forward = len(tiles.classes(raw)), forward_process(params.diffusion)
    network = networks.denoiser(params.architecture, classes + 1, len(annotations.known()) + 1)
    networks.initialise(network, params.seed)
    objective = Objective(
        lambda step, rows: mask_denoiser.draw_batch(annotations, classes, params, step, rows),
        lambda batch, step: denoiser.loss(network, denoiser.Batch(*batch), forward),
    )
    return fit_network(network, objective, params.fit, folder.checkpoint(job), "mask_denoiser", group)


def _held_out(
    run: Run, held_out: Annotations, model: MaskDenoiserModel, params: MaskDenoiserParams
) -> dict[str, float]:
    """Losses of the averaged weights on windows of held-out slides."""
    network = cast(networks.Denoiser, run.network)
    network.load_state_dict(run.average)
    network.eval().to(device_of(params.fit.device))
    forward = forward_process(params.diffusion)
    return mask_denoiser.held_out_losses(network, held_out, model.subtypes, len(model.classes), params, forward)


def _compare(job: Job, annotations: Annotations, params: MaskDenoiserParams) -> tuple[dict[str, float], list[Path]]:
    """Masks of each subtype and side beside windows of the annotations: metrics, and the table's and figures' files."""
    model = mask_denoiser.load(job.content, params.comparison.sampler.device)
    labels, shown, compared = ["unknown", *model.about.classes], [], {}
    for subtype in model.about.subtypes or ("",):
        for side in params.comparison.sides_px:
            real = list(_real(annotations.of(subtype), params, subtype, side))
            made = list(_generated(model, params, subtype, side))
            own, other = (frequencies.shares(some, len(labels) - 1) for some in (real, made))
            name = "_".join([*([subtype] if subtype else []), str(side)])
            draws, confidence = params.comparison.draws, params.comparison.confidence
            compared[name] = frequencies.compare(own, other, draws, confidence, params.seed, name)
            shown += [[_seen(mask) for mask in some[:SHOWN]] for some in (real, made)]
    rows = frequencies.table(compared, labels)
    rows.to_parquet(job.content / "frequencies.parquet", index=False)
    files = [job.content / "frequencies.parquet", figures.sheet(shown, job.content / "figures" / "masks.png")]
    files.append(figures.frequencies(rows, job.content / "figures" / "frequencies.png"))
    return frequencies.metrics(compared, labels), files


def _seen(mask: Classes) -> NDArray[np.uint8]:
    """A reduced mask as a picture that is large enough to look at."""
    times = max(1, SHOWN_PX // mask.shape[0])
    return figures.coloured(mask.repeat(times, 0).repeat(times, 1))


def _real(annotations: Annotations, params: MaskDenoiserParams, subtype: str, side: int) -> Iterator[Classes]:
    """Windows of the annotations, reduced, by the law of the training windows at this side."""
    law = mask_denoiser.law_of(params, -(-side // params.reduction))
    draw = generator(params.seed, f"{subtype}/{side}", "real masks")
    for _ in range(params.comparison.masks):
        yield mask_denoiser.draw_window(annotations, law, draw)[0]


def _generated(model: mask_denoiser.Model, params: MaskDenoiserParams, subtype: str, side: int) -> Iterator[Classes]:
    """Generated masks, reduced."""
    how = params.comparison
    for k in range(how.masks):
        name = f"{subtype}/{side}/{k}"
        asked = Asked(subtype, (side, side), params.seed, name, how.thinnest_px, how.smallest_region_px)
        yield mask_denoiser.generate(model, asked, how.sampler, None).small


def _roles(train: pd.DataFrame) -> pd.DataFrame:
    """One row a training tile that is annotated, with its window: masks may come from any of them."""
    window = ["item", "y_px", "x_px", "height_px", "width_px"]
    used = train[train["annotated"] > 0].assign(role="mask", fold=np.int64(0))
    return used.sort_values("tile_id", ignore_index=True)[["tile_id", "role", "fold", *window]]


def finish(job: Job) -> Record:
    """Publish the model folder."""
    return folder.publish_model(job, FIGURES)
