"""Step `train` for the denoiser: slide tiles and the autoencoder in, `data/models/denoiser` out."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts import Record
from tasks.errors import InputError, fault
from tasks.learn.determinism import device_of, on_device, one_thread, stated
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job, mark_done, start
from tasks.synthesis import autoencoder, denoiser, figures, folder, masks, networks, tiles
from tasks.synthesis.checkpoint import Run
from tasks.synthesis.optimise import Objective, fit_network
from tasks.synthesis.params import AutoencoderModel, DenoiserModel, DenoiserParams
from tasks.synthesis.ranks import Group, together
from tasks.synthesis.schedule import Process, forward_process

REPAIR = "rawmill repro denoiser"


def prepare(raw: Path, autoencoder_folder: Path, out: Path, params: DenoiserParams, repair: str = REPAIR) -> Job:
    """Check both inputs and plan the training. Raises `LineageError` and `InputError`."""
    table = tiles.read_tiles(raw)
    train = table[table["split"] == "train"]
    if params.p_unconditional < 1 and not (train["annotated"] > 0).any():
        wrong, remedy = "no training tile is annotated", "annotate a training slide, or write p_unconditional: 1.0"
        raise InputError(fault(raw / "tiles.parquet", wrong, "some with a mask", remedy))
    networks.read_model(autoencoder_folder, AutoencoderModel)
    plan = Plan(
        stage="train",
        name="denoiser",
        inputs=[artefact("slides", raw, out), artefact("autoencoder", autoencoder_folder, out)],
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        seed=params.seed,
        notes=stated(params.fit.device),
    )
    return start(out, plan, [folder.ITEM], lambda content: None)


def seen(raw: Path, params: DenoiserParams) -> pd.DataFrame:
    """The tiles as they are trained on: without their annotation where no step has a condition."""
    table = tiles.read_tiles(raw)
    return table.assign(annotated=0.0, mask="") if params.p_unconditional == 1 else table


def known(raw: Path, params: DenoiserParams) -> tuple[str, ...]:
    """The classes that the model can be told; none where no step has a condition."""
    return () if params.p_unconditional == 1 else tuple(tiles.classes(raw))


def process(job: Job, item: str) -> None:
    """Encode the tiles once, train, resuming from a checkpoint, and write the model folder."""
    params = DenoiserParams.model_validate(job.plan["params"])
    with on_device(params.fit.device):
        _make(job, params)


def _make(job: Job, params: DenoiserParams) -> None:
    raw = folder.input_path(job, "slides")
    table = seen(raw, params)
    codec = autoencoder.load(folder.input_path(job, "autoencoder"), params.fit.device)
    train = table[table["split"] == "train"]
    data = _data(job, raw, train, codec, params, "train")  # encoded here once, for all processes
    run = together(fit, job, params.fit.processes, params.fit.device, job.staging)
    network = cast(networks.Denoiser, run.network)
    network.load_state_dict(run.average)
    network.eval().to(device_of(params.fit.device))
    metrics = _held_out(job, raw, table, codec, params, network, forward_process(params.diffusion))
    _write(job, raw, train, params, run, data, metrics)


@one_thread()
def fit(job: Job, group: Group) -> Run:
    """Train on the latents in the staging place, as one of a group of processes."""
    params = DenoiserParams.model_validate(job.plan["params"])
    raw = folder.input_path(job, "slides")
    codec = autoencoder.load(folder.input_path(job, "autoencoder"))
    table = seen(raw, params)
    data = _data(job, raw, table[table["split"] == "train"], codec, params, "train")
    network = networks.denoiser(params.architecture, codec.channels, data.conditions.shape[1])
    networks.initialise(network, params.seed)
    forward = forward_process(params.diffusion)
    objective = Objective(
        lambda step, rows: denoiser.draw_batch(data, params, step, rows),
        lambda batch, step: denoiser.loss(network, denoiser.Batch(*batch), forward),
    )
    return fit_network(network, objective, params.fit, folder.checkpoint(job), "denoiser", group)


def _data(
    job: Job, raw: Path, table: pd.DataFrame, codec: autoencoder.Codec, params: DenoiserParams, name: str
) -> denoiser.Data:
    """Latents in each orientation and conditions of `table`, cached in the staging place."""

    def encode(tile: Any) -> NDArray[np.float32]:
        picture = tiles.picture(raw, tile)
        return codec.encode(np.stack([tiles.oriented(picture, turn) for turn in range(params.orientations)]))

    rows = list(table.itertuples(index=False))
    latents = tiles.cached(folder.cache(job, f"{name}-latents"), rows, encode)
    path = folder.cache(job, f"{name}-conditions")
    conditions = tiles.cache_conditions(raw, table, len(known(raw, params)), codec.factor, path)
    return denoiser.Data(latents, conditions, np.arange(len(table)), np.flatnonzero(table["annotated"].to_numpy() > 0))


def _held_out(
    job: Job,
    raw: Path,
    table: pd.DataFrame,
    codec: autoencoder.Codec,
    params: DenoiserParams,
    network: networks.Denoiser,
    forward: Process,
) -> dict[str, float]:
    """Losses on held-out tiles, annotated ones where there are such; none where no tile is held out."""
    test = table[table["split"] == "test"]
    if not len(test):
        return {}
    if (test["annotated"] > 0).any():
        test = test[test["annotated"] > 0]
    chosen = test.iloc[np.unique(np.linspace(0, len(test) - 1, min(params.held_out_tiles, len(test))).astype(int))]
    one = params.model_copy(update={"orientations": 1})
    return denoiser.held_out_losses(network, _data(job, raw, chosen, codec, one, "held-out"), params, forward)


def _write(
    job: Job,
    raw: Path,
    train: pd.DataFrame,
    params: DenoiserParams,
    run: Run,
    data: denoiser.Data,
    metrics: dict[str, float],
) -> None:
    entry = next(e for e in job.plan["inputs"] if e["role"] == "autoencoder")
    model = DenoiserModel(
        kind="denoiser",
        architecture=params.architecture,
        diffusion=params.diffusion,
        classes=known(raw, params),
        latent_channels=data.latents.shape[2],
        window_latent_px=data.latents.shape[3],
        autoencoder=entry["recipe"],
    )
    files = networks.save(job.content, run.average, model)
    files.append(_save_bank(job.content, raw, train, params.mask_reduction))
    metrics = metrics | ({"final_loss": run.curve[-1][1]} if run.curve else {})
    files += folder.write_tables(job, metrics, run.curve, _roles(train, data))
    files.append(figures.curve(run.curve, "loss", job.content / "figures" / "loss.png"))
    mark_done(job, folder.ITEM, files, {"metrics": metrics, "curve": run.curve})


def _save_bank(content: Path, raw: Path, train: pd.DataFrame, reduction: int) -> Path:
    slides, subtypes = tiles.annotations(raw, train, reduction)
    return masks.save_bank(content, slides, reduction, subtypes)


def _roles(train: pd.DataFrame, data: denoiser.Data) -> pd.DataFrame:
    """One row a tile and role, with the tile's window, so that masks can name the tiles they were cut from."""
    window = ["item", "y_px", "x_px", "height_px", "width_px"]
    parts = [
        train.iloc[rows][["tile_id", *window]].assign(role=role, fold=np.int64(0))
        for role, rows in (("labelled", data.labelled), ("unlabelled", data.unlabelled))
    ]
    table = pd.concat(parts).sort_values(["tile_id", "role"], ignore_index=True)
    return table[["tile_id", "role", "fold", *window]]


def finish(job: Job) -> Record:
    """Publish the model folder."""
    return folder.publish_model(job, ("figures/loss.png",))
