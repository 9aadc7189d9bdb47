"""The three steps on planted stores: copies score as real, noise as noise, true masks steer, shuffled do not."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import output
from tasks.contracts import Record
from tasks.errors import InputError, LineageError
from tasks.evaluation import encoder_step, models, segmenter_step, step, summary, tiles
from tasks.lineage.recipe import check_files
from tests.unit.evaluation.conftest import ENCODER, EVALUATE, SEGMENTER, TILE, plant_corpus, plant_model, tissue


def run(module: ModuleType, job: output.Job, reverse: bool = False) -> Record:
    for item in output.todo(job)[:: -1 if reverse else 1]:
        module.process(job, item)
    record: Record = module.finish(job)
    check_files(record.path)
    return record


@pytest.fixture(scope="session", autouse=True)
def made(makers: dict[str, Path]) -> None:
    """The makers of all corpora stand beside the other models."""


@pytest.fixture(scope="session")
def encoder(slides: Path) -> Record:
    return run(encoder_step, encoder_step.prepare(slides, slides.parents[1] / "models" / "encoder", ENCODER))


@pytest.fixture(scope="session")
def segmenter(slides: Path) -> Record:
    return run(segmenter_step, segmenter_step.prepare(slides, slides.parents[1] / "models" / "segmenter", SEGMENTER))


def canvases(kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Six canvases of unequal shapes: right ones, ones with a wrong mask, or noise."""
    shapes = [(64, 64), (64, 96), (70, 64), (96, 64), (64, 64), (64, 96)]
    drawn = [tissue(f"new {i}", *shape) for i, shape in enumerate(shapes)]
    if kind == "wrong masks":
        masks = [tissue(f"unrelated {i}", *shape)[1] for i, shape in enumerate(shapes)]
        return [(picture, mask) for (picture, _), mask in zip(drawn, masks, strict=True)]
    if kind == "noise":
        noise = np.random.Generator(np.random.Philox(1)).integers(0, 256, (3, 96, 96), np.uint8)
        return [(noise[:, : m.shape[0], : m.shape[1]], m) for _, m in drawn]
    return drawn


def evaluate(kind: str, slides: Path, models_: tuple[Record, Record], name: str, reverse: bool = False) -> Record:
    base = slides.parents[1]
    corpus = base / "synthetic" / f"{kind.replace(' ', '_')}.zarr"
    if not corpus.exists():
        roles = ("autoencoder", "denoiser")
        plant_corpus(corpus, canvases(kind), {role: base / "models" / role for role in roles})
    paths = corpus, slides, models_[0].path, models_[1].path
    return run(step, step.prepare(*paths, base / "reports" / name, EVALUATE), reverse)


@pytest.fixture(scope="session")
def good(slides: Path, encoder: Record, segmenter: Record) -> Record:
    return evaluate("good", slides, (encoder, segmenter), "good")


def metrics(record: Record) -> dict[str, Any]:
    return json.loads((record.path / "metrics.json").read_bytes())


def pair(record: Record, candidate: str, reference: str = "real_test") -> dict[str, Any]:
    (found,) = [c for c in metrics(record)["comparisons"] if (c["candidate"], c["reference"]) == (candidate, reference)]
    return found


def test_the_encoder_learns_to_tell_tiles_and_uses_training_tiles_alone(slides: Path, encoder: Record) -> None:
    found = metrics(encoder)
    assert found["retrieval"] > 1.5 * found["retrieval_untrained"] > 1 / 64
    used = pd.read_parquet(encoder.path / "tiles.parquet")
    assert set(used["tile_id"]) == set(tiles.table(slides, "train")["tile_id"])
    assert set(pd.read_csv(encoder.path / "history.csv")["step"]) == set(range(10, 121, 10))


def test_the_segmenter_learns_the_colours_and_leaves_unknown_out(segmenter: Record) -> None:
    found = metrics(segmenter)
    assert found["mean_iou"] > 0.8
    assert np.sum(found["confusion"]["pixels"]) <= found["tiles"] * TILE * TILE
    assert set(found["iou"]) == {"red", "green", "blue", "dark"}


def test_fresh_tissue_scores_as_real_and_noise_as_noise(good: Record) -> None:
    synthetic, real, noise = (pair(good, c) for c in ("synthetic", "real_train", "uniform_noise"))
    assert max(synthetic["frechet"]["value"], real["frechet"]["value"]) < 0.5 * noise["frechet"]["value"]
    assert min(synthetic["recall"]["value"], real["recall"]["value"]) > 0.8 and noise["recall"]["value"] == 0
    assert min(synthetic["precision"]["value"], real["precision"]["value"]) > 0.8
    assert len({c["tiles"] for c in metrics(good)["comparisons"]}) == 1
    for c in metrics(good)["comparisons"]:
        assert c["frechet"]["low"] <= c["frechet"]["value"] <= c["frechet"]["high"]


