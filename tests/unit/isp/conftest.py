"""Cameras, scenes and small raw stores with known truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks import output, store
from tasks.contracts import Calibration
from tasks.lineage.recipe import Plan

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CAMERA = {
    "pattern": "RGGB",
    "black_level_dn": (0.0, 0.0, 0.0, 0.0),
    "white_level_dn": 65535.0,
    "white_balance": (1.0, 1.0, 1.0),
    "colour_matrix": IDENTITY,
    "exposure_s": None,
    "iso": None,
    "gain_dn_per_e": None,
    "left_justified_bits": 4,
}


@pytest.fixture
def camera() -> Callable[..., Calibration]:
    """A camera that changes nothing, but for what is given."""
    return lambda **changes: Calibration.model_validate({**CAMERA, **changes})


@pytest.fixture
def mosaic_of() -> Callable[[NDArray[Any], str], NDArray[Any]]:
    """The Bayer mosaic (y, x) of a scene (3, y, x) under a pattern, site by site."""

    def sample(scene: NDArray[Any], pattern: str) -> NDArray[Any]:
        mosaic = np.empty(scene.shape[1:], scene.dtype)
        for site, colour in enumerate(pattern):
            where = (slice(site // 2, None, 2), slice(site % 2, None, 2))
            mosaic[where] = scene["RGB".index(colour)][where]
        return mosaic

    return sample


def tile_rows(ids: list[str], items: list[str], intensities: list[float], side_px: int) -> pd.DataFrame:
    rows = [
        {
            "tile_id": tile,
            "source": f"{tile}.tif",
            "item": item,
            "index": -1 if item else number,
            "y_px": 0,
            "x_px": 0,
            "height_px": side_px,
            "width_px": side_px,
            "label": "a",
            "mask": "",
            "group": f"g{number % 3}",
            "split": "train",
            "fold": number % 3,
            "intensity": intensity,
            "coverage": 1.0,
        }
        for number, (tile, item, intensity) in enumerate(zip(ids, items, intensities, strict=True))
    ]
    return pd.DataFrame(rows)


def publish_raw(out: Path, kind: str, fill: Callable[[Path], None], rows: pd.DataFrame) -> Path:
    """A finished raw store, as ingest would leave it."""

    def setup(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 1, "kind": kind, "classes": ["a"]}})
        fill(content)
        rows.to_parquet(content / "tiles.parquet", index=False)

    job = output.start(out, Plan("ingest", out.name, [], {}, "tasks.errors", "rawmill repro ingest"), ["all"], setup)
    output.mark_done(job, "all", [])
    return output.publish(job).path


@pytest.fixture
def crops_store(tmp_path: Path, camera: Callable[..., Calibration]) -> tuple[Path, NDArray[np.uint16], Calibration]:
    """70 crops of 12x16, every second at half intensity: (path, mosaics, calibration)."""
    mosaics = np.random.default_rng(1).integers(0, 65536, (70, 12, 16)).astype(np.uint16)
    calibration = camera(pattern="GRBG", black_level_dn=(900.0, 1000.0, 1100.0, 1200.0))

    def fill(content: Path) -> None:
        attributes = {"rawmill": {"calibration": calibration.model_dump(mode="json")}}
        axes = ["tile", "y", "x"]
        store.create_array(content / "mosaic", (70, 12, 16), "uint16", (1, 12, 16), (64, 12, 16), axes, attributes)
        for window in store.windows(store.open_array(content / "mosaic")):
            store.write(content / "mosaic", window, mosaics[window])

    rows = tile_rows([f"t{k:03d}" for k in range(70)], [""] * 70, [1.0, 0.5] * 35, 12)
    return publish_raw(tmp_path / "raw" / "crops.zarr", "crops", fill, rows), mosaics, calibration


@pytest.fixture
def frames_store(tmp_path: Path, camera: Callable[..., Calibration]) -> tuple[Path, dict[str, Any]]:
    """Two frames with their own cameras, the second at half intensity: (path, {id: (mosaic, calibration)})."""
    shapes = {"north": (40, 2600, "RGGB"), "south": (30, 34, "BGGR")}
    generator = np.random.default_rng(2)
    frames = {
        name: (generator.integers(0, 65536, (h, w)).astype(np.uint16), camera(pattern=pattern))
        for name, (h, w, pattern) in shapes.items()
    }

    def fill(content: Path) -> None:
        store.create_group(content / "frames", {})
        for name, (mosaic, calibration) in frames.items():
            attributes = {"calibration": calibration.model_dump(mode="json")}
            image = store.Image("yx", mosaic.shape, "uint16", None, 1, 512, 2048, attributes=attributes)
            store.create_image(content / "frames" / name, image)
            store.write_image(content / "frames" / name, lambda window, pixels=mosaic: pixels[window])

    rows = tile_rows(["n0", "n1", "s0"], ["north", "north", "south"], [1.0, 1.0, 0.5], 30)
    return publish_raw(tmp_path / "raw" / "frames.zarr", "frames", fill, rows), frames
