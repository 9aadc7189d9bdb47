"""The stage as a whole on planted weaknesses: what is planted is found, what is not there is not."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tasks import output
from tasks.contracts import Record
from tasks.drift import models, mosaics
from tasks.drift.forensics import step
from tasks.drift.forensics.home import theta_stat
from tasks.drift.forensics.inputs import opened, tiles_of
from tasks.drift.params import ForensicsParams
from tasks.errors import LineageError, ParamsError
from tasks.isp.chain import parse_chain
from tasks.isp.parametrised import static
from tasks.learn import scores
from tasks.learn.determinism import one_thread
from tasks.learn.networks import build
from tasks.learn.params import TaskParams
from tasks.lineage.digest import files_below
from tests.unit.drift.conftest import CHAINS
from tests.unit.drift.forensics_data import BRIGHT, CONSTANT, DATA_MODEL, RED, given, params, planted, trained

Document = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]


def carry_out(job: output.Job) -> Record:
    for wave in output.waves(job):
        for item in output.todo(job, wave):
            step.process(job, item)
    return step.finish(job)


def signature(record: Record) -> Document:
    document: Document = json.loads((record.path / "signature.json").read_bytes())
    return document


@pytest.fixture(scope="module")
def red(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Three models that decide by the mean red value."""
    folder = tmp_path_factory.mktemp("red")
    job = step.prepare(trained(folder / "models", RED), DATA_MODEL, crops, folder / "forensics", params(), "x")
    return carry_out(job)


def scan(crops: Path, task: TaskParams, part: str, at: int, gains: np.ndarray, wanted: ForensicsParams) -> np.ndarray:
    """Accuracy at each factor on the gain of channel `at`: mean over the folds, by brute force."""
    table = tiles_of(crops, task, wanted)
    tiles = mosaics.load(crops, table, task)
    rows = [models.searched_rows(table, f"fold{k}")[part] for k in range(3)]
    network, found = build(task.architecture, 2, 1), []
    with one_thread():
        for gain in gains:
            model = static(tiles.calibration, "luma")
            model.white_balance.data[at] *= float(gain)
            counts, _ = scores.tile_counts(network, mosaics.examples(model, tiles, task), task)
            right = counts[:, [0, 1], [0, 1]].sum(axis=1)
            found.append(np.mean([right[own].mean() for own in rows]))
    return np.array(found)


def test_the_planted_gain_has_a_narrow_range_and_the_others_none(red: Record, crops: Path) -> None:
    found = {p["name"]: p for p in signature(red)["groups"]["white_balance"]["parameters"]}
    for name in ("green", "blue"):
        assert found[name]["unbounded_low"] and found[name]["unbounded_high"]
    own = found["red"]
    assert own["confirmed"] and not own["unbounded_low"] and not own["unbounded_high"]
    low, high = own["low"] / own["initial"], own["high"] / own["initial"]
    assert 0.5 < low < 1 < high < 1.6
    for part in ("search", "cut", "confirm"):
        assert (scan(crops, RED, part, 0, np.linspace(low, high, 9), params()) >= 0.9 - 1e-9).all()
    further = 2 ** (2 * 8 / 2**5)
    beyond = np.array([1 - (1 - low) * further, 1 + (high - 1) * further])
    assert (scan(crops, RED, "search", 0, beyond, params()) < 0.9).all()


def test_the_red_sample_alone_matters_in_the_black_level(red: Record) -> None:
    found = signature(red)["groups"]["black_level"]["parameters"]
    assert [p["name"][-2] for p in found if p["unbounded_low"] and p["unbounded_high"]] == ["G", "G", "B"]


def test_the_search_breaks_the_model_by_the_planted_group(red: Record) -> None:
    document = signature(red)
    free = {row["group"]: row for row in document["sweep"] if row["lambda"] == 0}
    assert document["base"]["unseen"]["mean"] == 1
    assert free["white_balance"]["metric"]["mean"] <= 0.6 and free["all"]["metric"]["mean"] <= 0.6
    assert free["white_balance"]["loss"]["low"] > 0.1


def test_a_huge_lambda_leaves_theta_stat(red: Record) -> None:
    document = signature(red)
    for row in document["sweep"]:
        if row["lambda"] == 1e9:
            assert row["metric"]["mean"] == document["base"]["unseen"]["mean"] and row["l2"]["mean"] == 0


def test_what_the_search_saw_moves_less_as_lambda_grows(red: Record) -> None:
    table = pq.read_table(red.path / "sweep.parquet").to_pandas()
    for _, rows in table.groupby(["member", "group"]):
        moved = rows.sort_values("lambda")["searched_l2"].to_numpy()
        assert (np.diff(moved) <= 0).all() and moved[0] > 0