def test_true_masks_steer(good: Record) -> None:
    found = metrics(good)["steering"]["synthetic"]
    assert found["images"] == 5, "the canvas alone in its size is left out"
    assert found["own"]["value"] > 0.7 > found["shuffled"]["high"]
    share = metrics(good)["steering"]["share"]
    assert share["low"] > 0.6 and share["low"] <= share["value"] <= share["high"] and share["least"] == 0.25
    assert "the masks steer the images" in metrics(good)["verdict"]["steering"]
    assert metrics(good)["steering"]["real"]["own"]["value"] > 0.7


def test_wrong_masks_do_not_steer(slides: Path, encoder: Record, segmenter: Record) -> None:
    record = evaluate("wrong masks", slides, (encoder, segmenter), "wrong")
    found = metrics(record)["steering"]["synthetic"]
    assert found["own"]["value"] < 0.35 and found["shuffled"]["p_value"] > 0.1
    assert "no evidence" in metrics(record)["verdict"]["steering"]


def test_a_noise_corpus_is_far_from_tissue(slides: Path, encoder: Record, segmenter: Record) -> None:
    record = evaluate("noise", slides, (encoder, segmenter), "noise")
    synthetic, real = pair(record, "synthetic"), pair(record, "real_train")
    assert synthetic["frechet"]["low"] > real["frechet"]["high"]
    assert synthetic["recall"]["value"] == 0 and "recall 0.00" in metrics(record)["verdict"]["manifold"]


def test_copies_of_training_tiles_are_found(
    slides: Path, encoder: Record, segmenter: Record, makers: dict[str, Path]
) -> None:
    base = slides.parents[1]
    picture, mask = tissue("a", 256, 256)
    parts = [(picture[:, y : y + 64, :64], mask[y : y + 64, :64]) for y in range(0, 256, 64)]
    corpus = plant_corpus(base / "synthetic" / "copies.zarr", parts, makers)
    record = run(
        step, step.prepare(corpus, slides, encoder.path, segmenter.path, base / "reports" / "copies", EVALUATE)
    )
    near = pd.read_parquet(record.path / "neighbours.parquet")
    first = near[near["rank"] == 1]
    assert (first["distance"] < 1e-4).all()
    assert [f"a_{y:04d}_{x:04d}" for y, x in _places(first)] == list(first["original"])
    assert metrics(record)["copies"]["flagged"] == 16 and metrics(record)["copies"]["detectable"] < 1
    assert "more often than" in metrics(record)["verdict"]["copies"]


def _places(rows: pd.DataFrame) -> list[tuple[int, int]]:
    number = rows["sample_id"].str[1:].astype(int)
    return list(zip(rows["y_px"] + 64 * number, rows["x_px"], strict=True))


