"""A small planted slide store: the class of a place decides its colour and texture."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks import output, store
from tasks.lineage.recipe import Plan, source_file
from tasks.rng import generator

TILE, SIDE = 32, 128
CLASSES = ["red", "blue"]
SUBTYPES = {"a": "one", "b": "two", "c": "one"}
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
            place = {"split": split, "coverage": 1.0, "group": slide, "subtype": SUBTYPES[slide]}
            found.append({**tile, **window, **place, **shares})
    return found


def plant(out: Path, annotated: bool = True, sources: Path | None = None) -> Path:
    """A published raw store of three slides, the last held out; as if ingested from files in `sources`, if named."""
    files = [sources / f"{slide}.tif" for slide in "abc"] if sources else []
    for file in files:
        file.write_text(file.name)
    inputs = [source_file("picture", file, out) for file in files]
    plan = Plan("ingest", "slides", inputs, {}, "tasks.rng", "dvc repro ingest@slides")
    job = output.start(out, plan, ["all"], lambda content: None)
    store.create_group(job.content, {"rawmill": {"version": 1, "kind": "slides", "classes": CLASSES}})
    store.create_group(job.content / "slides", {})
    tiles = []
    for slide, split in (("a", "train"), ("b", "train"), ("c", "test")):
        picture, mask = planted(slide)
        path = job.content / "slides" / slide
        store.create_image(path, store.Image("cyx", picture.shape, "uint8", 0.5, 1, 64, 128, store.RGB))
        store.write_image(path, lambda w, p=picture: p[w])
        if annotated:
            label = store.Image("yx", mask.shape, "uint8", 0.5, 1, 64, 128, label=True)
            store.create_labels(path, {"annotation": label})
            store.write_image(path / "labels" / "annotation", lambda w, m=mask: m[w])
            tiles += rows(slide, split, mask)
        else:
            tiles += [{**row, "mask": ""} for row in rows(slide, split, 0 * mask)]
    pd.DataFrame(tiles).to_parquet(job.content / "tiles.parquet", index=False)
    output.mark_done(job, "all", [job.content / "tiles.parquet"])
    output.publish(job)
    return out


FIT = {
    "batch": 4,
    "accumulate": 1,
    "steps": 4,
    "max_learning_rate": 2e-3,
    "warmup_fraction": 0.25,
    "ema_decay": 0.9,
    "checkpoint_every_steps": 2,
    "precision": "float32",
    "compile": False,
    "device": "cpu",
    "processes": 1,
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
    "perceptual": {"weight": 0.0},
    "adversarial": {
        "weight": 0.0,
        "feature_weight": 0.0,
        "start_step": 0,
        "learning_rate": 1e-4,
        "channels": 4,
        "layers": 2,
    },
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
        "heads": None,
    },
    "diffusion": {"timesteps": 100, "schedule": "cosine", "prediction": "epsilon"},
    "fit": FIT,
    "p_unconditional": 0.5,
    "orientations": 2,
    "mask_reduction": 2,
    "held_out_tiles": 4,
}
SAMPLER = {
    "steps": 3,
    "solver": "ddim",
    "eta": 0.0,
    "law": "random",
    "guidance": 1.0,
    "batch_windows": 8,
    "record": False,
    "device": "cpu",
}
MASK_DENOISER = {
    "seed": 10,
    "architecture": DENOISER["architecture"],
    "diffusion": {"timesteps": 100, "schedule": "flow", "prediction": "flow"},
    "fit": FIT,
    "p_unconditional": 0.2,
    "reduction": 4,
    "window_px": 16,
    "signal": 0.5,
    "minimum_coverage": 0.6,
    "candidates": 4,
    "held_out_windows": 4,
    "comparison": {
        "sides_px": [64, 96],
        "masks": 3,
        "thinnest_px": 8,
        "smallest_region_px": 32,
        "sampler": SAMPLER,
        "draws": 20,
        "confidence": 0.95,
    },
}
SYNTHESISE = {
    "seed": 9,
    "count": 2,
    "sizes_px": [[64, 64], [70, 90]],
    "sampler": SAMPLER,
    "masks": {
        "source": "annotations",
        "zoom": [0.7, 1.5],
        "minimum_coverage": 0.6,
        "candidates": 4,
        "smallest_region_px": 16,
        "generated": {"subtypes": [], "thinnest_px": 8, "sampler": SAMPLER},
    },
}
INPAINT = {
    "seed": 9,
    "region": "largest",
    "region_fractions": [0.1, 0.9],
    "targets": ["same"],
    "guidances": [0.0, 1.0],
    "resample": 1,
    "feather_px": 0,
    "sampler": {
        "steps": 3,
        "solver": "ddim",
        "eta": 0.0,
        "law": "random",
        "batch_windows": 8,
        "device": "cpu",
    },
}


def carry_out(step, job):
    """What a flow does: every item that is not done, then finish."""
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job)
