"""Step `train` for the autoencoder: slide tiles in, `data/models/autoencoder` out."""

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from tasks.contracts import Record
from tasks.errors import ParamsError, fault
from tasks.learn.determinism import device_of, on_device, one_thread, stated
from tasks.lineage.recipe import Plan, artefact
from tasks.output import Job, mark_done, start
from tasks.synthesis import autoencoder, figures, folder, networks, perceptual, reconstruct, tiles
from tasks.synthesis.checkpoint import Run
from tasks.synthesis.optimise import fit_network
from tasks.synthesis.params import AutoencoderModel, AutoencoderParams
from tasks.synthesis.pictures import to_pictures
from tasks.synthesis.ranks import Group, together

REPAIR = "rawmill repro autoencoder"
SHOWN = 8


def prepare(raw: Path, out: Path, params: AutoencoderParams, encoder: Path | None = None, repair: str = REPAIR) -> Job:
    """Check the slide store and plan the training. Raises `LineageError`, `InputError`, `ParamsError`.

    `encoder` is the folder of a trained encoder; it is read, and an input, where the perceptual term has a weight.
    """
    table = tiles.read_tiles(raw)
    factor = params.architecture.factor
    if tiles.side_px(table) % factor:
        wrong = f"factor {factor} for tiles of {tiles.side_px(table)} px"
        raise ParamsError(fault("train.autoencoder", wrong, "a factor that divides the tiles", "mend architecture"))
    inputs = [artefact("slides", raw, out)]
    if params.perceptual.weight:
        inputs.append(artefact("encoder", _encoder(encoder), out))
    plan = Plan(
        stage="train",
        name="autoencoder",
        inputs=inputs,
        params=params.model_dump(mode="json"),
        code=__name__,
        repair=repair,
        seed=params.seed,
        notes=stated(params.fit.device),
    )
    return start(out, plan, [folder.ITEM], lambda content: None)


def _encoder(folder: Path | None) -> Path:
    """The folder, if it holds an encoder that can be read."""
    if folder is None:
        wrong, remedy = "a perceptual weight without an encoder", "name its folder, or write weight: 0.0"
        raise ParamsError(fault("train.autoencoder", wrong, "a trained encoder", remedy))
    perceptual.load(folder)
    return folder


def process(job: Job, item: str) -> None:
    """Train, resuming from a checkpoint, and write the model folder."""
    params = AutoencoderParams.model_validate(job.plan["params"])
    with on_device(params.fit.device):
        _make(job, params)


def _make(job: Job, params: AutoencoderParams) -> None:
    raw = folder.input_path(job, "slides")
    table = tiles.read_tiles(raw)
    run = together(fit, job, params.fit.processes, params.fit.device, job.staging)
    network = cast(networks.Autoencoder, run.network)
    network.load_state_dict(run.average)
    network.eval().to(device_of(params.fit.device))
    mean, std = autoencoder.latent_scale(network, tiles.Windows(raw, table[table["split"] == "train"]))
    architecture, device = params.architecture, params.fit.device
    codec = autoencoder.Codec(network, architecture.factor, architecture.latent_channels, mean, std, device)
    _write(job, raw, table, params, run, codec)


@one_thread()
def fit(job: Job, group: Group) -> Run:
    """Train on windows of the raw store, as one of a group of processes."""
    params = AutoencoderParams.model_validate(job.plan["params"])
    raw = folder.input_path(job, "slides")
    table = tiles.read_tiles(raw)
    pictures = tiles.Windows(raw, table[table["split"] == "train"])
    network = networks.autoencoder(params.architecture)
    autoencoder.begin(network, pictures, params)
    encoder = folder.input_path(job, "encoder") if params.perceptual.weight else None
    objective = reconstruct.objective(network, pictures, params, encoder, group.device(params.fit.device))
    return fit_network(network, objective, params.fit, folder.checkpoint(job), "autoencoder", group)


def _write(
    job: Job, raw: Path, table: pd.DataFrame, params: AutoencoderParams, run: Run, codec: autoencoder.Codec
) -> None:
    train = table[table["split"] == "train"]
    model = AutoencoderModel(
        kind="autoencoder",
        architecture=params.architecture,
        latent_mean=tuple(float(v) for v in codec.mean.ravel()),
        latent_std=codec.std,
        tile_px=tiles.side_px(table),
        pixel_size_um=tiles.pixel_size_um(raw, str(train["item"].iloc[0])),
    )
    files = networks.save(job.content, run.average, model)
    metrics, figure = _reconstruction(job, raw, table, params, codec)
    roles = pd.DataFrame({"tile_id": train["tile_id"], "role": "train", "fold": np.int64(0)})
    metrics |= {"final_loss": run.curve[-1][1]} if run.curve else {}
    files += [*folder.write_tables(job, metrics, run.curve, roles), figure]
    files.append(figures.curve(run.curve, "loss", job.content / "figures" / "loss.png"))
    mark_done(job, folder.ITEM, files, {"metrics": metrics, "curve": run.curve})


def _reconstruction(
    job: Job, raw: Path, table: pd.DataFrame, params: AutoencoderParams, codec: autoencoder.Codec
) -> tuple[dict[str, float], Path]:
    """PSNR and SSIM over held-out tiles (training tiles are named as such where there is no test split)."""
    test = table[table["split"] == "test"]
    name, chosen = ("held_out", test) if len(test) else ("train", table)
    rows = list(evenly(chosen, params.held_out_tiles).itertuples(index=False))
    originals = np.stack([tiles.picture(raw, tile) for tile in rows])
    back = to_pictures(codec.decode(codec.encode(originals)))
    shown = [originals[:SHOWN], back[:SHOWN]]
    figure = figures.sheet([list(row) for row in shown], job.content / "figures" / "reconstruction.png")
    return {f"{name}_{key}": value for key, value in fidelity(originals, back).items()}, figure


def evenly(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows of a table, evenly spread."""
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))]


def fidelity(originals: NDArray[np.uint8], back: NDArray[np.uint8]) -> dict[str, float]:
    """PSNR in dB of the mean squared error over all of (n, 3, y, x), and the mean SSIM of its tiles.

    Wang et al. 2004 for SSIM. The error is pooled, so that empty tiles, given back almost exactly, do not lift PSNR.
    """
    error = float(np.mean((originals.astype(np.float64) - back) ** 2))
    pairs: list[tuple[Any, Any]] = list(zip(originals, back, strict=True))
    ssim = [structural_similarity(a, b, channel_axis=0, data_range=255) for a, b in pairs]  # type: ignore[no-untyped-call]
    return {"psnr_db": 10 * math.log10(255**2 / max(error, 1e-9)), "ssim": float(np.mean(ssim))}


def finish(job: Job) -> Record:
    """Publish the model folder."""
    return folder.publish_model(job, ("figures/reconstruction.png", "figures/loss.png"))
