"""Drift optimisation as a whole on planted truth: what is learned, and that the bytes do not depend on the way."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import output
from tasks.contracts import Record
from tasks.drift import models, mosaics
from tasks.drift.optimisation import step
from tasks.drift.optimisation.cases import Case, tables_of
from tasks.drift.optimisation.joint import theta_of
from tasks.drift.optimisation.training import SHOWN, Trained, train
from tasks.drift.params import OptimisationParams
from tasks.errors import LineageError, ParamsError
from tasks.isp.parametrised import GROUPS as ALL
from tasks.learn import checkpoint, data
from tasks.learn.checkpoint import read_tensors
from tasks.learn.determinism import one_thread
from tasks.lineage.digest import files_below
from tests.unit.drift.optimisation_data import COLOUR, GREY, READER, SEGMENTATION, crops, frames, params


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("raw") / "raw.zarr", COLOUR, (0.05, 1.0), groups=3)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("grey") / "raw.zarr", GREY, groups=4)


BOTH = params(intensities={"low": 0.05, "high": 1.0}, raw_intensities=("high",))


def optimise(job: output.Job) -> Record:
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job)


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    return optimise(step.prepare(raw, tmp_path_factory.mktemp("out") / "optimisation", BOTH, "x"))


def training(raw: Path, setting: str, p: OptimisationParams, place: Path) -> Trained:
    """The model of fold 0 at full intensity."""
    table = tables_of(raw, p)["high"]
    with one_thread():
        every = mosaics.load(raw, table, p)
        parts = {role: every.pick(rows) for role, rows in data.roles(table, 0).items()}
        return train(Case(setting, "high"), p, {**parts, SHOWN: parts["test"]}, 0, place)  # type: ignore[arg-type]


def values(trained: Trained, metric: str) -> list[float]:
    return [value for _, name, value in trained.history if name == metric]


def test_learned_at_rate_zero_is_frozen(raw: Path, tmp_path: Path) -> None:
    still = BOTH.model_copy(update={"data_model_learning_rate": 0.0})
    found = [training(raw, setting, still, tmp_path / setting) for setting in ("learned", "frozen")]
    assert found[0].history == found[1].history
    weights = [one.model.task_state() for one in found]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_colour_that_the_camera_hides_is_learned_out_of_it(grey: Path, tmp_path: Path) -> None:
    """The camera's colour matrix makes every view grey: frozen is at chance, learned mends the matrix."""
    p = params(**READER, data_model_learning_rate=0.1, groups=("colour_matrix",))
    learned, frozen = (training(grey, setting, p, tmp_path / setting) for setting in ("learned", "frozen"))
    assert values(learned, "train_loss")[-1] < 0.1 < 0.6 < values(frozen, "train_loss")[-1]
    assert values(learned, "validation_accuracy")[-1] == 1.0
    assert values(frozen, "validation_accuracy")[-1] < 0.8
    before, after = (theta_of(one.model.data_model) for one in (frozen, learned))  # type: ignore[arg-type]
    assert [name for name in ALL if not np.array_equal(before[name], after[name])] == ["colour_matrix"]
    np.testing.assert_allclose(before["colour_matrix"], 1 / 3, rtol=1e-6)


def test_direct_raw_learns_what_the_camera_hides(grey: Path, tmp_path: Path) -> None:
    direct = training(grey, "direct", params(**READER, input_px=16), tmp_path / "direct")
    assert values(direct, "train_loss")[-1] < 0.1
    assert values(direct, "validation_accuracy")[-1] == 1.0
    assert direct.parts["test"].views[:].shape == (8, 3, 16, 16)


def test_the_layout_and_the_document(made: Record) -> None:
    names = set(files_below(made.path))
    cases = ("learned-low", "frozen-low", "learned-high", "frozen-high", "direct-high")
    for case in cases:
        assert {f"models/{case}/fold{k}.safetensors" for k in (0, 1)} <= names
        assert f"predictions/{case}/fold1.parquet" in names and f"samples/{case}.safetensors" in names
    assert {n for n in names if n.startswith("theta/")} == {
        f"theta/learned-{i}/fold{k}.safetensors" for i in ("low", "high") for k in (0, 1)
    }
    found = json.loads((made.path / "optimisation.json").read_bytes())
    assert [(s["setting"], s["intensity"], s["exposure"]) for s in found["settings"]] == [
        (*case.split("-"), {"low": 0.05, "high": 1.0}[case.split("-")[1]]) for case in cases
    ]
    for setting in found["settings"]:
        assert [point["epoch"] for point in setting["curve"]] == [1, 2, 3]
        assert setting["curve"][1]["step"] == 2 and setting["curve"][1]["n"] == 2
        assert 0 <= setting["test"]["mean"] <= 1 and setting["final"]["mean"] == setting["curve"][-1]["mean"]
    assert {"intensity", "what", "value", "told_apart"} <= set(found["differences"][0])
    assert next(d["what"] for d in found["differences"] if d["intensity"] == "low") == "learned - frozen"
    assert set(found["theta"]) == {"low", "high"} and set(found["theta"]["low"]) == set(ALL)
    assert found["folds"] == [0, 1] and found["groups"] == 3 and found["tiles"] == {"low": 24, "high": 24}


