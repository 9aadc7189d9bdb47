"""The step: the same bytes in whatever order, the promised layout, clear refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks import output
from tasks.acquire import step
from tasks.acquire.params import DroneParams, MicroscopyParams, SlidesParams
from tasks.contracts import Calibration, Record
from tasks.errors import ParamsError
from tasks.ingest.params import IngestParams
from tasks.lineage.recipe import check_files, read
from tasks.params import load, parse

PROJECT = Path(__file__).parents[3]
Params = MicroscopyParams | DroneParams | SlidesParams


def made(out: Path, params: Params, dataset: str, backwards: bool = False) -> Record:
    job = step.prepare(out, params, dataset)
    waiting = output.todo(job)
    for item in reversed(waiting) if backwards else waiting:
        step.process(job, item)
    return step.finish(job)


def manifest(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "manifest.csv").read_text().splitlines()))


def test_microscopy(tmp_path: Path, microscopy: MicroscopyParams) -> None:
    record = made(tmp_path / "a", microscopy, "microscopy")
    check_files(record.path)
    rows = manifest(record.path)
    assert len(rows) == 9 * 2 * 3 == len({row["id"] for row in rows})
    assert {row["group"] for row in rows} == {"smear1", "smear2"}
    assert {row["intensity"] for row in rows} == {"1.0", "0.05", "0.001"}
    raw = tifffile.imread(record.path / rows[0]["file"])
    assert raw.dtype == np.uint16 and raw.shape == (96, 96)
    calibration = Calibration.model_validate(json.loads((record.path / "calibration.json").read_bytes()))
    assert calibration.gain_dn_per_e == microscopy.camera.sensor.gain_dn_per_e
    assert made(tmp_path / "b", microscopy, "microscopy", backwards=True).root == record.root


def test_lower_intensities_show_the_same_cell(tmp_path: Path, microscopy: MicroscopyParams) -> None:
    one = microscopy.model_copy(update={"smears": 1, "intensities": (1.0, 0.25)})
    made(tmp_path / "a", one, "microscopy")
    names = (f"smear1-LYA-0-i{k}.tif" for k in ("1000", "0250"))
    full, quarter = (tifffile.imread(tmp_path / "a" / "smear1" / name).astype(float) for name in names)
    assert np.corrcoef(full.ravel(), quarter.ravel())[0, 1] > 0.99
    assert (quarter - 100).mean() / (full - 100).mean() == pytest.approx(0.25, rel=0.005)


def test_drone(tmp_path: Path, drone: DroneParams) -> None:
    record = made(tmp_path / "a", drone, "drone")
    rows = manifest(record.path)
    assert [row["group"] for row in rows] == ["frame1", "frame2"]
    assert not (record.path / "calibration.json").exists()
    for row in rows:
        mask = np.asarray(Image.open(record.path / row["mask"]))
        assert mask.shape == tifffile.imread(record.path / row["file"]).shape == (256, 384)
        assert mask.max() == 1
    inputs = read(record.path)["inputs"]
    assert [entry["path"] for entry in inputs] == [f"skimage/data/{n}.png" for n in ("gravel", "grass", "brick")]
    assert made(tmp_path / "b", drone, "drone", backwards=True).root == record.root


def test_a_frame_at_several_intensities_shares_its_mask(tmp_path: Path, drone: DroneParams) -> None:
    params = drone.model_copy(update={"frames": 1, "intensities": (1.0, 0.001)})
    place = made(tmp_path / "a", params, "drone").path
    rows = {row["id"]: row for row in manifest(place)}
    assert {row["group"] for row in rows.values()} == {"frame1"}
    assert {row["mask"] for row in rows.values()} == {"frame1-cars.png"}
    full, dim = (
        tifffile.imread(place / rows[name]["file"]).mean() - np.mean(params.camera.black_level_dn)
        for name in ("frame1-i1000", "frame1-i0001")
    )
    assert 0 < dim < full / 100


def test_slides(tmp_path: Path, slides: SlidesParams) -> None:
    record = made(tmp_path / "a", slides, "slides")
    (row,) = manifest(record.path)
    names = {
        feature["properties"]["classification"]["name"]
        for feature in json.loads((record.path / row["mask"]).read_bytes())["features"]
    }
    assert row["subtype"] == "solid"
    assert names <= set(slides.classes) and len(names) >= 3
    assert tifffile.imread(record.path / row["file"]).shape == (512, 512, 3)
    assert made(tmp_path / "b", slides, "slides").root == record.root


def test_killed_work_goes_on_where_it_stopped(tmp_path: Path, drone: DroneParams) -> None:
    job = step.prepare(tmp_path / "a", drone, "drone")
    step.process(job, "frame2")
    assert not (tmp_path / "a").exists()
    again = step.prepare(tmp_path / "a", drone, "drone")
    assert output.todo(again) == ["frame1"]
    step.process(again, "frame1")
    assert step.finish(again).root == made(tmp_path / "b", drone, "drone").root


def test_another_seed_gives_other_pixels(tmp_path: Path, microscopy: MicroscopyParams) -> None:
    one = microscopy.model_copy(update={"smears": 1})
    first = made(tmp_path / "a", one, "microscopy")
    second = made(tmp_path / "b", one.model_copy(update={"seed": 99}), "microscopy")
    assert first.root != second.root


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
@pytest.mark.parametrize("dataset", list(step.MAKERS))
def test_the_sections_of_both_scales_are_known(file: str, dataset: str) -> None:
    params = load(PROJECT / file, f"acquire.{dataset}", step.params_model(dataset))
    assert step.MAKERS[dataset][0].items(params)


def test_pieces_may_overlap_by_half_at_most(slides: SlidesParams) -> None:
    with pytest.raises(ParamsError, match="must be at most half"):
        parse(SlidesParams, slides.model_dump() | {"overlap_px": 30}, "params.yaml#acquire.slides")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"picture_columns_px": {"training": [[0, 272]], "held_out": [[271, 512]]}}, "share columns"),
        ({"picture_columns_px": {"training": [[400, 512]], "held_out": [[0, 401]]}}, "share columns"),
        ({"picture_columns_px": {"training": [[0, 60], [200, 299]], "held_out": [[298, 400]]}}, "share columns"),
        ({"picture_columns_px": {"training": [[0, 400]], "held_out": [[470, 512]]}}, "at least patch_px 48 wide"),
        ({"picture_columns_px": {"training": [[0, 272]], "held_out": [[288, 513]]}}, "end at 512 at most"),
        ({"picture_columns_px": {"training": [], "held_out": [[288, 512]]}}, "at least 1 item"),
        ({"subtypes": {}}, "subtypes name no slide, must name each of slide1 once"),
        ({"held_out": ["slide1", "slide2"]}, "held_out names slide2, must be among slide1 to slide1"),
    ],
)
def test_refuses_parts_that_leak_and_slides_that_there_are_not(
    slides: SlidesParams, change: dict[str, object], wrong: str
) -> None:
    with pytest.raises(ParamsError, match=wrong):
        parse(SlidesParams, slides.model_dump() | change, "params.yaml#acquire.slides")


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_the_slides_with_their_own_texture_are_those_held_back(file: str) -> None:
    own = load(PROJECT / file, "acquire.slides", SlidesParams).held_out
    assert own == load(PROJECT / file, "ingest.slides", IngestParams).test_groups


def test_refuses_what_it_does_not_know(tmp_path: Path, drone: DroneParams) -> None:
    with pytest.raises(ParamsError, match="no dataset 'x'"):
        step.params_model("x")
    with pytest.raises(ParamsError, match="expected SlidesParams"):
        step.prepare(tmp_path / "a", drone, "slides")
