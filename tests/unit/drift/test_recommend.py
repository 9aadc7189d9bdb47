"""Which model to serve: the starred one, with its scores; of an unknown chain, what was and was not measured."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tasks import output, store
from tasks.drift import environment
from tasks.drift.params import SynthesisParams
from tasks.drift.recommend import recommend
from tasks.drift.synthesis import step
from tasks.errors import InputError, LineageError, ParamsError
from tasks.isp.chain import parse_chain
from tests.unit.drift.conftest import (
    CHAINS,
    WINDOW,
    classification,
    developed,
    segmentation,
    write_crops,
    write_table,
)
from tests.unit.drift.test_synthesis_step import module, scoring
from tests.unit.learn.conftest import seal

MISLABELLED = "g1-WARM-0-i1000"
Stores = Mapping[str, Path]


def made(raw: Path, views: Stores, out: Path, task: dict[str, Any]) -> Path:
    alone = scoring(corruptions=("contrast",), severities=(1,), shown_severity=1)
    params = SynthesisParams.model_validate({**task, "intensity": 1.0, "scoring": alone})
    job = step.prepare(raw, views, out, params, "x")
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job).path


def write_mislabelled(content: Path) -> None:
    """The crops, of which one in the first training group is called by the other class."""
    write_crops(content)
    rows = pq.read_table(content / "tiles.parquet").to_pylist()
    write_table(content, [{**one, "label": "COOL"} if one["tile_id"] == MISLABELLED else one for one in rows])


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal(tmp_path_factory.mktemp("data") / "raw" / "crops.zarr", write_mislabelled)


@pytest.fixture(scope="module")
def mislabelled_views(mislabelled: Path) -> Stores:
    return developed(mislabelled, mislabelled.parent.parent / "variants" / "crops")


@pytest.fixture(scope="module")
def synthesis(mislabelled: Path, mislabelled_views: Stores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the reader of colour: only what was trained on `bare` is right there, but for one tile.

    Without that tile it would be ahead by the same share in each fold, and the interval of equal differences has no
    width: it tells nothing.
    """
    out = tmp_path_factory.mktemp("drift") / "synthesis"
    return made(mislabelled, mislabelled_views, out, classification(architecture=module("colour")))


def test_the_starred_model_is_served(synthesis: Path) -> None:
    found = recommend(synthesis, "bare")
    told = found.document()
    assert (told["train"], told["measured"], told["told_apart"], told["nearest"]) == ("bare", True, True, None)
    assert told["weights"] == [str(synthesis / "models" / "bare" / f"fold{k}.safetensors") for k in range(3)]
    assert told["score"]["mean"] == pytest.approx(35 / 36), "36 tiles, one with another's label"
    assert told["test"] == {"mean": 1, "sd": None, "low": None, "high": None, "n": 1}
    assert told["best_share"] == 1 and told["difference"]["mean"] == pytest.approx(16 / 36)
    assert json.loads(json.dumps(told)) == told
    lines = "\n".join(found.lines())
    assert "serve the models trained on bare" in lines and "told apart from every rival" in lines
    assert "on 1 test group that chose nothing" in lines and "standard deviation 0.048" in lines


def test_one_fold_model_is_to_be_served_for_no_ensemble_was_measured(synthesis: Path) -> None:
    words = "each of the 3 fold models was scored alone: serve one of them; an ensemble of them was not measured"
    found = recommend(synthesis, "bare")
    assert words in found.lines() and found.document()["serving"] == words


