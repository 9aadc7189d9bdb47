"""Raw stores to variant stores: what is written, what is refused, and that no circumstance changes a byte."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.typing import NDArray

from tasks import output, store
from tasks.contracts import Calibration, Record
from tasks.errors import InputError, LineageError, ParamsError
from tasks.isp import step
from tasks.isp.chain import Chain, parse_chain
from tasks.isp.engine import develop
from tasks.isp.params import Common
from tasks.lineage.recipe import artefact, check_files, read

STEPS: list[Any] = [
    "black_level",
    "malvar",
    "white_balance",
    "colour_matrix",
    {"unsharp_mask": {"radius_px": 1, "amount": 1, "truncate": 4, "channels": "luma"}},
    "clip",
    {"gamma": {"gamma": 2.2}},
]
Crops = tuple[Path, NDArray[np.uint16], Calibration]
Frames = tuple[Path, dict[str, Any]]


def chain() -> Chain:
    return parse_chain(STEPS, "test")


def common(*intensities: float, tile: int = 32) -> Common:
    return Common(intensities=intensities, tile_height_px=tile, tile_width_px=tile)


def run(raw: Path, out: Path, settings: Common, backwards: bool = False) -> Record:
    job = step.prepare(raw, out, "ma,u", chain(), settings, "rawmill repro develop@x-ma,u")
    for item in output.todo(job)[:: -1 if backwards else 1]:
        step.process(job, item)
    return step.finish(job)


def test_crops_of_one_intensity(crops_store: Crops, tmp_path: Path) -> None:
    raw, mosaics, calibration = crops_store
    record = run(raw, tmp_path / "v" / "ma,u.zarr", common(1.0))
    view = store.open_array(record.path / "view")
    assert view.shape == (35, 3, 12, 16)
    assert view.dtype == np.uint16
    assert view.metadata.dimension_names == ("tile", "c", "y", "x")
    expected = [develop(chain(), mosaic, calibration, (64, 64)) for mosaic in mosaics[::2]]
    np.testing.assert_array_equal(view[:], np.stack(expected))
    tiles = pd.read_parquet(record.path / "tiles.parquet")
    assert tiles["tile_id"].tolist() == [f"t{k:03d}" for k in range(0, 70, 2)]
    assert tiles["index"].tolist() == list(range(35))
    assert tiles["index"].dtype == np.int64
    assert set(tiles["intensity"]) == {1.0}
    assert list(tiles) == list(pd.read_parquet(raw / "tiles.parquet"))
    attributes = store.read_attributes(record.path)
    assert attributes == {"version": 2, "kind": "crops", "variant": "ma,u", "scale": 1 / 65535}
    assert record.metrics == {"tiles": 35.0, "items": 2.0}
    check_files(record.path)


def test_crops_of_all_intensities_in_order_of_id(crops_store: Crops, tmp_path: Path) -> None:
    raw, mosaics, calibration = crops_store
    record = run(raw, tmp_path / "all.zarr", common(0.5, 1.0))
    view = store.open_array(record.path / "view")
    assert view.shape[0] == 70
    np.testing.assert_array_equal(view[69], develop(chain(), mosaics[69], calibration, (64, 64)))


def test_frames_become_pyramids(frames_store: Frames, tmp_path: Path) -> None:
    raw, frames = frames_store
    record = run(raw, tmp_path / "ma,u.zarr", common(1.0, 0.5))
    for name, (mosaic, calibration) in frames.items():
        path = record.path / "frames" / name
        level = np.asarray(store.open_array(path / "0")[:])
        np.testing.assert_array_equal(level, develop(chain(), mosaic, calibration, (64, 64)))
        meta = zarr.open_group(path, mode="r").attrs["ome"]
        assert [axis["name"] for axis in meta["multiscales"][0]["axes"]] == ["c", "y", "x"]
        assert [channel["color"] for channel in meta["omero"]["channels"]] == ["FF0000", "00FF00", "0000FF"]
        assert meta["omero"]["channels"][0]["window"]["max"] == 65535
    assert zarr.open_group(record.path / "OME", mode="r").attrs["ome"]["series"] == ["frames/north", "frames/south"]
    assert zarr.open_group(record.path, mode="r").attrs["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
    levels = zarr.open_group(record.path / "frames" / "north", mode="r").attrs["ome"]["multiscales"][0]["datasets"]
    assert len(levels) == 5
    smaller = np.asarray(store.open_array(record.path / "frames" / "north" / "1")[:])
    np.testing.assert_array_equal(
        smaller, store.halve(np.asarray(store.open_array(path.parent / "north" / "0")[:]), False)
    )
    tiles = pd.read_parquet(record.path / "tiles.parquet")
    assert tiles["item"].tolist() == ["north", "north", "south"]
    assert tiles["index"].tolist() == [-1, -1, -1]


def test_frames_without_a_wanted_intensity_are_left_out(frames_store: Frames, tmp_path: Path) -> None:
    record = run(frames_store[0], tmp_path / "v.zarr", common(0.5))
    assert sorted(p.name for p in (record.path / "frames").iterdir() if p.is_dir()) == ["south"]
    assert pd.read_parquet(record.path / "tiles.parquet")["tile_id"].tolist() == ["s0"]


@pytest.mark.parametrize("kind", ["crops", "frames"])
def test_order_and_place_change_no_byte(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    raw = request.getfixturevalue(f"{kind}_store")[0]
    one = run(raw, tmp_path / "one" / "v.zarr", common(1.0, 0.5))
    other = run(raw, tmp_path / "other" / "v.zarr", common(1.0, 0.5), backwards=True)
    assert (one.root, one.recipe) == (other.root, other.recipe)


def test_items_side_by_side_change_no_byte(crops_store: Crops, tmp_path: Path) -> None:
    one = run(crops_store[0], tmp_path / "one" / "v.zarr", common(1.0, 0.5))
    job = step.prepare(crops_store[0], tmp_path / "v.zarr", "ma,u", chain(), common(1.0, 0.5), "again")
    assert len(job.items) == 3
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda item: step.process(job, item), job.items))
    assert step.finish(job).root == one.root


def test_asking_for_rows_again_gives_the_same_rows(crops_store: Crops, tmp_path: Path) -> None:
    """The table is kept between items; writing its new numbers must not change what is kept."""
    raw = crops_store[0]
    first = run(raw, tmp_path / "one.zarr", common(0.5))
    again = run(raw, tmp_path / "two.zarr", common(0.5))
    assert first.root == again.root
    np.testing.assert_array_equal(
        store.open_array(again.path / "view")[34], develop(chain(), crops_store[1][69], crops_store[2], (64, 64))
    )


def test_tile_size_changes_no_pixel(crops_store: Crops, tmp_path: Path) -> None:
    one = run(crops_store[0], tmp_path / "one.zarr", common(1.0, tile=16))
    other = run(crops_store[0], tmp_path / "other.zarr", common(1.0, tile=512))
    assert one.root == other.root


def test_work_goes_on_where_it_stopped(crops_store: Crops, tmp_path: Path) -> None:
    raw, out = crops_store[0], tmp_path / "v.zarr"
    job = step.prepare(raw, out, "ma,u", chain(), common(1.0), "again")
    assert len(job.items) == 2
    step.process(job, job.items[0])
    again = step.prepare(raw, out, "ma,u", chain(), common(1.0), "again")
    assert output.todo(again) == [job.items[1]]
    assert not out.exists()
    step.process(again, job.items[1])
    assert step.finish(again).path == out


def test_the_recipe_says_what_made_it(crops_store: Crops, tmp_path: Path) -> None:
    raw = crops_store[0]
    record = run(raw, tmp_path / "v.zarr", common(1.0))
    recipe = read(record.path)
    assert recipe["stage"] == "develop"
    assert recipe["params"]["operators"] == chain().document()
    assert recipe["inputs"] == [artefact("raw", raw, record.path)]
    assert {"tasks/isp/malvar.py", "tasks/isp/engine.py", "tasks/store.py"} <= set(recipe["code"])
    assert not any(name.startswith("flows/") for name in recipe["code"])
    assert {"numpy", "scipy", "zarr"} <= set(recipe["libraries"])


def test_a_raw_store_that_lost_a_file_is_refused(crops_store: Crops, tmp_path: Path) -> None:
    raw = crops_store[0]
    next((raw / "mosaic" / "c").rglob("0")).rename(tmp_path / "lost")
    with pytest.raises(LineageError, match="missing"):
        step.prepare(raw, tmp_path / "v.zarr", "v", chain(), common(1.0), "again")


def test_what_cannot_be_developed(crops_store: Crops, tmp_path: Path) -> None:
    raw = crops_store[0]
    with pytest.raises(ParamsError, match=r"no tile of intensity 0.25; expected one of 0.5, 1"):
        step.prepare(raw, tmp_path / "v.zarr", "v", chain(), common(0.25), "again")
    views = run(raw, tmp_path / "v.zarr", common(1.0)).path
    with pytest.raises(InputError, match="views of 'ma,u'; expected a raw store"):
        step.prepare(views, tmp_path / "w.zarr", "w", chain(), common(1.0), "again")
    with pytest.raises(LineageError, match="not there"):
        step.prepare(tmp_path / "none.zarr", tmp_path / "w.zarr", "w", chain(), common(1.0), "again")