def test_joint_search_is_no_less_harmful_than_any_groups(red: Record) -> None:
    table = pq.read_table(red.path / "sweep.parquet").to_pandas()
    table["objective"] = table["lambda"] * table["searched_l2"] - table["searched_loss"]
    for _, rows in table.groupby(["member", "lambda"]):
        assert rows.set_index("group")["objective"]["all"] == rows["objective"].min()
        assert len(rows.set_index("group")["theta"]["all"]) == 78


def test_ranges_are_boxes_around_theta_stat_that_hold(red: Record) -> None:
    document = signature(red)
    for group in document["groups"].values():
        initial, scale, r = np.array(group["initial"]), np.array(group["scale"]), group["radius"]
        np.testing.assert_allclose(group["low"], initial - r * scale, rtol=1e-6)
        np.testing.assert_allclose(group["high"], initial + r * scale, rtol=1e-6)
        worst = np.array(group["worst"])
        assert (np.abs(worst - initial) <= r * scale + 1e-6).all()
        assert group["confirmed"] == (group["at_limit"]["loss"]["value"] <= document["loss_stated"] + 1e-9)


def test_the_document_has_the_agreed_keys_and_says_how_much_it_rests_on(red: Record) -> None:
    document = signature(red)
    assert set(document) >= {"task", "main", "confidence", "data_model", "seed", "loss_stated", "members", "base"}
    assert set(document) >= {"sweep", "groups", "notes"} and document["members"] == ["fold0", "fold1", "fold2"]
    assert document["tiles"]["search"] == {"fold0": 12, "fold1": 12, "fold2": 12}
    assert document["tiles"]["unseen"] == {"fold0": 18, "fold1": 18, "fold2": 18}
    parts = [document["tiles"][part] for part in ("cut", "confirm")]
    assert [sum(counts) for counts in zip(*(p.values() for p in parts), strict=True)] == [18, 18, 18]
    assert len(document["sweep"]) == 3 * 4 and len(document["groups"]) == 3
    names = set(files_below(red.path))
    assert {"signature.json", "sweep.parquet", "figures/ranges.png", "figures/samples.png"} <= names
    assert {f.name for f in red.figures} == {
        "metric_over_lambda.png",
        "metric_over_l2.png",
        "ranges.png",
        "samples.png",
    }
    assert red.metrics["radius_white_balance"] == document["groups"]["white_balance"]["radius"]


def test_no_tile_is_both_searched_and_confirmed(crops: Path, tmp_path: Path) -> None:
    job = step.prepare(trained(tmp_path / "models", RED), DATA_MODEL, crops, tmp_path / "out", params(), "x")
    what = opened(job)
    for rows in what.rows.values():
        groups = [{what.tiles.groups[i] for i in rows[part]} for part in ("search", "cut", "confirm")]
        assert all(groups) and sum(map(len, groups)) == len(set.union(*groups))


def test_a_model_that_ignores_everything_has_no_weakness(crops: Path, tmp_path: Path) -> None:
    few = params(groups=["white_balance", "gamma"], lambdas=[0.0, 1.0])
    job = step.prepare(trained(tmp_path / "models", CONSTANT), DATA_MODEL, crops, tmp_path / "out", few, "x")
    document = signature(carry_out(job))
    for group in document["groups"].values():
        assert group["unbounded"] and group["radius"] == 1 and group["at_limit"]["loss"]["value"] == 0
        assert all(p["unbounded_low"] and p["unbounded_high"] for p in group["parameters"])
    assert {row["metric"]["mean"] for row in document["sweep"]} == {0.5}


def test_a_given_model_is_judged_by_groups_of_tiles(crops: Path, tmp_path: Path) -> None:
    few = params(groups=["white_balance"], lambdas=[0.0, 1e9], range_steps=3)
    job = step.prepare(given(tmp_path / "model", RED), models.GIVEN, crops, tmp_path / "out", few, "x")
    document = signature(carry_out(job))
    assert document["members"] == ["given"] and document["row"] == "given"
    free = next(row for row in document["sweep"] if row["group"] == "white_balance" and row["lambda"] == 0)
    assert free["metric"]["n"] == document["tile_groups"]["unseen"]["given"]
    assert free["loss"]["low"] <= free["loss"]["value"] <= free["loss"]["high"]
    assert not document["groups"]["white_balance"]["unbounded"]


