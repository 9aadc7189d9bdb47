"""Small raw and variant stores with planted truth, made by the real `develop`.

Crops: a class is read by colour or by shape. WARM: a red background with a large dark disc; COOL: a blue one with a
small disc. The camera sees red and blue weakly, so that the data model `bare`, without white balance, changes colours
and nothing else. Frames: the mask is where bright bars are.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tasks import output, rng, store
from tasks.isp import step as develop
from tasks.isp.chain import parse_chain
from tasks.isp.params import Common
from tests.unit.learn.conftest import place, row, seal

SIDE, WINDOW, TILE = 48, 32, 32
CLASSES = ("WARM", "COOL")
TINTS = {"WARM": (0.50, 0.40, 0.26), "COOL": (0.26, 0.40, 0.50)}
RADII_PX = {"WARM": 9.0, "COOL": 4.0}
INTENSITIES = (1.0, 0.1)
GROUPS, COPIES, FOLDS = 7, 3, 3
"""Group 0 is the test split; two groups a fold. So many tiles of each class, group and intensity."""
CAMERA = {
    "pattern": "RGGB",
    "black_level_dn": (1000.0, 1010.0, 1000.0, 1010.0),
    "white_level_dn": 65535.0,
    "white_balance": (2.5, 1.0, 1.6),
    "colour_matrix": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "exposure_s": None,
    "iso": None,
    "gain_dn_per_e": None,
    "left_justified_bits": 0,
}
SHARPEN, GAUSSIAN = (
    {"sharpening_filter": {"channels": "luma"}},
    {"gaussian": {"sigma_px": 0.5, "truncate": 4, "channels": "luma"}},
)
UNSHARP = {"unsharp_mask": {"radius_px": 1, "amount": 1, "truncate": 4, "channels": "luma"}}
MEDIAN, GAMMA = {"median": {"size_px": 3, "channels": "luma"}}, {"gamma": {"gamma": 2.2}}
CHAINS: dict[str, list[Any]] = {
    "bi,s,ga": ["black_level", "bilinear", "white_balance", "colour_matrix", SHARPEN, GAUSSIAN, "clip", GAMMA],
    "ma,u,me": ["black_level", "malvar", "white_balance", "colour_matrix", UNSHARP, MEDIAN, "clip", GAMMA],
    "bare": ["black_level", "bilinear", "colour_matrix", SHARPEN, GAUSSIAN, "clip", GAMMA],
}


def mosaic_of(scene: NDArray[np.float64]) -> NDArray[np.uint16]:
    """What the camera writes of a linear scene (3, y, x) in its white-balanced colours."""
    y, x = np.mgrid[: scene.shape[1], : scene.shape[2]]
    site = y % 2 * 2 + x % 2
    colour = np.array([0, 1, 1, 2])[site]
    seen = np.take_along_axis(scene, colour[None], 0)[0] / np.array(CAMERA["white_balance"])[colour]
    dn = np.array(CAMERA["black_level_dn"])[site] + 65535 * seen
    return np.clip(np.rint(dn), 0, 65535).astype(np.uint16)


def crop(label: str, tile: str, intensity: float) -> NDArray[np.uint16]:
    """A tinted field with a dark disc near the middle, both lit alike, with a little noise."""
    g = rng.generator(3, tile, "crop")
    centre = SIDE / 2 + g.uniform(-3, 3, 2)
    y, x = np.mgrid[:SIDE, :SIDE]
    light = np.where(np.hypot(y - centre[0], x - centre[1]) < RADII_PX[label], 0.3, 1.0) * g.uniform(0.95, 1.05)
    scene = np.array(TINTS[label])[:, None, None] * light + g.normal(0, 0.004, (3, SIDE, SIDE))
    return mosaic_of(scene * intensity)


def write_crops(content: Path) -> None:
    rows, mosaics = [], []
    for intensity in INTENSITIES:
        for group in range(GROUPS):
            for label in CLASSES:
                for copy in range(COPIES):
                    tile = f"g{group}-{label}-{copy}-i{round(1000 * intensity):04d}"
                    where = {**place(group, FOLDS), "height_px": SIDE, "width_px": SIDE, "intensity": intensity}
                    rows.append(row(tile, index=len(mosaics), label=label, **where))
                    mosaics.append(crop(label, tile, intensity))
    store.create_group(content, {"rawmill": {"version": 1, "kind": "crops", "classes": list(CLASSES)}})
    shape = (len(mosaics), SIDE, SIDE)
    attributes = {"rawmill": {"calibration": CAMERA}}
    path, axes = content / "mosaic", ["tile", "y", "x"]
    array = store.create_array(path, shape, "uint16", (1, SIDE, SIDE), (32, SIDE, SIDE), axes, attributes)
    for window in store.windows(array):
        store.write(path, window, np.stack(mosaics)[window])
    write_table(content, rows)


def write_table(content: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda r: r["tile_id"])), content / "tiles.parquet")


def frame(group: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """A mosaic (64, 64) of a dull field with one bright bar in each tile, and its mask."""
    g = rng.generator(4, f"frame{group}", "bars")
    mask = np.zeros((2 * TILE, 2 * TILE), np.uint8)
    for top in (0, TILE):
        for left in (0, TILE):
            y, x = top + int(g.integers(2, 8)), left + int(g.integers(2, 20))
            mask[y : y + 20, x : x + 8] = 1
    scene = np.where(mask == 1, 0.55, 0.2) + g.normal(0, 0.01, (3, 2 * TILE, 2 * TILE))
    return mosaic_of(scene), mask


def write_frames(content: Path) -> None:
    """Four frames of 2 x 2 tiles; frame 0 is the test split, the others one fold each."""
    store.create_group(content, {"rawmill": {"version": 1, "kind": "frames", "classes": ["car"]}})
    store.create_group(content / "frames", {})
    rows = []
    for group in range(4):
        mosaic, mask = frame(group)
        path = content / "frames" / f"f{group}"
        _image(path, mosaic, {"calibration": CAMERA})
        store.create_labels(path, {"car": store.Image("yx", mask.shape, "uint8", None, 1, 32, 64, label=True)})
        store.write_image(path / "labels" / "car", lambda window, pixels=mask: pixels[window])
        for y in (0, TILE):
            for x in (0, TILE):
                where = {"item": f"f{group}", "y_px": y, "x_px": x, "mask": f"frames/f{group}/labels/car"}
                rows.append(row(f"f{group}-{y:02d}-{x:02d}", **where, **place(group, 3)))
    write_table(content, rows)


def _image(path: Path, pixels: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    store.create_image(path, store.Image("yx", pixels.shape, str(pixels.dtype), None, 1, 32, 64, attributes=attributes))
    store.write_image(path, lambda window: pixels[window])


def developed(raw: Path, folder: Path, intensity: float = 1.0) -> dict[str, Path]:
    """The variant stores of `raw` under `CHAINS`, by name."""
    common = Common(intensities=(intensity,), tile_height_px=64, tile_width_px=64)
    made = {}
    for name, steps in CHAINS.items():
        job = develop.prepare(raw, folder / f"{name}.zarr", name, parse_chain(steps, name), common, "x")
        for item in output.todo(job):
            develop.process(job, item)
        made[name] = develop.finish(job).path
    return made


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw store of crops."""
    return seal(tmp_path_factory.mktemp("data") / "raw" / "crops.zarr", write_crops)