def test_neighbours_list_every_synthetic_tile_nearest_first(good: Record) -> None:
    near = pd.read_parquet(good.path / "neighbours.parquet")
    shapes = [m.shape for _, m in canvases("good")]
    assert len(near) == 2 * sum((h // TILE) * (w // TILE) for h, w in shapes)
    assert (near.groupby("tile_id")["distance"].diff().dropna() >= 0).all()
    assert near["original"].str.match("^[ab]_").all()


def test_real_tiles_of_one_block_form_a_group_and_blocks_are_numbered_slide_by_slide(good: Record) -> None:
    frame = pd.read_parquet(good.path / "features.parquet" / "real_train.parquet")
    groups = pd.Series(summary.sample_of(frame, 64).groups)
    assert groups.nunique() == 2 * 16 and (groups.value_counts() == 4).all()
    assert groups[frame["sample_id"] == "a"].max() < groups[frame["sample_id"] == "b"].min()
    spread = frame.groupby(groups)[["y_px", "x_px"]].agg(np.ptp)
    assert (spread == TILE).all(axis=None)
    assert "within one held-out slide" in metrics(good)["rules"]["intervals"]


def test_features_read_as_one_table_with_all_sets(good: Record) -> None:
    table = pd.read_parquet(good.path / "features.parquet")
    assert set(table["set"]) == set(step.SETS)
    assert not table.filter(regex="^f[0-9]+$").isna().any().any()
    assert {f.name for f in (good.path / "figures").iterdir()} == {Path(f).name for f in good.figures}


def test_another_order_of_work_gives_the_same_bytes(
    good: Record, slides: Path, encoder: Record, segmenter: Record
) -> None:
    again = evaluate("good", slides, (encoder, segmenter), "again", reverse=True)
    assert again.root == good.root


@pytest.mark.parametrize("module", [encoder_step, segmenter_step])
def test_a_killed_training_resumes_to_the_same_bytes(
    module: ModuleType, slides: Path, encoder: Record, segmenter: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, params = (encoder, ENCODER) if module is encoder_step else (segmenter, SEGMENTER)
    job = module.prepare(slides, slides.parents[1] / "models" / f"{whole.path.name}_again", params)
    rate = __import__("tasks.evaluation.training", fromlist=["x"]).learning_rate

    def dies(training: Any, number: int) -> float:
        if number == 15:
            raise KeyboardInterrupt
        return float(rate(training, number))

    with monkeypatch.context() as patch:
        patch.setattr("tasks.evaluation.training.learning_rate", dies)
        with pytest.raises(KeyboardInterrupt):
            module.process(job, job.items[0])
    assert not job.out.exists() and (job.staging / "checkpoint" / "latest.json").exists()
    assert run(module, module.prepare(slides, job.out, params)).root == whole.root


def test_a_model_that_saw_heldout_tiles_is_refused(
    slides: Path, encoder: Record, segmenter: Record, makers: dict[str, Path], tmp_path: Path
) -> None:
    seen = str(tiles.table(slides, "test")["tile_id"].iloc[5])
    trained = pd.read_parquet(encoder.path / "tiles.parquet")["tile_id"].tolist()
    corpus = plant_corpus(tmp_path / "corpus.zarr", canvases("good"), makers)
    model = plant_model(tmp_path / "encoder", slides, [*trained, seen])
    with pytest.raises(InputError, match=f"learnt from held-out tile {seen} and 0 more"):
        step.prepare(corpus, slides, model, segmenter.path, tmp_path / "out", EVALUATE)


@pytest.mark.parametrize("role", ["autoencoder", "denoiser"])
def test_a_corpus_whose_models_saw_what_they_must_not_is_refused(
    role: str, slides: Path, encoder: Record, segmenter: Record, makers: dict[str, Path], tmp_path: Path
) -> None:
    def prepare(name: str, model: Path | None) -> output.Job:
        named = {**makers, role: model} if model else {r: p for r, p in makers.items() if r != role}
        corpus = plant_corpus(tmp_path / f"{name}.zarr", canvases("good"), named)
        return step.prepare(corpus, slides, encoder.path, segmenter.path, tmp_path / "out", EVALUATE)

    train, seen = (tiles.table(slides, split)["tile_id"].tolist() for split in ("train", "test"))
    with pytest.raises(InputError, match=f"held-out tile {seen[0]} and 0 more"):
        prepare("seen", plant_model(tmp_path / "seen" / role, slides, [*train, seen[0]]))
    other = plant_model(tmp_path / "other slides", slides, train)
    with pytest.raises(InputError, match="learnt from slides"):
        prepare("other", plant_model(tmp_path / "other" / role, other, train))
    with pytest.raises(InputError, match=f"names no {role}"):
        prepare("nobody", None)
    model = plant_model(tmp_path / "anew" / role, slides, train)
    prepare("anew", model)
    shutil.rmtree(model)
    plant_model(model, slides, train[1:])
    with pytest.raises(LineageError, match=f"not the {role} that made"):
        step.prepare(tmp_path / "anew.zarr", slides, encoder.path, segmenter.path, tmp_path / "out2", EVALUATE)


def test_inputs_that_do_not_belong_together_are_refused(
    slides: Path, encoder: Record, segmenter: Record, makers: dict[str, Path], tmp_path: Path
) -> None:
    def prepare(corpus: Path, encoder_path: Path = encoder.path) -> output.Job:
        return step.prepare(corpus, slides, encoder_path, segmenter.path, tmp_path / "out", EVALUATE)

    other_scale = plant_corpus(tmp_path / "scale.zarr", canvases("good"), makers, pixel_size_um=1.0)
    with pytest.raises(InputError, match="um a pixel"):
        prepare(other_scale)
    small = plant_corpus(tmp_path / "small.zarr", [tissue("x", 20, 64), tissue("y", 64, 64)], makers)
    with pytest.raises(InputError, match="smaller than a tile"):
        prepare(small)
    single = plant_corpus(tmp_path / "single.zarr", [tissue("y", 64, 64), tissue("z", 64, 96)], makers)
    with pytest.raises(InputError, match="no two samples of one size"):
        prepare(single)
    with pytest.raises(LineageError, match="not there"):
        prepare(other_scale, tmp_path / "nothing")
    with pytest.raises(LineageError):
        prepare(tmp_path / "no corpus")


def test_weights_of_another_architecture_are_refused(encoder: Record, tmp_path: Path) -> None:
    for name in (models.MODEL, models.WEIGHTS):
        (tmp_path / name).write_bytes((encoder.path / name).read_bytes())
    document = json.loads((tmp_path / models.MODEL).read_bytes())
    document["network"]["widths"] = [8, 16, 24]
    (tmp_path / models.MODEL).write_text(json.dumps(document))
    with pytest.raises(InputError, match="expected"):
        models.load_extractor(tmp_path, 4)
    with pytest.raises(InputError, match="a segmenter"):
        models.load_segmenter(tmp_path, 4)
    (tmp_path / models.WEIGHTS).write_bytes(b"\x80\x04pickle")
    with pytest.raises(LineageError, match="safetensors"):
        models.load_extractor(tmp_path, 4)


def test_features_do_not_depend_on_the_batch(encoder: Record) -> None:
    pictures = [tissue(f"t{i}", TILE, TILE)[0] for i in range(7)]
    one, many = (models.load_extractor(encoder.path, n)(pictures) for n in (1, 7))
    assert np.allclose(one, many, atol=1e-5)