def test_a_segmentation_is_searched_and_scored_on_stored_masks(frames: Path, tmp_path: Path) -> None:
    few = params(groups=["white_balance"], lambdas=[0.0, 1e9], range_steps=2, range_draws=1, loss_stated=0.2)
    job = step.prepare(trained(tmp_path / "models", BRIGHT), DATA_MODEL, frames, tmp_path / "out", few, "x")
    document = signature(carry_out(job))
    assert document["main"] == "iou" and document["base"]["unseen"]["mean"] > 0.8
    worst = min(row["metric"]["mean"] for row in document["sweep"])
    assert worst < 0.5 and not document["groups"]["white_balance"]["unbounded"]


@pytest.fixture(scope="module")
def small(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], output.Job]:
    """Makes the same small job at a place of its own."""
    folder = tmp_path_factory.mktemp("small")
    searched = given(folder / "model", RED)
    few = params(groups=["gamma"], lambdas=[0.0, 1.0], epochs=2, range_steps=2)

    def prepared(name: str) -> output.Job:
        place = folder / name
        place.mkdir()
        shutil.copytree(searched, place / "model")
        return step.prepare(place / "model", models.GIVEN, crops, place / "forensics", few, "x")

    return prepared


def files(record: Record) -> dict[str, bytes]:
    names = [n for n in files_below(record.path) if n != "recipe.json"]
    return {name: (record.path / name).read_bytes() for name in names}


def test_neither_order_nor_workers_nor_a_kill_change_a_byte(small: Callable[[str], output.Job]) -> None:
    first = files(carry_out(small("first")))
    job = small("second")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(step.process, job), reversed(job.items)))
    output.forget(job, job.items[:1])  # as a kill before its receipt leaves it
    assert files(carry_out(job)) == first


def test_models_of_another_data_model_are_refused(crops: Path, tmp_path: Path) -> None:
    folder = trained(tmp_path / "models", RED)
    with pytest.raises(ParamsError, match=r"models of ma,u,me"):
        step.prepare(folder, "ma,u,me", crops, tmp_path / "out", params(), "x")
    with pytest.raises(LineageError, match="no model given"):
        step.prepare(folder, models.GIVEN, crops, tmp_path / "out", params(), "x")


def test_theta_stat_is_the_shipped_data_model() -> None:
    for file in ("params.yaml", "params/paper.yaml"):
        values = yaml.safe_load((ROOT / file).read_text())
        shipped = parse_chain(values["develop"]["variants"][DATA_MODEL], file)
        assert shipped.document() == theta_stat(values["drift_forensics"]["microscopy"]["channels"])


def test_models_of_a_data_model_that_is_not_theta_stat_are_refused(crops: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("ma,u,me", "bare")):
        folder = trained(tmp_path / f"models{i}", RED, chain=CHAINS[name])
        with pytest.raises(ParamsError, match=r"bi,s,ga is not theta-stat") as caught:
            step.prepare(folder, DATA_MODEL, crops, tmp_path / "out", params(), "x")
        assert len(str(caught.value).splitlines()) == 1
    other = params(channels="rgb")
    with pytest.raises(ParamsError, match=r"not theta-stat: .*luma"):
        step.prepare(trained(tmp_path / "luma", RED), DATA_MODEL, crops, tmp_path / "out", other, "x")
    job = step.prepare(given(tmp_path / "given", RED), models.GIVEN, crops, tmp_path / "out", other, "x")
    exact = "exact: the same bytes on the same kind of machine"
    assert job.plan["notes"] == {"device": "cpu", "tolerance": exact, "row": models.GIVEN}


def test_the_views_that_were_trained_on_must_be_those_still(crops: Path, tmp_path: Path) -> None:
    folder, views = trained(tmp_path / "models", RED), tmp_path / "models-views.zarr"
    shutil.rmtree(views)
    with pytest.raises(LineageError, match=r"models-views\.zarr: not there"):
        step.prepare(folder, DATA_MODEL, crops, tmp_path / "out", params(), "x")
    planted(views, [], {"operators": theta_stat("luma"), "since": "another time"})
    with pytest.raises(LineageError, match=r"models-views\.zarr: recipe"):
        step.prepare(folder, DATA_MODEL, crops, tmp_path / "out", params(), "x")


def test_an_intensity_that_is_not_there_is_named(crops: Path, tmp_path: Path) -> None:
    folder = trained(tmp_path / "models", RED)
    with pytest.raises(ParamsError, match=r"no tile of intensity 0.5; expected one of 0.1, 1;"):
        step.prepare(folder, DATA_MODEL, crops, tmp_path / "out", params(intensity=0.5), "x")
