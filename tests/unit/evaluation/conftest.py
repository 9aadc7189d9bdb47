"""Planted slides and corpora, small enough for seconds: four kinds of tissue that differ in colour and grain."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks import output, store
from tasks.evaluation.params import Augmentation, EncoderParams, EvaluateParams, Network, SegmenterParams, Training
from tasks.lineage.recipe import Plan, artefact
from tasks.rng import generator

TILE, SIDE, BLOCK = 32, 256, 32
CLASSES = ["red", "green", "blue", "dark"]
COLOURS = np.array([[210, 90, 90], [90, 190, 90], [90, 90, 200], [60, 60, 60]], np.float64)
Picture = NDArray[np.uint8]


def tissue(name: str, height: int, width: int) -> tuple[Picture, Picture]:
    """A picture (3, y, x) and its true labels 1..4 (y, x), in blocks, each block with a tint of its own."""
    rng = generator(5, name, "tissue")
    blocks = rng.integers(0, 4, (-(-height // BLOCK), -(-width // BLOCK)))
    square = np.ones((BLOCK, BLOCK), np.int64)
    labels = np.kron(blocks, square)[:height, :width]
    tint = np.stack([np.kron(rng.uniform(-25, 25, blocks.shape), square)[:height, :width] for _ in range(3)])
    y, x = np.mgrid[:height, :width]
    grain = 25 * np.sin(y * 2 * np.pi / 8 + rng.uniform(0, 6)) * np.sin(x * 2 * np.pi / (4 + 2 * labels))
    picture = np.moveaxis(COLOURS[labels], -1, 0) + tint + grain + rng.normal(0, 6, (3, height, width))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), (labels + 1).astype(np.uint8)


def seal(out: Path, name: str, fill: Callable[[Path], list[Path]], inputs: Sequence[Mapping[str, Any]] = ()) -> Path:
    plan = Plan("planted", name, list(inputs), {}, "tasks.store", "plant it again")
    job = output.start(out, plan, ["all"], lambda content: None)
    output.mark_done(job, "all", fill(job.content))
    output.publish(job)
    return out


def layout(label: bool, shape: tuple[int, ...], pixel_size_um: float = 0.5) -> store.Image:
    axes = "yx" if label else "cyx"
    return store.Image(axes, shape, "uint8", pixel_size_um, 1, 64, 256, () if label else store.RGB, label=label)


def write_pair(place: Path, label: str, picture: Picture, mask: Picture, pixel_size_um: float = 0.5) -> list[Path]:
    store.create_image(place, layout(False, picture.shape, pixel_size_um))
    store.create_labels(place, {label: layout(True, mask.shape, pixel_size_um)})
    files = store.write_image(place, lambda w: picture[w])
    return files + store.write_image(place / "labels" / label, lambda w: mask[w])


def tile_rows(item: str, split: str, mask: Picture) -> list[dict[str, object]]:
    corners = [(y, x) for y in range(0, SIDE, TILE) for x in range(0, SIDE, TILE)]
    return [
        {
            "tile_id": f"{item}_{y:04d}_{x:04d}", "source": f"{item}.tif", "item": item, "index": -1,
            "y_px": y, "x_px": x, "height_px": TILE, "width_px": TILE, "label": "",
            "mask": f"slides/{item}/labels/annotation", "group": item, "split": split,
            "fold": 0 if split == "train" else -1, "intensity": 1.0,
            "coverage": float((mask[y : y + TILE, x : x + TILE] > 0).mean()),
        }
        for y, x in corners
    ]  # fmt: skip


def plant_slides(out: Path) -> Path:
    """Slides `a`, `b` (train) and `c` (test), the right quarter of each not annotated."""

    def fill(content: Path) -> list[Path]:
        store.create_group(content, {"rawmill": {"version": 1, "kind": "slides", "classes": CLASSES}})
        files: list[Path] = []
        rows: list[dict[str, object]] = []
        for item, split in (("a", "train"), ("b", "train"), ("c", "test")):
            picture, mask = tissue(item, SIDE, SIDE)
            mask[:, SIDE * 3 // 4 :] = 0
            files += write_pair(content / "slides" / item, "annotation", picture, mask)
            rows += tile_rows(item, split, mask)
        pd.DataFrame(rows).sort_values("tile_id").to_parquet(content / "tiles.parquet", index=False)
        return files

    return seal(out, "slides", fill)


Canvas = tuple[Picture, Picture]


def plant_model(out: Path, slides: Path, tile_ids: Sequence[str]) -> Path:
    """A model folder of the store `slides` whose table names `tile_ids`."""

    def fill(content: Path) -> list[Path]:
        table = pd.DataFrame({"tile_id": list(tile_ids), "role": "train", "fold": 0})
        table.to_parquet(content / "tiles.parquet", index=False)
        return [content / "tiles.parquet"]

    return seal(out, out.name, fill, [artefact("slides", slides, out)])


def plant_corpus(out: Path, canvases: list[Canvas], models: Mapping[str, Path], pixel_size_um: float = 0.5) -> Path:
    """A synthetic store of (picture, mask) canvases whose recipe names `models` by role."""

    def fill(content: Path) -> list[Path]:
        store.create_group(content, {"rawmill": {"version": 1, "kind": "synthetic", "synthetic": True}})
        files: list[Path] = []
        rows = []
        for number, (picture, mask) in enumerate(canvases):
            sample = f"s{number:03d}"
            files += write_pair(content / "samples" / sample, "mask", picture, mask, pixel_size_um)
            rows.append({"sample_id": sample, "seed": number, "height_px": mask.shape[0], "width_px": mask.shape[1]})
        pd.DataFrame(rows).to_parquet(content / "samples.parquet", index=False)
        return files

    return seal(out, out.stem, fill, [artefact(role, path, out) for role, path in models.items()])


AUGMENTATION = Augmentation(crop_px=24, brightness=0.05, contrast=0.05, stain=0.05)


def training(steps: int, rate: float) -> Training:
    return Training(seed=3, steps=steps, batch_tiles=16, learning_rate=rate, weight_decay=1e-4, checkpoint_steps=10)


ENCODER = EncoderParams(
    network=Network(name="residual", widths=(8, 16, 32)),
    augmentation=AUGMENTATION,
    training=training(120, 0.003),
    projection_features=8,
    queue_keys=16,
    momentum=0.9,
    temperature=0.2,
)
SEGMENTER = SegmenterParams(
    network=Network(name="basic_unet", widths=(8, 8, 8, 8, 8, 8)),
    augmentation=AUGMENTATION.model_copy(update={"crop_px": 32}),
    training=training(40, 0.01),
    min_coverage=0.5,
)
EVALUATE = EvaluateParams(
    seed=3,
    batch_tiles=32,
    max_tiles=64,
    max_steering_tiles=24,
    max_steering_canvases=24,
    steering_share=0.25,
    block_px=64,
    frechet_dimensions=8,
    neighbours=3,
    nearest_originals=2,
    gallery_rows=2,
    draws=40,
    permutations=99,
    confidence=0.95,
    blur_sigma_px=3.0,
    alarm_quantile=0.05,
)


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_slides(tmp_path_factory.mktemp("evaluation") / "raw" / "slides.zarr")


@pytest.fixture(scope="session")
def makers(slides: Path) -> dict[str, Path]:
    """The models that corpora are made by, of training tiles alone."""
    rows = pd.read_parquet(slides / "tiles.parquet")
    ids = rows["tile_id"][rows["split"] == "train"].tolist()
    folder = slides.parents[1] / "models"
    return {role: plant_model(folder / role, slides, ids) for role in ("autoencoder", "denoiser")}
