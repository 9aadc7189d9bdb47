"""Mosaics with their halo give, through the parametrised data model, the views that the engine gives of the whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks import output, store
from tasks.contracts import Calibration
from tasks.drift import mosaics
from tasks.errors import InputError
from tasks.isp.chain import parse_chain
from tasks.isp.engine import view_of
from tasks.isp.parametrised import static
from tasks.learn.params import TaskParams
from tasks.lineage.recipe import Plan

CAMERA = {
    "pattern": "GBRG",
    "black_level_dn": (900.0, 1000.0, 1100.0, 1200.0),
    "white_level_dn": 65535.0,
    "white_balance": (1.5, 1.0, 1.25),
    "colour_matrix": ((1.2, -0.1, -0.1), (-0.1, 1.2, -0.1), (0.0, -0.2, 1.2)),
    "exposure_s": None,
    "iso": None,
    "gain_dn_per_e": None,
    "left_justified_bits": 0,
}
CHAIN = [
    "black_level",
    "bilinear",
    "white_balance",
    "colour_matrix",
    {"sharpening_filter": {"channels": "luma"}},
    {"gaussian": {"sigma_px": 0.5, "truncate": 4, "channels": "luma"}},
    "clip",
    {"gamma": {"gamma": 2.2}},
]
TASK: dict[str, Any] = {
    "task": "classification",
    "classes": ("A", "B"),
    "window_px": 12,
    "input_px": 12,
    "device": "cpu",
    "architecture": {"name": "resnet18", "inplanes": [4, 4, 4, 4]},
    "train": {"seed": 1, "learning_rate": 0.001, "weight_decay": 0.0, "batch_tiles": 4, "epochs": 1},
    "loss": {"cross_entropy": 1.0, "dice": 0.0},
    "augment": {"flips": False, "quarter_turns": False, "brightness_fraction": 0.0, "contrast_fraction": 0.0},
    "confidence": 0.95,
}
SEGMENTATION = {
    "task": "segmentation",
    "window_px": None,
    "input_px": 16,
    "device": "cpu",
    "architecture": {"name": "unet_plus_plus", "features": [4, 4, 4, 4, 4, 4]},
}


def task(**changes: Any) -> TaskParams:
    return TaskParams.model_validate({**TASK, **changes})


def table(places: list[dict[str, Any]], side_px: int) -> pd.DataFrame:
    base = {"label": "A", "mask": "", "item": "", "index": -1, "y_px": 0, "x_px": 0, "group": "g"}
    sizes = {"height_px": side_px, "width_px": side_px}
    return pd.DataFrame([{**base, **sizes, "tile_id": f"t{k}", **place} for k, place in enumerate(places)])


def seal(out: Path, fill: Callable[[Path], None]) -> Path:
    job = output.start(out, Plan("planted", out.name, [], {}, "tasks.rng", "none"), ["all"], fill)
    output.mark_done(job, "all", [])
    return output.publish(job).path


def crops(folder: Path, pixels: np.ndarray) -> Path:
    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 2, "kind": "crops"}})
        shape, axes = pixels.shape, ["tile", "y", "x"]
        camera = {"rawmill": {"calibration": CAMERA}}
        store.create_array(content / "mosaic", shape, "uint16", (1, *shape[1:]), (64, *shape[1:]), axes, camera)
        store.write(content / "mosaic", tuple(slice(0, n) for n in shape), pixels)

    return seal(folder / "raw.zarr", fill)


def frames(folder: Path, pixels: dict[str, np.ndarray], cameras: dict[str, Any]) -> Path:
    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 2, "kind": "frames"}})
        store.create_group(content / "frames", {})
        for name, mosaic in pixels.items():
            attributes = {"calibration": cameras[name]}
            image = store.Image("yx", mosaic.shape, "uint16", None, 1, 512, 2048, attributes=attributes)
            store.create_image(content / "frames" / name, image)
            store.write_image(content / "frames" / name, lambda window, whole=mosaic: whole[window])

    return seal(folder / "raw.zarr", fill)


def expected(mosaic: np.ndarray) -> np.ndarray:
    return view_of(parse_chain(CHAIN, "test"), mosaic, Calibration.model_validate(CAMERA))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(2000, 60000, shape).astype(np.uint16)


@pytest.mark.parametrize(("window", "middle"), [(12, slice(6, 18)), (24, slice(0, 24)), (None, slice(0, 24))])
def test_a_window_of_a_crop_is_cut_from_the_view_of_the_whole(
    tmp_path: Path, window: int | None, middle: slice
) -> None:
    pixels = noise(3, 24, 24)
    raw, params = crops(tmp_path, pixels), task(window_px=window, input_px=window or 24)
    found = mosaics.load(raw, table([{"index": 2}, {"index": 0}], 24), params)
    views = mosaics.examples(static(found.calibration, "luma"), found, params, batch=1).views
    for at, index in enumerate((2, 0)):
        np.testing.assert_allclose(views[at], expected(pixels[index])[:, middle, middle], atol=2e-5)


def test_a_tile_of_a_frame_sees_its_neighbours(tmp_path: Path) -> None:
    whole = noise(48, 64)
    raw = frames(tmp_path, {"f": whole}, {"f": CAMERA})
    store.create_labels(
        raw / "frames" / "f", {"car": store.Image("yx", (48, 64), "uint8", None, 1, 64, 64, label=True)}
    )
    store.write_image(raw / "frames" / "f" / "labels" / "car", lambda w: np.ones((48, 64), np.uint8)[w])
    corners = [(0, 0), (16, 32), (32, 48)]
    places = [{"item": "f", "y_px": y, "x_px": x, "mask": "frames/f/labels/car"} for y, x in corners]
    params = task(**SEGMENTATION)
    found = mosaics.load(raw, table(places, 16), params)
    views = mosaics.examples(static(found.calibration, "luma"), found, params).views
    for at, (y, x) in enumerate(corners):
        np.testing.assert_allclose(views[at], expected(whole)[:, y : y + 16, x : x + 16], atol=2e-5)
    assert found.truth.shape == (3, 16, 16) and found.truth.min() == 1
    assert found.whole is not None and found.whole[1].shape == (16, 16)


def test_views_shrink_by_area_and_pass_gradients(tmp_path: Path) -> None:
    pixels = noise(2, 24, 24)
    found = mosaics.load(crops(tmp_path, pixels), table([{"index": 0}, {"index": 1}], 24), task(window_px=16))
    model = static(found.calibration, "luma")
    whole = mosaics.views_of(model, torch.from_numpy(found.pixels), 16)
    small = mosaics.views_of(model, torch.from_numpy(found.pixels), 8)
    averaged = whole.reshape(2, 3, 8, 2, 8, 2).mean(dim=(3, 5))
    torch.testing.assert_close(small, averaged, atol=1e-6, rtol=0)
    small.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_picking_keeps_tiles_and_truth_together(tmp_path: Path) -> None:
    rows = [{"index": k, "label": "AB"[k % 2], "group": f"g{k}"} for k in range(4)]
    found = mosaics.load(crops(tmp_path, noise(4, 24, 24)), table(rows, 24), task()).pick([3, 0])
    assert (found.ids, found.groups, found.truth.tolist()) == (("t3", "t0"), ("g3", "g0"), [1, 0])


def test_tiles_of_two_cameras_are_refused(tmp_path: Path) -> None:
    other = {**CAMERA, "white_balance": (1.0, 1.0, 1.0), "iso": 800.0}
    raw = frames(tmp_path, {"a": noise(16, 16), "b": noise(16, 16)}, {"a": CAMERA, "b": other})
    rows = table([{"item": "a"}, {"item": "b"}], 16)
    with pytest.raises(InputError, match=r"2 calibrations, which differ in white_balance;.*of its own"):
        mosaics.load(raw, rows, task(window_px=None, input_px=16))


def test_exposures_and_gains_of_one_camera_may_differ(tmp_path: Path) -> None:
    other = {**CAMERA, "exposure_s": 0.5, "iso": 800.0, "gain_dn_per_e": 2.0, "white_level_dn": 60000.0}
    raw = frames(tmp_path, {"a": noise(16, 16), "b": noise(16, 16)}, {"a": CAMERA, "b": other})
    found = mosaics.load(raw, table([{"item": "b"}, {"item": "a"}], 16), task(window_px=None, input_px=16))
    assert found.calibration == Calibration.model_validate(CAMERA)


def test_a_window_larger_than_the_tile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tiles of 24 px; expected 32 px or more"):
        mosaics.load(crops(tmp_path, noise(1, 24, 24)), table([{"index": 0}], 24), task(window_px=32))


def test_a_tile_at_an_odd_place_is_refused(tmp_path: Path) -> None:
    raw = frames(tmp_path, {"a": noise(32, 32)}, {"a": CAMERA})
    rows = table([{"item": "a", "y_px": 1}], 16)
    with pytest.raises(InputError, match="expected even rows and columns"):
        mosaics.load(raw, rows, task(window_px=None, input_px=16))
