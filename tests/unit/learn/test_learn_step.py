"""The stage as a whole on planted truth: it learns, resumes to the same bits, and keeps groups apart."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import output
from tasks.contracts import Record
from tasks.errors import InputError, LineageError, ParamsError
from tasks.learn import checkpoint, data, step
from tasks.learn.params import LearnParams
from tasks.learn.predict import predict
from tasks.lineage.digest import files_below
from tests.unit.learn.conftest import CLASSES, disc, seal


def learn(job: output.Job) -> Record:
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job)


@pytest.fixture(scope="module")
def microscopy(crops: Path, classification: LearnParams, tmp_path_factory: pytest.TempPathFactory) -> Record:
    out = tmp_path_factory.mktemp("models") / "microscopy"
    return learn(step.prepare(crops, None, out, classification, "x"))


def test_a_planted_colour_is_learnt(microscopy: Record) -> None:
    found = json.loads((microscopy.path / "metrics.json").read_bytes())
    for role in ("validation", "test"):
        assert found["roles"][role]["summary"]["accuracy"]["mean"] > 0.8
        assert found["roles"][role]["summary"]["accuracy_of_majority"]["mean"] == pytest.approx(1 / 3)
    assert microscopy.metrics["test_accuracy_mean"] == found["roles"]["test"]["summary"]["accuracy"]["mean"]


def test_each_training_tile_is_validated_once_and_no_group_is_on_both_sides(microscopy: Record) -> None:
    tiles = pq.read_table(microscopy.path / "tiles.parquet").to_pandas()
    validated = tiles[tiles["role"] == "validation"]["tile_id"]
    assert sorted(validated) == sorted(set(validated)) and len(validated) == 36
    for _, own in tiles.groupby("fold"):
        groups = own.groupby("role")["tile_id"].agg(lambda ids: {i.split("-")[0] for i in ids})
        assert not groups["train"] & groups["validation"] and not groups["train"] & groups["test"]
        assert groups["test"] == {"g0"}


def test_the_confusion_sums_to_the_tiles(microscopy: Record) -> None:
    found = json.loads((microscopy.path / "metrics.json").read_bytes())["roles"]
    assert np.sum(found["validation"]["confusion"]) == 36
    assert np.sum(found["test"]["confusion"]) == 3 * 12


def test_the_layout_is_the_data_models(microscopy: Record) -> None:
    names = set(files_below(microscopy.path))
    wanted = {"fold0.safetensors", "fold1.safetensors", "fold2.safetensors", "model.json", "metrics.json"}
    assert wanted | {"history.csv", "tiles.parquet", "figures/confusion.png", "predictions/fold0.parquet"} <= names
    assert not [n for n in names if "checkpoint" in n or n.endswith((".part", ".npy"))]
    history = pd.read_csv(microscopy.path / "history.csv")
    assert list(history) == ["fold", "step", "metric", "value"]
    losses = history[(history["metric"] == "train_loss") & (history["fold"] == "fold1")]
    assert list(losses["step"]) == list(range(1, 19))
    assert losses["value"].iloc[-1] < losses["value"].iloc[0]


def test_predictions_do_not_depend_on_company_and_match_the_stored_ones(microscopy: Record) -> None:
    views = np.stack([disc(k % 3, f"new{k}") for k in range(11)]).astype(np.float32) / 65535
    together = predict(microscopy.path, 0, views)
    assert together.shape == (11, 3) and together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)
    for i in (0, 7, 10):
        assert np.array_equal(predict(microscopy.path, 0, views[i : i + 1])[0], together[i])
    stored = pq.read_table(microscopy.path / "predictions" / "fold0.parquet").to_pandas()
    first = stored[stored["role"] == "test"].iloc[0]
    kind = CLASSES.index(first["tile_id"].split("-")[1])
    again = predict(microscopy.path, 0, disc(kind, first["tile_id"])[None].astype(np.float32) / 65535)[0]
    np.testing.assert_allclose(again, [first[f"probability_{c}"] for c in CLASSES], atol=1e-6)


def test_a_swapped_model_is_refused(microscopy: Record, tmp_path: Path) -> None:
    copy = shutil.copytree(microscopy.path, tmp_path / "model")
    (copy / "fold0.safetensors").write_bytes(b"short")
    with pytest.raises(LineageError, match=r"fold0\.safetensors"):
        predict(copy, 0, np.zeros((1, 3, 32, 32), np.float32))


def test_killed_after_an_epoch_and_resumed_gives_the_same_output(
    crops: Path, tmp_path: Path, classification: LearnParams, microscopy: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in another folder, the folds in another order and in threads: the root is the undisturbed run's."""
    shutil.copytree(crops, tmp_path / "in" / "views.zarr")
    job = step.prepare(tmp_path / "in" / "views.zarr", None, tmp_path / "out" / "microscopy", classification, "x")
    save, saved = checkpoint.save, []

    def killing(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        saved.append(arguments[3])
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killing)
    with pytest.raises(KeyboardInterrupt):
        step.process(job, "fold2")
    assert saved == [1, 2, 3, 4] and not job.out.exists()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(step.process, [job, job, job], ["fold2", "fold1", "fold0"]))
    record = step.finish(job)
    assert saved.count(4) == 3 and len(saved) == 3 * 18, "no epoch was done twice"
    assert record.root == microscopy.root


