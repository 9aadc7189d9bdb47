"""The stage as a whole on known truth: readers of one thing fail where it changes, and the bytes are the same again."""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import output
from tasks.contracts import Record
from tasks.drift import models
from tasks.drift.params import ScoringParams, SynthesisParams
from tasks.drift.synthesis import given, inputs, score, step
from tasks.drift.synthesis.score import Condition
from tasks.errors import InputError, LineageError, ParamsError
from tasks.learn import checkpoint, scores
from tasks.learn.checkpoint import write_tensors
from tasks.learn.data import Examples, Picked, WholeMasks
from tasks.learn.networks import build
from tasks.learn.params import TaskParams
from tasks.lineage.digest import files_below, pretty
from tests.unit.drift.conftest import CHAINS, CLASSES, classification, developed, segmentation
from tests.unit.learn.conftest import seal

CORRUPTIONS = ("brightness", "saturate", "impulse_noise", "elastic", "gaussian_blur", "gaussian_noise")
Stores = Mapping[str, Path]
Matrix = dict[str, Any]


def scoring(**changes: Any) -> dict[str, Any]:
    own = {"corruptions": CORRUPTIONS, "severities": (1, 5), "shown_severity": 5, "resamples": 200}
    return {"data_models": list(CHAINS), **own, **changes}


def module(name: str) -> dict[str, Any]:
    return {"name": "module", "path": f"tests.unit.drift.planted_models:{name}", "arguments": {}}


def params(task: dict[str, Any], **changes: Any) -> SynthesisParams:
    return SynthesisParams.model_validate({**task, "intensity": 1.0, "scoring": scoring(**changes)})


def few(**changes: Any) -> SynthesisParams:
    """A real network under two data models and one corruption."""
    short = {"data_models": ("bi,s,ga", "bare"), "corruptions": ("contrast",), "severities": (3,), "shown_severity": 3}
    return params(classification(**changes), **short)


def run(job: output.Job) -> Record:
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job)


def matrix_of(record: Record) -> Matrix:
    found: Matrix = json.loads((record.path / "matrix.json").read_bytes())
    return found


def means(cells: list[list[Matrix]]) -> np.ndarray:
    return np.array([[cell["mean"] for cell in row] for row in cells])


def under(found: Matrix, severity: int, name: str) -> np.ndarray:
    """Means of all rows under one corruption."""
    return means(found["corrupted"][str(severity)])[:, found["corruptions"].index(name)]