def flipped(file: Path) -> None:
    """One bit of the last byte is another; the size is the same."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["matrix.json", "model.json", "models/bare/fold1.safetensors"])
def test_what_is_served_is_what_was_written(synthesis: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(synthesis, tmp_path / "synthesis"))
    flipped(folder / name)
    with pytest.raises(LineageError, match=f"{name}: sha256"):
        recommend(folder, "bare")


def test_distances_are_of_tables_that_are_whole(crops: Path, crop_views: Stores, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(crop_views["bare"], tmp_path / "bare.zarr"))
    flipped(copy / "tiles.parquet")
    with pytest.raises(LineageError, match=r"tiles\.parquet: sha256"):
        environment.nearest(parse_chain(untested(2.0), "x"), crops, {**crop_views, "bare": copy}, {"window_px": None})


def test_a_tie_is_called_a_tie(synthesis: Path) -> None:
    found = recommend(synthesis, "ma,u,me")
    assert found.star["train"] == "bi,s,ga" and found.star["runner_up"] == "ma,u,me"
    assert "not told apart from every rival: another may be as good" in "\n".join(found.lines())


def chain_file(path: Path, steps: Any) -> str:
    path.write_text(yaml.safe_dump(steps), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("wrap", [lambda steps: steps, lambda steps: {"operators": steps}])
def test_a_file_with_a_tested_chain_is_that_environment(synthesis: Path, tmp_path: Path, wrap: Any) -> None:
    found = recommend(synthesis, chain_file(tmp_path / "camera.yaml", wrap(CHAINS["bare"])))
    assert found.measured and found.data_model == "bare" and found.star["train"] == "bare"


def untested(gamma: float) -> list[Any]:
    return [*CHAINS["bare"][:-1], {"gamma": {"gamma": gamma}}]


def test_an_untested_chain_gets_the_nearest_ones_answer_and_says_so(
    synthesis: Path, crop_views: Stores, tmp_path: Path
) -> None:
    found = recommend(synthesis, chain_file(tmp_path / "camera.json", untested(2.0)))
    told = found.document()
    assert (told["measured"], told["data_model"], told["train"]) == (False, "bare", "bare")
    near = told["nearest"]
    assert 0 < near["rms"] == min(near["distances_rms"].values()) and near["tiles"] == environment.TILES
    assert "no model was tested under this chain" in found.lines()[0]
    views = [store.open_array(crop_views[name] / "view")[:] / 65535 for name in ("bare", "bi,s,ga")]
    first = (48 - WINDOW) // 4 * 2
    seen = slice(first, first + WINDOW)
    rms = np.sqrt(((views[0] - views[1])[:, :, seen, seen] ** 2).mean())
    assert near["between_tested_rms"]["bi,s,ga"] == pytest.approx(rms, rel=0.02), "24 of 42 tiles"


def test_distance_of_a_tested_chain_from_itself_is_0(crops: Path, crop_views: Stores) -> None:
    params = {"window_px": None, "intensity": 1.0}
    found = environment.nearest(parse_chain(CHAINS["ma,u,me"], "x"), crops, crop_views, params)
    assert found.data_model == "ma,u,me" and found.distances["ma,u,me"] == 0
    assert found.distances["bare"] == pytest.approx(found.between["bare"])
    assert "farther" not in " ".join(found.lines())


def test_a_far_chain_is_called_far(crops: Path, crop_views: Stores) -> None:
    params = {"window_px": 32, "intensity": 1.0}
    found = environment.nearest(parse_chain(untested(8.0), "x"), crops, crop_views, params)
    assert "test this chain before you rely on it" in found.lines()[-1]


def test_frames_are_measured_in_place(frames: Path, frame_views: Stores) -> None:
    params = {"window_px": None, "intensity": 1.0}
    found = environment.nearest(parse_chain(CHAINS["bare"], "x"), frames, frame_views, params)
    assert found.distances["bare"] == 0 < found.distances["bi,s,ga"] and found.tiles == 16


def test_a_segmentation_is_recommended_by_iou(frames: Path, frame_views: Stores, tmp_path: Path) -> None:
    folder = made(frames, frame_views, tmp_path / "s", segmentation(architecture=module("bright")))
    assert recommend(folder, "bi,s,ga").main == "iou"


def test_what_cannot_be_answered_is_refused(synthesis: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of bi,s,ga ma,u,me bare, or a file"):
        recommend(synthesis, "zz,z,zz")
    with pytest.raises(ParamsError, match="no operator"):
        recommend(synthesis, chain_file(tmp_path / "c.yaml", ["black_level", "magic"]))
    with pytest.raises(ParamsError, match="YAML or JSON"):
        (tmp_path / "broken.yaml").write_text("[a: b: c", encoding="utf-8")
        recommend(synthesis, str(tmp_path / "broken.yaml"))
    with pytest.raises(LineageError, match=r"recipe\.json|not there"):
        recommend(tmp_path / "nothing", "bare")
