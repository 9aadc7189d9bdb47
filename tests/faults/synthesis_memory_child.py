"""Synthesises one mask-image pair with very small models and prints the most memory that this process held, in MB.

`python -m tests.faults.synthesis_memory_child FOLDER SIDE_PX`
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from flows._local import carry_out
from tasks import output
from tasks.lineage.recipe import Plan, digest_of, read
from tasks.params import Params
from tasks.rng import generator
from tasks.synthesis import conditioning, masks, networks, step
from tasks.synthesis.params import (
    AutoencoderArchitecture,
    AutoencoderModel,
    DenoiserArchitecture,
    DenoiserModel,
    DiffusionParams,
    SynthesiseParams,
)
from tests.faults.memory_child import peak_mb

LATENT_CHANNELS, WINDOW, FACTOR, REDUCTION, BANK = 4, 32, 16, 4, 2048
CODEC = AutoencoderArchitecture(
    patch_px=FACTOR,
    channels=(8,),
    blocks_per_level=1,
    norm_groups=4,
    latent_channels=LATENT_CHANNELS,
    linear_path=False,
    whitening=1.0,
    first_latent_noise=0.1,
)
NETWORK = DenoiserArchitecture(
    channels=(8, 8), attention=(False, False), blocks_per_level=1, norm_groups=4, head_channels=8, heads=None
)
SYNTHESISE = {
    "seed": 1,
    "count": 1,
    "sampler": {
        "steps": 2,
        "solver": "dpm_solver_pp",
        "eta": 0.0,
        "law": "grid",
        "guidance": 1.0,
        "batch_windows": 16,
        "record": False,
        "device": "cpu",
    },
}
SYNTHESISE["masks"] = {
    "source": "annotations",
    "zoom": [1.0, 1.0],
    "minimum_coverage": 0.0,
    "candidates": 1,
    "smallest_region_px": 256,
    "generated": {"subtypes": [], "thinnest_px": 0, "sampler": SYNTHESISE["sampler"]},
}


def publish(out: Path, network: "networks.Autoencoder | networks.Denoiser", about: Params) -> str:
    """A model folder with drawn weights, and the denoiser's masks; returns its digest."""
    networks.initialise(network, 1)
    job = output.start(out, Plan("train", out.name, [], {}, "tasks.rng", "-"), ["weights"], lambda content: None)
    files = networks.save(job.content, network.state_dict(), about)
    if isinstance(network, networks.Denoiser):
        coarse = generator(1, "bank", "classes").integers(0, 3, (BANK // 32, BANK // 32)).astype(np.uint8)
        files.append(masks.save_bank(job.content, {"a": np.kron(coarse, np.ones((32, 32), np.uint8))}, REDUCTION, {}))
        side = BANK * REDUCTION
        place = {"item": "a", "y_px": 0, "x_px": 0, "height_px": side, "width_px": side}
        pd.DataFrame([{"tile_id": "a", **place}]).to_parquet(job.content / "tiles.parquet")
    output.mark_done(job, "weights", files)
    output.publish(job)
    return digest_of(read(out))


def make_models(folder: Path) -> Path:
    codec = AutoencoderModel(
        kind="autoencoder",
        architecture=CODEC,
        latent_mean=(0.0,) * LATENT_CHANNELS,
        latent_std=1.0,
        tile_px=WINDOW * FACTOR,
        pixel_size_um=0.5,
    )
    recipe = publish(folder / "autoencoder", networks.autoencoder(CODEC), codec)
    about = DenoiserModel(
        kind="denoiser",
        architecture=NETWORK,
        diffusion=DiffusionParams(timesteps=100, schedule="cosine", prediction="velocity"),
        classes=("one", "two"),
        latent_channels=LATENT_CHANNELS,
        window_latent_px=WINDOW,
        autoencoder=recipe,
    )
    publish(folder / "denoiser", networks.denoiser(NETWORK, LATENT_CHANNELS, conditioning.channels(2)), about)
    return folder


def main(folder: Path, side_px: int) -> None:
    models = make_models(folder / "models")
    params = SynthesiseParams.model_validate({**SYNTHESISE, "sizes_px": [[side_px, side_px]]})
    carry_out(step, lambda: step.prepare(models, folder / "tissue.zarr", params, "tissue", "again"))
    print(peak_mb())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
