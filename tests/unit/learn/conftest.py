"""Small sealed stores with planted truth: the class of a crop is its disc's colour, a frame's mask its bright bars."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import output, rng, store
from tasks.learn.params import LearnParams
from tasks.lineage.recipe import Plan

SIDE = 32
CLASSES = ("RED", "GREEN", "BLUE")
SCALE = 1 / 65535


def seal(out: Path, write: Callable[[Path], None]) -> Path:
    """An output of rawmill at `out` whose content `write` makes."""
    job = output.start(out, Plan("planted", out.name, [], {}, "tasks.rng", "none"), ["all"], write)
    output.mark_done(job, "all", [])
    output.publish(job)
    return out


def row(tile: str, **values: Any) -> dict[str, Any]:
    base = {"tile_id": tile, "source": "s", "item": "", "index": -1, "y_px": 0, "x_px": 0, "label": "", "mask": ""}
    sizes = {"height_px": SIDE, "width_px": SIDE, "intensity": 1.0, "coverage": 1.0}
    return {**base, **sizes, **values}


def place(group: int, folds: int) -> dict[str, Any]:
    """Group 0 is the test split; the others go round the folds."""
    where = {"split": "test", "fold": -1} if group == 0 else {"split": "train", "fold": group % folds}
    return {"group": f"g{group}", **where}


def disc(kind: int, tile: str) -> np.ndarray:
    """A grey view (3, y, x) uint16 with a disc tinted by its class, at a place of its own."""
    g = rng.generator(3, tile, "disc")
    view = g.uniform(0.4, 0.5, (3, SIDE, SIDE))
    centre = g.uniform(10, SIDE - 10, 2)
    y, x = np.mgrid[:SIDE, :SIDE]
    view[kind, np.hypot(y - centre[0], x - centre[1]) < 7] += 0.4
    return np.rint(view * 65535).astype(np.uint16)


def write_crops(content: Path) -> None:
    rows, views = [], []
    for group in range(4):
        for kind, label in enumerate(CLASSES):
            for copy in range(4):
                tile = f"g{group}-{label}-{copy}"
                rows.append(row(tile, index=len(views), label=label, **place(group, 3)))
                views.append(disc(kind, tile))
    root = {"rawmill": {"version": 1, "kind": "crops", "variant": "bi,s,me", "scale": SCALE}}
    store.create_group(content, root)
    shape = (len(views), 3, SIDE, SIDE)
    array = store.create_array(content / "view", shape, "uint16", (1, *shape[1:]), (64, *shape[1:]), ["tile", *"cyx"])
    for window in store.windows(array):
        store.write(content / "view", window, np.stack(views)[window])
    pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda r: r["tile_id"])), content / "tiles.parquet")


def bars(group: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame (3, 64, 64) uint16 of noise with bright upright bars, and its mask (64, 64) uint8."""
    g = rng.generator(3, f"frame{group}", "bars")
    view, mask = g.uniform(0.2, 0.4, (3, 64, 64)), np.zeros((64, 64), np.uint8)
    for top in (4, 36):
        left = int(g.integers(4, 50))
        mask[top : top + 20, left : left + 8] = 1
    view[:, mask == 1] += 0.4
    return np.rint(view * 65535).astype(np.uint16), mask


def _image(path: Path, axes: str, data: np.ndarray, label: bool = False) -> None:
    image = store.Image(axes, data.shape, str(data.dtype), None, 1, 32, 64, label=label)
    if label:
        store.create_labels(path.parent.parent, {path.name: image})
    else:
        store.create_image(path, image)
    store.write_image(path, lambda window: data[window])


def write_frames(content: Path, masks: bool) -> None:
    """Four frames of 2x2 tiles: the variant store, or the raw store's labels."""
    root = {"version": 1, "kind": "frames", **({} if masks else {"variant": "bi,s,me", "scale": SCALE})}
    store.create_group(content, {"rawmill": root})
    store.create_group(content / "frames", {})
    rows = []
    for group in range(4):
        view, mask = bars(group)
        frame = content / "frames" / f"f{group}"
        _image(frame, "cyx", view)
        if masks:
            _image(frame / "labels" / "car", "yx", mask, label=True)
        for y in (0, 32):
            for x in (0, 32):
                where = {"item": f"f{group}", "y_px": y, "x_px": x, "mask": f"frames/f{group}/labels/car"}
                rows.append(row(f"f{group}-{y}-{x}", **where, **place(group, 3)))
    pq.write_table(pa.Table.from_pylist(rows), content / "tiles.parquet")


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal(tmp_path_factory.mktemp("crops") / "views.zarr", write_crops)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal(tmp_path_factory.mktemp("frames") / "views.zarr", lambda c: write_frames(c, masks=False))


@pytest.fixture(scope="session")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal(tmp_path_factory.mktemp("masks") / "raw.zarr", lambda c: write_frames(c, masks=True))


COMMON = {
    "variant": "bi,s,me",
    "window_px": None,
    "input_px": SIDE,
    "device": "cpu",
    "augment": {"flips": True, "quarter_turns": True, "brightness_fraction": 0.1, "contrast_fraction": 0.1},
    "validate_every_epochs": 3,
    "confidence": 0.95,
    "figure_tiles": 2,
}


def train(**changes: Any) -> dict[str, Any]:
    return {"seed": 5, "learning_rate": 0.005, "weight_decay": 0.0, "batch_tiles": 12, "epochs": 18, **changes}


@pytest.fixture(scope="session")
def classification() -> LearnParams:
    architecture = {"name": "resnet18", "inplanes": [8, 8, 8, 8]}
    loss = {"cross_entropy": 1.0, "dice": 0.0}
    own = {"task": "classification", "classes": CLASSES, "architecture": architecture, "loss": loss}
    return LearnParams.model_validate({**COMMON, **own, "train": train()})


@pytest.fixture(scope="session")
def segmentation() -> LearnParams:
    architecture = {"name": "unet_plus_plus", "features": [4, 4, 4, 4, 4, 4]}
    loss = {"cross_entropy": 1.0, "dice": 1.0}
    own = {"task": "segmentation", "classes": ("other", "car"), "architecture": architecture, "loss": loss}
    return LearnParams.model_validate({**COMMON, **own, "train": train(learning_rate=0.02, batch_tiles=4, epochs=10)})
