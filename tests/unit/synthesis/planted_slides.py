"""A small planted slide store: the class of a place decides its colour and texture."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks import output, store
from tasks.lineage.recipe import Plan
from tasks.rng import generator

TILE, SIDE = 32, 128
CLASSES = ["red", "blue"]
COLOURS = np.array([(235, 235, 235), (200, 60, 60), (60, 60, 200)])


def planted(slide: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (3, y, x) and annotation (y, x): left half red, right half blue, a third of it unannotated."""
    mask = np.repeat(np.where(np.arange(SIDE) < SIDE // 2, 1, 2)[None], SIDE, 0).astype(np.uint8)
    noise = generator(1, slide, "texture").normal(0, 8, (3, SIDE, SIDE))
    picture = np.clip(np.moveaxis(COLOURS[mask], -1, 0) + noise, 0, 255).astype(np.uint8)
    mask[: SIDE // 4] = 0
    return picture, mask


def rows(slide: str, split: str, mask: np.ndarray) -> list[dict]:
    path = f"slides/{slide}/labels/annotation"
    found = []
    for y in range(0, SIDE, TILE):
        for x in range(0, SIDE, TILE):
            crop = mask[y : y + TILE, x : x + TILE]
            shares = {f"fraction_{name}": float((crop == k + 1).mean()) for k, name in enumerate(CLASSES)}
            window = {"y_px": y, "x_px": x, "height_px": TILE, "width_px": TILE}
            tile = {"tile_id": f"{slide}-{y:04d}-{x:04d}", "source": f"{slide}.tif", "item": slide, "mask": path}
            found.append({**tile, **window, "split": split, "coverage": 1.0, "group": slide, **shares})
    return found


def plant(out: Path) -> Path:
    """A published raw store of three slides, the last held out."""
    plan = Plan("ingest", "slides", [], {}, "tasks.rng", "dvc repro ingest@slides")
    job = output.start(out, plan, ["all"], lambda content: None)
    store.create_group(job.content, {"rawmill": {"version": 1, "kind": "slides", "classes": CLASSES}})
    store.create_group(job.content / "slides", {})
    tiles = []
    for slide, split in (("a", "train"), ("b", "train"), ("c", "test")):
        picture, mask = planted(slide)
        path = job.content / "slides" / slide
        store.create_image(path, store.Image("cyx", picture.shape, "uint8", 0.5, 1, 64, 128, store.RGB))
        store.create_labels(path, {"annotation": store.Image("yx", mask.shape, "uint8", 0.5, 1, 64, 128, label=True)})
        store.write_image(path, lambda w, p=picture: p[w])
        store.write_image(path / "labels" / "annotation", lambda w, m=mask: m[w])
        tiles += rows(slide, split, mask)
    pd.DataFrame(tiles).to_parquet(job.content / "tiles.parquet", index=False)
    output.mark_done(job, "all", [job.content / "tiles.parquet"])
    output.publish(job)
    return out


FIT = {
    "batch": 4,
    "steps": 4,
    "max_learning_rate": 2e-3,
    "warmup_fraction": 0.25,
    "ema_decay": 0.9,
    "checkpoint_every_steps": 2,
}
AUTOENCODER = {
    "seed": 7,
    "architecture": {
        "patch_px": 2,
        "channels": [8, 8],
        "blocks_per_level": 1,
        "norm_groups": 4,
        "latent_channels": 3,
        "linear_path": True,
        "whitening": 1.0,
        "first_latent_noise": 0.05,
    },
    "fit": FIT,
    "kl_weight": 1e-6,
    "gradient_weight": 0.5,
    "held_out_tiles": 4,
}
DENOISER = {
    "seed": 8,
    "architecture": {
        "channels": [8, 16],
        "attention": [False, True],
        "blocks_per_level": 1,
        "norm_groups": 4,
        "head_channels": 8,
    },
    "diffusion": {"timesteps": 100, "schedule": "cosine", "prediction": "epsilon"},
    "fit": FIT,
    "p_unconditional": 0.5,
    "orientations": 2,
    "mask_reduction": 2,
    "held_out_tiles": 4,
}
SYNTHESISE = {
    "seed": 9,
    "count": 2,
    "sizes_px": [[64, 64], [70, 90]],
    "sampler": {
        "steps": 3,
        "solver": "ddim",
        "eta": 0.0,
        "law": "random",
        "guidance": 1.0,
        "batch_windows": 8,
        "record": False,
        "device": "cpu",
    },
    "masks": {"zoom": [0.7, 1.5], "minimum_coverage": 0.6, "candidates": 4, "smallest_region_px": 16},
}


def carry_out(step, job):
    """What a flow does: every item that is not done, then finish."""
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job)