@pytest.fixture(scope="module")
def readers(crops: Path, crop_views: Stores, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The stage with the reader of colour and with the reader of shape."""
    made = {}
    for name in ("colour", "shape"):
        out = tmp_path_factory.mktemp("drift") / name
        made[name] = run(step.prepare(crops, crop_views, out, params(classification(architecture=module(name))), "x"))
    return made


def test_a_reader_of_colour_fails_exactly_where_colour_changes(readers: dict[str, Record]) -> None:
    found = matrix_of(readers["colour"])
    assert found["rows"] == found["data_models"] == ["bi,s,ga", "ma,u,me", "bare"]
    np.testing.assert_array_equal(means(found["matrix"]), [[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]])
    assert (under(found, 1, "brightness") < 0.6).all() and (under(found, 1, "saturate") < 0.6).all()
    for name in ("identity", "impulse_noise", "elastic", "gaussian_blur", "gaussian_noise"):
        assert (under(found, 1, name) == 1).all(), name
    assert [found["worst"]["data_models"][k] for k in ("drop", "low", "high")] == [0.5, 0.5, 0.5]
    assert "bare" in (found["worst"]["data_models"]["train"], found["worst"]["data_models"]["test"])


def test_a_reader_of_shape_holds_where_colour_changes_and_fails_where_shape_does(readers: dict[str, Record]) -> None:
    found = matrix_of(readers["shape"])
    assert (means(found["matrix"]) == 1).all()
    for name in ("identity", "brightness", "saturate", "elastic"):
        assert (under(found, 1, name) == 1).all() and (under(found, 5, name) == 1).all(), name
    for name in ("impulse_noise", "gaussian_blur", "gaussian_noise"):
        assert (under(found, 5, name) < 0.7).all(), name
    assert found["worst"]["data_models"] is None
    assert found["worst"]["corruptions"]["test"] in ("impulse_noise", "gaussian_blur", "gaussian_noise")
    assert found["drops"]["ratio"]["5"] == {"value": None, "low": None, "high": None}


def test_conclusions_follow_the_planted_truth(readers: dict[str, Record]) -> None:
    found = matrix_of(readers["colour"])
    star = found["stars"]["data_models"]["bare"]
    assert star["train"] == "bare" and star["best_share"] == 1
    assert [star["difference"][k] for k in ("low", "mean", "high")] == [0.5, 0.5, 0.5]
    assert not star["told_apart"], "three equal differences are no measure of how much they vary"
    tied = found["stars"]["data_models"]["bi,s,ga"]
    assert not tied["told_apart"] and tied["best_share"] == 0.5 and tied["difference"]["mean"] == 0
    assert found["drops"]["data_models"]["drop"]["mean"] == pytest.approx(1 / 3)
    assert found["test"]["groups"] == 1 and found["test"]["tiles"] == 6
    assert found["test"]["matrix"][2][0] == {"mean": 0.5, "sd": None, "low": None, "high": None, "n": 1.0}
    assert (found["folds"], found["groups"], found["tiles"]) == ([0, 1, 2], 6, 36)
    assert found["chance"] == 1 / len(CLASSES), "as many tiles of each class"


def test_the_scores_table_has_every_tile_and_condition_once(readers: dict[str, Record]) -> None:
    table = pd.read_parquet(readers["colour"].path / "scores.parquet")
    each = len(CHAINS) + 1 + 2 * len(CORRUPTIONS)
    assert len(table) == 3 * (each * 36 + len(CHAINS) * 3 * 6)
    assert set(table.loc[table["role"] == "test", "kind"]) == {"data_model"}
    keys = ["data_model", "member", "tile_id", "kind", "condition", "severity"]
    assert not table.duplicated(keys).any()
    assert (table[[f"hit_{c}" for c in CLASSES] + [f"miss_{c}" for c in CLASSES]].sum(axis=1) == 1).all()
    validated = table[table["role"] == "validation"].groupby(["data_model", "kind", "condition", "severity"])["tile_id"]
    assert (validated.nunique() == 36).all()
    scored = table[table["role"] == "validation"]
    home = scored[(scored["kind"] == "data_model") & (scored["condition"] == scored["data_model"])]
    identity = table[table["condition"] == "identity"]
    counted = [c for c in table if c.startswith(("hit", "miss", "false"))]
    np.testing.assert_array_equal(home[counted].to_numpy(), identity[counted].to_numpy())


def test_the_layout_is_that_of_models_on_disk(readers: dict[str, Record]) -> None:
    record = readers["colour"]
    names = set(files_below(record.path))
    assert {f"models/{d}/fold{k}.safetensors" for d in CHAINS for k in range(3)} <= names
    drawn = {"matrix", "matrix-severity1", "drops", "worst-data-models", "worst-corruptions"}
    assert {f.relative_to(record.path).as_posix() for f in record.figures} == {f"figures/{n}.png" for n in drawn}
    assert not [n for n in names if n.endswith((".npy", ".part"))]
    assert models.members(record.path, "bare") == ("fold0", "fold1", "fold2")
    assert models.read_task(record.path).classes == CLASSES
    assert len(record.models) == 9 and record.metrics["data_models_drop_accuracy"] == pytest.approx(1 / 3)
    assert [epoch for epoch, _ in record.curves["bare/fold0/train_loss"]] == [1, 2]


def test_killed_resumed_and_in_another_order_the_bytes_are_the_same(
    crops: Path, crop_views: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(step.prepare(crops, crop_views, tmp_path / "a" / "synthesis", few(), "x"))
    shutil.copytree(crops.parent.parent, tmp_path / "moved")
    moved = {name: tmp_path / "moved" / "variants" / "crops" / f"{name}.zarr" for name in CHAINS}
    raw = tmp_path / "moved" / "raw" / "crops.zarr"
    job = step.prepare(raw, moved, tmp_path / "moved" / "variants" / "synthesis", few(), "x")
    save, saved = checkpoint.save, []

    def killing(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments[3])
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killing)
    with pytest.raises(KeyboardInterrupt):
        step.process(job, "bare/fold2")
    assert saved == [1] and not job.out.exists()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(step.process, [job] * 6, reversed(job.items)))
    record = step.finish(job)
    assert len(saved) == 6 * 2, "no epoch was done twice"
    assert record.root == whole.root


def test_a_small_network_learns_and_the_window_is_resized(crops: Path, crop_views: Stores, tmp_path: Path) -> None:
    """Corruptions work on the window; the network sees it at half the side."""
    train = {"seed": 5, "learning_rate": 0.05, "weight_decay": 0.0, "batch_tiles": 12, "epochs": 12}
    changes = {"input_px": 16, "train": train, "architecture": module("small")}
    found = matrix_of(run(step.prepare(crops, crop_views, tmp_path / "s", few(**changes), "x")))
    assert np.diagonal(means(found["matrix"])).min() > 0.85
    assert means(found["matrix"]).shape == (2, 2) and len(found["corrupted"]["3"][0]) == 2


def test_counts_are_those_of_the_stage_learn(frames: Path, frame_views: Stores, tmp_path: Path) -> None:
    task = TaskParams.model_validate(segmentation(architecture=module("bright"), input_px=16))
    paths = {"raw": frames, "views:bare": frame_views["bare"]}
    opened = inputs.open_inputs(paths, task, 1.0, tmp_path)
    model = build(task.architecture, 2, 1)
    tiles = score.tiles_of(opened, {"validation": [3, 4, 9], "test": [0]})
    ours = score.under(model, tiles, "bare", Condition("data_model", "bare", 0), 0)
    rows = tuple(opened.table.itertuples(index=False))
    views = Picked(opened.views("bare"), np.arange(len(rows)))
    whole = Examples(tuple(opened.table["tile_id"]), views, opened.truth(), WholeMasks(frames, rows))
    theirs, _ = scores.tile_counts(model, whole.pick([3, 4, 9, 0]), task)
    expected = np.stack([theirs[:, 1, 1], theirs[:, 0, 1], theirs[:, 1, 0]], axis=1)
    np.testing.assert_array_equal(ours[:, 0], expected)
    assert expected[:, 0].min() > 0


def test_a_segmentation(frames: Path, frame_views: Stores, tmp_path: Path) -> None:
    """What reads brightness within a tile bears white balance and brightness, and not strong noise."""
    task = segmentation(architecture=module("bright"))
    noise = {"corruptions": ("brightness", "gaussian_noise"), "data_models": ("bi,s,ga", "bare")}
    record = run(step.prepare(frames, frame_views, tmp_path / "s", params(task, **noise), "x"))
    found = matrix_of(record)
    assert found["main"] == "iou" and found["groups"] == 3 and found["tiles"] == 12
    assert means(found["matrix"]).min() > 0.8
    assert under(found, 1, "brightness").min() > 0.8 > 0.6 > under(found, 5, "gaussian_noise").max()
    table = pd.read_parquet(record.path / "scores.parquet")
    assert [c for c in table if c.startswith("hit")] == ["hit_car"]


def adopted(out: Path, task: dict[str, Any], row: str = models.GIVEN) -> Path:
    """A model as `rawmill drift` adopts it: planted, not trained."""
    made = TaskParams.model_validate(task)

    def write(content: Path) -> None:
        (content / "model.json").write_bytes(pretty({"params": made.model_dump(mode="json")}))
        weights = models.weights(content, row, models.GIVEN)
        weights.parent.mkdir(parents=True)
        network = build(made.architecture, len(made.classes), 1)
        network.measure([0.59, 0.6, 0.6], [0.1, 0.1, 0.1])
        write_tensors(weights, network.state_dict())

    return seal(out, write)


def test_a_given_model_gets_one_row_with_intervals_over_groups(crops: Path, crop_views: Stores, tmp_path: Path) -> None:
    model = adopted(tmp_path / "model", classification(architecture=module("colour")))
    asked = ScoringParams.model_validate(scoring())
    job = given.prepare(model, crops, crop_views, tmp_path / "given", asked, "x")
    assert job.items == tuple(CHAINS)
    for item in reversed(job.items):
        given.process(job, item)
    found = matrix_of(given.finish(job))
    assert found["rows"] == ["given"] and found["folds"] == [] and found["reference"] == "bi,s,ga"
    assert [c["mean"] for c in found["matrix"][0]] == [1, 1, 0.5]
    assert found["matrix"][0][2] == {"mean": 0.5, "sd": None, "low": 0.5, "high": 0.5, "n": 7.0}
    assert found["rankings"] is None and found["stars"] is None and found["tiles"] == 42
    assert found["drops"]["data_models"]["drop"]["mean"] == 0.25
    assert found["worst"]["data_models"]["train"] == "bi,s,ga" and found["worst"]["data_models"]["test"] == "bare"
    brightness = found["corrupted"]["1"][0][found["corruptions"].index("brightness")]
    assert brightness["mean"] < 0.6 and brightness["low"] <= brightness["mean"] <= brightness["high"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"scoring": scoring(data_models=("bi,s,ga", "me,u,me"))}, ParamsError, "no views of me,u,me"),
        ({"scoring": scoring(data_models=("bare", "bare"))}, ParamsError, "each once"),
        ({"intensity": 0.5}, InputError, "tiles of intensity 1; expected some of intensity 0.5"),
        ({"classes": ("WARM", "COOL", "HOT")}, InputError, "no training tile of class HOT for fold 0"),
        ({"window_px": 64}, InputError, "64 px or more"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    crops: Path, crop_views: Stores, tmp_path: Path, change: dict[str, Any], kind: type[Exception], words: str
) -> None:
    asked = SynthesisParams.model_validate({**classification(), "intensity": 1.0, "scoring": scoring(), **change})
    with pytest.raises(kind, match=words) as caught:
        step.prepare(crops, crop_views, tmp_path / "s", asked, "x")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_views_of_other_tiles_or_of_another_name_are_refused(crops: Path, crop_views: Stores, tmp_path: Path) -> None:
    others = {**developed(crops, tmp_path / "v", 0.1), "bi,s,ga": crop_views["bi,s,ga"]}
    with pytest.raises(InputError, match=r"of intensity 0\.1"):
        step.prepare(crops, others, tmp_path / "s", few(), "x")
    swapped = {**crop_views, "bare": crop_views["ma,u,me"]}
    with pytest.raises(ParamsError, match="variant ma,u,me; expected bare"):
        step.prepare(crops, swapped, tmp_path / "s", few(), "x")

    def fewer(content: Path) -> None:
        shutil.copytree(crop_views["bare"], content, dirs_exist_ok=True)
        for name in ("recipe.json", "tree.json"):
            (content / name).unlink()
        pd.read_parquet(content / "tiles.parquet").iloc[1:].to_parquet(content / "tiles.parquet", index=False)

    with pytest.raises(InputError, match="other tiles than bi,s,ga"):
        step.prepare(crops, {**crop_views, "bare": seal(tmp_path / "bare.zarr", fewer)}, tmp_path / "s", few(), "x")


def test_an_input_that_is_swapped_under_way_is_caught(crops: Path, crop_views: Stores, tmp_path: Path) -> None:
    stores = {name: shutil.copytree(crop_views[name], tmp_path / f"{name}.zarr") for name in ("bi,s,ga", "bare")}
    job = step.prepare(crops, stores, tmp_path / "s", few(), "x")
    shutil.rmtree(stores["bare"])
    developed(crops, tmp_path, 0.1)
    with pytest.raises(LineageError, match="run the stage again"):
        step.process(job, "bi,s,ga/fold0")