def test_theta_in_the_document_is_the_folds_mean_of_the_stored(made: Record) -> None:
    found = json.loads((made.path / "optimisation.json").read_bytes())
    folds = [read_tensors(made.path / "theta" / "learned-low" / f"fold{k}.safetensors") for k in (0, 1)]
    for name in ALL:
        mean = np.mean([fold[name].reshape(-1).numpy() for fold in folds], axis=0)
        np.testing.assert_allclose(found["theta"]["low"][name], mean, rtol=1e-6)
    assert found["theta"]["low"]["colour_matrix"] != found["theta_initial"]["colour_matrix"]
    assert found["theta_initial"]["white_balance"] == [1.0, 1.0, 1.0]


def test_the_record_is_for_tracking(made: Record) -> None:
    assert made.metrics.keys() >= {"learned_low_average_accuracy_mean", "direct_high_test_accuracy_sd"}
    assert len(made.models) == 10 and all(m.is_file() for m in made.models)
    assert {f.name for f in made.figures} == {"curves.png", "processed-low.png", "processed-high.png"}
    assert all(f.read_bytes()[:4] == b"\x89PNG" for f in made.figures)
    steps = [step for step, _ in made.curves["frozen-low/fold1/validation_accuracy"]]
    assert steps == [1, 2, 3] and len(made.curves["frozen-low/fold1/train_loss"]) == 3


def test_tables_say_what_trained_what(made: Record) -> None:
    tiles = pd.read_parquet(made.path / "tiles.parquet")
    assert set(tiles["role"]) == {"train", "validation", "test"}
    own = tiles[(tiles["fold"] == 0) & (tiles["role"] == "train")]["tile_id"]
    assert len(own) == 2 * 8 and {t.split("-")[0] for t in own} == {"g1"}
    history = pd.read_parquet(made.path / "history.parquet")
    assert list(history) == ["setting", "intensity", "fold", "epoch", "step", "metric", "value"]
    assert len(history[history["metric"] == "train_loss"]) == 5 * 2 * 3


def test_stored_task_models_are_read_like_all_others(made: Record) -> None:
    """With the views of the stored data model they give the stored predictions."""
    assert models.members(made.path, "frozen-high") == ("fold0", "fold1")
    stored = pd.read_parquet(made.path / "predictions" / "frozen-high" / "fold0.parquet")
    shown = read_tensors(made.path / "samples" / "frozen-high.safetensors")["views"]
    network = models.read_network(made.path, "frozen-high", "fold0")
    with one_thread():
        first = network(shown).softmax(1)[0, 0]
    own = stored[stored["role"] == "test"].sort_values("tile_id")
    assert float(first) == pytest.approx(own.iloc[0]["probability_BLUE"], abs=1e-4)


def test_killed_and_resumed_in_threads_and_in_another_order_gives_the_same_bytes(
    raw: Path, made: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(raw, tmp_path / "in" / "raw.zarr")
    job = step.prepare(tmp_path / "in" / "raw.zarr", tmp_path / "out" / "optimisation", BOTH, "x")
    save, saved = checkpoint.save, []

    def killing(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        saved.append(arguments[3])
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killing)
    with pytest.raises(KeyboardInterrupt):
        step.process(job, "learned-low/fold1")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(step.process, [job] * 10, ["learned-low/fold1", *reversed(job.items)][:10]))
    for item in output.todo(job):
        step.process(job, item)
    assert step.finish(job).root == made.root
    assert saved.count(1) == 10, "what was killed went on where it was"


def test_bars_are_segmented_and_the_first_epoch_is_kept(tmp_path: Path) -> None:
    p = params(**SEGMENTATION)
    record = optimise(step.prepare(frames(tmp_path / "raw.zarr"), tmp_path / "out" / "drone", p, "x"))
    assert {f.name for f in record.figures} == {"curves.png", "processed-high.png", "masks-high.png"}
    samples = read_tensors(record.path / "samples" / "learned-high.safetensors")
    assert samples["truth"].shape == samples["first"].shape == samples["last"].shape == (2, 32, 32)
    truth, first, last = (samples[name].numpy() for name in ("truth", "first", "last"))
    assert (last == truth).mean() > (first == truth).mean()
    assert read_tensors(record.path / "samples" / "direct-high.safetensors")["views"].shape == (2, 3, 32, 32)
    found = json.loads((record.path / "optimisation.json").read_bytes())
    assert found["main"] == "iou" and all(s["final"]["mean"] is not None for s in found["settings"])


def test_a_store_without_the_intensity_is_refused(raw: Path, tmp_path: Path) -> None:
    p = params(intensities={"low": 0.001, "high": 1.0})
    with pytest.raises(ParamsError, match=r"0\.001; expected one of 0\.05, 1\.0"):
        step.prepare(raw, tmp_path / "out", p, "x")


def test_another_store_in_its_place_is_refused(raw: Path, tmp_path: Path) -> None:
    place = shutil.copytree(raw, tmp_path / "raw.zarr")
    job = step.prepare(place, tmp_path / "out", BOTH, "x")
    shutil.rmtree(place)
    crops(place, GREY, (0.05, 1.0), groups=3)
    with pytest.raises(LineageError, match="run the stage again"):
        step.process(job, "frozen-high/fold0")