@pytest.fixture(scope="session")
def crop_views(crops: Path) -> dict[str, Path]:
    """Its views at intensity 1 under each data model."""
    return developed(crops, crops.parent.parent / "variants" / "crops")


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw store of frames."""
    return seal(tmp_path_factory.mktemp("data") / "raw" / "frames.zarr", write_frames)


@pytest.fixture(scope="session")
def frame_views(frames: Path) -> dict[str, Path]:
    return developed(frames, frames.parent.parent / "variants" / "frames")


AUGMENT = {"flips": True, "quarter_turns": True, "brightness_fraction": 0.0, "contrast_fraction": 0.0}


def classification(**changes: Any) -> dict[str, Any]:
    """Values of `TaskParams` for the crops; a small residual net."""
    train = {"seed": 5, "learning_rate": 0.005, "weight_decay": 0.0, "batch_tiles": 12, "epochs": 2}
    return {
        "task": "classification",
        "classes": CLASSES,
        "window_px": WINDOW,
        "input_px": WINDOW,
        "device": "cpu",
        "architecture": {"name": "resnet18", "inplanes": [4, 4, 4, 4]},
        "train": train,
        "loss": {"cross_entropy": 1.0, "dice": 0.0},
        "augment": AUGMENT,
        "confidence": 0.95,
        **changes,
    }


def segmentation(**changes: Any) -> dict[str, Any]:
    """Values of `TaskParams` for the frames; a small U-Net++."""
    own = {
        "task": "segmentation",
        "classes": ("other", "car"),
        "window_px": None,
        "architecture": {"name": "unet_plus_plus", "features": [4, 4, 4, 4, 4, 4]},
        "loss": {"cross_entropy": 1.0, "dice": 1.0},
    }
    return classification(**{**own, **changes})