def test_planted_bars_are_segmented(frames: Path, masks: Path, tmp_path: Path, segmentation: LearnParams) -> None:
    record = learn(step.prepare(frames, masks, tmp_path / "models" / "drone", segmentation, "make repro"))
    found = json.loads((record.path / "metrics.json").read_bytes())["roles"]["test"]["summary"]
    assert found["iou"]["mean"] > 0.6 > 3 * found["iou_of_everywhere"]["mean"]
    assert found["dice"]["mean"] > found["iou"]["mean"]
    assert (record.path / "figures" / "overlays.png").read_bytes()[:4] == b"\x89PNG"
    assert predict(record.path, 1, np.zeros((2, 3, 64, 64), np.float32)).shape == (2, 2, 32, 32)


def test_a_segmentation_without_masks_is_refused(frames: Path, tmp_path: Path, segmentation: LearnParams) -> None:
    with pytest.raises(ParamsError, match="masks"):
        step.prepare(frames, None, tmp_path / "m", segmentation, "x")


def test_another_variant_is_refused(crops: Path, tmp_path: Path, classification: LearnParams) -> None:
    with pytest.raises(ParamsError, match="variant bi,s,me; expected ma,u,ga"):
        step.prepare(crops, None, tmp_path / "m", classification.model_copy(update={"variant": "ma,u,ga"}), "x")


def changed(crops: Path, at: Path, change: object) -> Path:
    """A sealed copy of the crops whose table went through `change`."""

    def write(content: Path) -> None:
        shutil.copytree(crops, content, dirs_exist_ok=True)
        (content / "recipe.json").unlink()
        (content / "tree.json").unlink()
        table = pq.read_table(content / "tiles.parquet").to_pandas()
        pq.write_table(pa.Table.from_pandas(change(table), preserve_index=False), content / "tiles.parquet")  # type: ignore[operator]

    return seal(at, write)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.assign(label=t["label"].replace("RED", "PINK")), "label PINK"),
        (lambda t: t.assign(label=""), "no labelled tile"),
        (lambda t: t.assign(group="g1"), "group g1 is in several splits or folds"),
        (lambda t: t.assign(fold=t["fold"].clip(upper=0)), "1 folds"),
        (lambda t: t.assign(height_px=16), "not square"),
        (lambda t: t[~((t["label"] == "BLUE") & (t["fold"] > 0))], "no training tile of class BLUE for fold 0"),
    ],
)
def test_tiles_that_cannot_be_learnt_from(
    crops: Path, tmp_path: Path, classification: LearnParams, change: object, words: str
) -> None:
    store = changed(crops, tmp_path / "views.zarr", change)
    with pytest.raises(InputError, match=words) as caught:
        step.prepare(store, None, tmp_path / "m", classification, "x")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".m.*"))


def test_unlabelled_tiles_are_left_out(crops: Path, tmp_path: Path, classification: LearnParams) -> None:
    store = changed(crops, tmp_path / "v.zarr", lambda t: t.assign(label=t["label"].where(t.index % 2 == 0, "")))
    assert len(data.read_table(store, classification)) == 24


def test_an_input_that_is_swapped_under_way_is_caught(crops: Path, tmp_path: Path, classification: LearnParams) -> None:
    views = tmp_path / "views.zarr"
    shutil.copytree(crops, views)
    job = step.prepare(views, None, tmp_path / "m", classification, "x")
    shutil.rmtree(views)
    changed(crops, views, lambda t: t.assign(intensity=0.5))
    with pytest.raises(LineageError, match="run the stage again"):
        step.process(job, "fold0")
    assert not job.out.exists() and output.todo(job) == list(job.items)
