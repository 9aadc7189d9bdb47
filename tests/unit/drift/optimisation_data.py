"""Small raw stores for drift optimisation.

Crops: the class is the colour of a disc that is no brighter and no darker than the other class's, so that a camera
whose colour matrix makes everything grey hides it. Frames: cars are bright bars.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from tasks import output, rng, store
from tasks.drift.params import OptimisationParams
from tasks.lineage.recipe import Plan

SIDE = 32
CLASSES = ("BLUE", "RED")
GREY = ((1 / 3, 1 / 3, 1 / 3),) * 3
COLOUR = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SITES = {"R": (0, 0), "B": (1, 1)}


def calibration(matrix: Any) -> dict[str, Any]:
    camera = {"pattern": "RGGB", "black_level_dn": (500.0,) * 4, "white_level_dn": 65535.0, "colour_matrix": matrix}
    unknown = dict.fromkeys(("exposure_s", "iso", "gain_dn_per_e"))
    return {**camera, "white_balance": (1.0, 1.0, 1.0), "left_justified_bits": 0, **unknown}


def seal(out: Path, fill: Any) -> Path:
    job = output.start(out, Plan("planted", out.name, [], {}, "tasks.rng", "none"), ["all"], fill)
    output.mark_done(job, "all", [])
    return output.publish(job).path


def row(tile: str, group: int, **values: Any) -> dict[str, Any]:
    where = {"split": "test", "fold": -1} if group == 0 else {"split": "train", "fold": group % 2}
    base = {"tile_id": tile, "source": "s", "item": "", "index": -1, "y_px": 0, "x_px": 0, "label": "", "mask": ""}
    sizes = {"height_px": SIDE, "width_px": SIDE, "intensity": 1.0, "coverage": 1.0}
    return {**base, **sizes, "group": f"g{group}", **where, **values}


def disc(label: str, tile: str, intensity: float) -> np.ndarray:
    """A mosaic (y, x) uint16 with a disc that has more red and less blue than its surroundings, or the reverse."""
    g = rng.generator(3, tile, "disc")
    y, x = np.mgrid[:SIDE, :SIDE]
    centre, light = g.uniform(12, SIDE - 12, 2), g.uniform(0.3, 0.5)
    inside = np.hypot(y - centre[0], x - centre[1]) < 9
    mosaic = g.normal(light, 0.01, (SIDE, SIDE))
    for colour, (down, right) in SITES.items():
        sign = 1 if (colour == "R") == (label == "RED") else -1
        mosaic[down::2, right::2] += sign * 0.12 * inside[down::2, right::2]
    return np.rint(500 + intensity * mosaic * 60000).clip(0, 65535).astype(np.uint16)


def crops(out: Path, matrix: Any = COLOUR, intensities: tuple[float, ...] = (1.0,), groups: int = 4) -> Path:
    kinds = [(g, label, copy) for g in range(groups) for label in CLASSES for copy in range(4)]
    rows, pixels = [], []
    for group, label, copy in kinds:
        for intensity in intensities:
            tile = f"g{group}-{label}-{copy}-{intensity:g}"
            rows.append(row(tile, group, index=len(rows), label=label, intensity=intensity))
            pixels.append(disc(label, f"g{group}-{label}-{copy}", intensity))

    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 2, "kind": "crops"}})
        attributes, shape = {"rawmill": {"calibration": calibration(matrix)}}, (len(pixels), SIDE, SIDE)
        sizes = ((1, SIDE, SIDE), (64, SIDE, SIDE))
        array = store.create_array(content / "mosaic", shape, "uint16", *sizes, ["tile", "y", "x"], attributes)
        for window in store.windows(array):
            store.write(content / "mosaic", window, np.stack(pixels)[window])
        pd.DataFrame(rows).to_parquet(content / "tiles.parquet", index=False)

    return seal(out, fill)


TILE = 64


def bars(group: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame (64, 128) uint16 with bright upright bars, and its mask."""
    g = rng.generator(3, f"frame{group}", "bars")
    light, mask = g.uniform(0.1, 0.2, (TILE, 2 * TILE)), np.zeros((TILE, 2 * TILE), np.uint8)
    for start in (0, TILE):
        top, left = (int(n) for n in g.integers(4, 20, 2))
        mask[top : top + 36, start + left : start + left + 20] = 1
    return np.rint(500 + 60000 * (light + 0.4 * mask)).astype(np.uint16), mask


def _image(path: Path, pixels: np.ndarray, **more: Any) -> None:
    image = store.Image("yx", pixels.shape, str(pixels.dtype), None, 1, 32, 64, **more)
    if more.get("label"):
        store.create_labels(path.parent.parent, {path.name: image})
    else:
        store.create_image(path, image)
    store.write_image(path, lambda window: pixels[window])


def frames(out: Path) -> Path:
    """Three frames of two tiles with their masks."""

    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 2, "kind": "frames"}})
        store.create_group(content / "frames", {})
        rows = []
        for group in range(3):
            pixels, mask = bars(group)
            _image(content / "frames" / f"f{group}", pixels, attributes={"calibration": calibration(COLOUR)})
            _image(content / "frames" / f"f{group}" / "labels" / "car", mask, label=True)
            where: dict[str, Any] = {"item": f"f{group}", "mask": f"frames/f{group}/labels/car"}
            where |= {"height_px": TILE, "width_px": TILE}
            rows += [row(f"f{group}-{x}", group, x_px=x, **where) for x in (0, TILE)]
        pd.DataFrame(rows).to_parquet(content / "tiles.parquet", index=False)

    return seal(out, fill)


def colour_reader() -> nn.Module:
    """Logits of two classes that are linear in the view's mean red, green and blue."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


READER: dict[str, Any] = {
    "architecture": {"name": "module", "path": f"{__name__}:colour_reader", "arguments": {}},
    "train": {"seed": 5, "learning_rate": 0.1, "weight_decay": 0.0, "batch_tiles": 8, "epochs": 15},
}


GROUPS = ("black_level", "demosaic", "white_balance", "colour_matrix", "sharpening", "blur", "gamma")
COMMON: dict[str, Any] = {
    "task": "classification",
    "classes": CLASSES,
    "window_px": None,
    "input_px": SIDE,
    "device": "cpu",
    "architecture": {"name": "resnet18", "inplanes": [4, 4, 4, 4]},
    "train": {"seed": 5, "learning_rate": 0.01, "weight_decay": 0.0, "batch_tiles": 8, "epochs": 3},
    "loss": {"cross_entropy": 1.0, "dice": 0.0},
    "augment": {"flips": True, "quarter_turns": True, "brightness_fraction": 0.1, "contrast_fraction": 0.1},
    "confidence": 0.95,
    "channels": "luma",
    "intensities": {"high": 1.0},
    "raw_intensities": ("high",),
    "data_model_learning_rate": 0.01,
    "groups": GROUPS,
    "validate_every_epochs": 1,
    "shown_tiles": 2,
}
SEGMENTATION: dict[str, Any] = {
    "task": "segmentation",
    "classes": ("other", "car"),
    "architecture": {"name": "unet_plus_plus", "features": [4, 4, 4, 4, 4, 4]},
    "train": {"seed": 5, "learning_rate": 0.02, "weight_decay": 0.0, "batch_tiles": 2, "epochs": 5},
    "loss": {"cross_entropy": 1.0, "dice": 1.0},
}


def params(**changes: Any) -> OptimisationParams:
    return OptimisationParams.model_validate({**COMMON, **changes})
