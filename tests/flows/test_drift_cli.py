"""`rawmill drift` and `rawmill recommend` as a user meets them, with a network, weights and files of their own."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from flows import _drift_cli
from tasks.drift.models import read_task
from tasks.errors import BatchError, InputError, LineageError, ParamsError
from tasks.lineage import recipe
from tasks.lineage.audit import audit
from tests import makers

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ("bi,s,ga", "ma,u,me")
SIDE = 32
NET = """
import torch
from torch import nn

class Bright(nn.Module):
    \"\"\"Names each pixel by its brightness.\"\"\"

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, views):
        return self.head(views)

class Colour(nn.Module):
    \"\"\"Decides by the mean of each channel.\"\"\"

    def __init__(self, classes, scale=1.0):
        super().__init__()
        self.scale, self.head = scale, nn.Linear(3, classes)

    def forward(self, views):
        return self.head(self.scale * views.mean((2, 3)))

def make(classes=2, scale=1.0):
    return Colour(classes, scale)

class Rounded(Colour):
    def forward(self, views):
        return super().forward(views.round())

def rounded():
    return Rounded(2)
"""


def dataset(folder: Path) -> Path:
    """Crops of two classes, red and blue, from five groups."""
    folder.mkdir()
    makers.write_calibration(folder / "calibration.json")
    rows = []
    for k in range(20):
        label, group = "RB"[k % 2], f"smear{k // 4}"
        pixels = makers.mosaic_of(SIDE, SIDE, key=k) // 4 + 9000
        site = (0, 0) if label == "R" else (1, 1)
        pixels[site[0] :: 2, site[1] :: 2] += 12000
        makers.write_tiff(folder / f"c{k:02d}.tif", pixels.astype(np.uint16))
        rows.append({"file": f"c{k:02d}.tif", "id": f"c{k:02d}", "label": label, "group": group})
    makers.write_manifest(folder, rows)
    return folder


def params(path: Path, ingest: dict[str, Any] | None = None, **changes: Any) -> Path:
    """rawmill's own params with two variants, and small ones for a user's model."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    train = {"seed": 5, "learning_rate": 0.05, "weight_decay": 0.0, "batch_tiles": 4, "epochs": 2}
    groups = ["white_balance", "gamma"]
    loss = {"cross_entropy": 1.0, "dice": 0.0}
    augment = {"flips": True, "quarter_turns": True, "brightness_fraction": 0.0, "contrast_fraction": 0.0}
    learning = {"window_px": None, "input_px": None, "device": "cpu", "train": train, "loss": loss, "augment": augment}
    scoring = {"data_models": list(VARIANTS), "corruptions": ["gaussian_noise", "saturate"], "severities": [3]}
    forensics = {
        "seed": 5,
        "data_model": "bi,s,ga",
        "channels": "luma",
        "intensity": 1.0,
        "groups": groups,
        "lambdas": [0.0, 1.0],
        "epochs": 2,
        "learning_rate": 0.1,
        "batch_tiles": 8,
        "search_tiles": None,
        "loss_stated": 0.1,
        "range_steps": 2,
        "range_draws": 2,
        "confidence": 0.9,
        "shown_tiles": 2,
    }
    optimisation = {
        "train": train,
        "channels": "luma",
        "intensities": {"high": 1.0},
        "raw_intensities": ["high"],
        "data_model_learning_rate": 0.01,
        "groups": groups,
        "validate_every_epochs": 1,
        "shown_tiles": 1,
    }
    own = {
        "intensity": 1.0,
        "learning": {**learning, "confidence": 0.9},
        "scoring": {**scoring, "shown_severity": 3, "resamples": 50},
        "forensics": forensics,
        "optimisation": optimisation,
        "report": {"heading": "My cells", "reference": None},
    }
    drift_files = {"ingested": {"test_groups": 1, "folds": 2}, "classification": {**own, **changes}}
    drift_files["segmentation"] = {**own, "learning": {**own["learning"], "loss": {"cross_entropy": 1.0, "dice": 1.0}}}
    shipped["ingest"]["files"] |= ingest or {}
    develop = {**shipped["develop"], "variants": {name: shipped["develop"]["variants"][name] for name in VARIANTS}}
    document = {"develop": develop, "ingest": shipped["ingest"], "drift_files": drift_files}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, its weights, a dataset and params."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_drift_nets.py").write_text(NET)
    (folder / "broken_drift_nets.py").write_text("def make(:")
    weight = torch.tensor([[4.0, 0.0, -4.0], [-4.0, 0.0, 4.0]])
    save_file({"head.weight": weight, "head.bias": torch.zeros(2)}, folder / "my.safetensors")
    dataset(folder / "scans")
    params(folder / "mine.yaml")
    return folder


@pytest.fixture
def rawmill(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in the user's folder."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    app = typer.Typer()
    app.command("drift")(_drift_cli.drift)
    app.command("recommend")(_drift_cli.recommend)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def arguments(**changes: Any) -> list[str]:
    options = {"model": "my.safetensors", "arch": "my_drift_nets:make", "data": "scans", "out": "report"}
    options |= {"params": "mine.yaml", "classes": "R,B", **changes}
    given = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    return ["drift", *(part for key, value in given.items() for part in (f"--{key}", str(value)))]


@pytest.fixture(scope="module")
def done(place: Path) -> dict[str, Any]:
    """The report over everything, made once; what the command printed as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        app = typer.Typer()
        app.command("drift")(_drift_cli.drift)
        app.command("recommend")(_drift_cli.recommend)
        result = CliRunner().invoke(app, [*arguments(), "--json"])
    assert result.exit_code == 0, result.exception
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def test_a_users_model_and_files_go_through_everything(done: dict[str, Any], place: Path) -> None:
    out = place / "report"
    assert set(done["parts"]) == {"given", "forensics", "synthesis", "optimisation"}
    assert {finding["tone"] for finding in done["findings"]} <= {"good", "fair", "poor", "plain"}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page == (out / "page" / "index.html").read_text(encoding="utf-8")
    assert "My cells" in page and "Your model" in page and "form of table A.1" in page
    task = read_task(out / "model")
    assert (task.task, task.classes, task.architecture.name) == ("classification", ("R", "B"), "module")
    assert {p.name for p in (out / "variants").iterdir()} == {f"{name}.zarr" for name in VARIANTS}


def test_the_page_is_traced_to_the_weights_the_code_and_every_file(done: dict[str, Any], place: Path) -> None:
    files = {Path(node.path).name for node in audit(place / "report" / "page", None).nodes}
    assert {"my.safetensors", "my_drift_nets.py", "c00.tif", "c19.tif"} <= files


def test_a_repeat_makes_nothing_anew(done: dict[str, Any], place: Path, rawmill: Callable[..., Result]) -> None:
    def stamps() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (place / "report").rglob("recipe.json")}

    before = stamps()
    result = rawmill(*arguments(), "--json")
    assert result.exit_code == 0, result.exception
    assert stamps() == before
    assert json.loads(result.stdout)["findings"] == done["findings"]


def typed(output: Path, rawmill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Result:
    """What comes of the output's own repair command, typed in the folder that holds it."""
    words = shlex.split(recipe.read(output)["repair"])
    variables = dict(word.split("=", 1) for word in words[: words.index("rawmill")])
    monkeypatch.chdir(output.parent)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part != str(output.parents[1])])
    for folder in variables.values():
        monkeypatch.syspath_prepend(str(Path(folder).resolve()))
    return rawmill(*words[words.index("rawmill") + 1 :])


@pytest.mark.parametrize("name", ["model", "given", "forensics", "synthesis", "optimisation", "page"])
def test_a_repair_is_a_command_that_can_be_typed(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    output = place / "report" / name
    root = recipe.read(output)["output"]["root"]
    table = next(file for file in sorted(output.rglob("*")) if file.is_file() and file.name != "recipe.json")
    table.write_bytes(table.read_bytes() + b" ")
    result = typed(output, rawmill, monkeypatch)
    assert result.exit_code == 0, result.exception
    assert recipe.read(output)["output"]["root"] == root
    recipe.check_files(output)


def test_repairs_of_stores_name_files_that_are_there(done: dict[str, Any], place: Path) -> None:
    raw, view = place / "report/raw.zarr", place / "report/variants/ma,u,me.zarr"
    assert recipe.read(raw)["repair"] == "rawmill ingest ../scans --out raw.zarr --params ../mine.yaml"
    words = "rawmill develop ../raw.zarr --variant ma,u,me --out ma,u,me.zarr --params ../../mine.yaml"
    assert recipe.read(view)["repair"] == words


def test_an_edited_network_makes_everything_of_it_anew(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result]
) -> None:
    def plans() -> dict[str, Any]:
        names = ("model", "given", "forensics", "synthesis", "optimisation")
        return {name: recipe.digest_of(recipe.plan_of(recipe.read(place / "report" / name))) for name in names}

    before, source = plans(), place / "my_drift_nets.py"
    source.write_text(NET + "# another\n")
    result = rawmill(*arguments())
    source.write_text(NET)
    assert result.exit_code == 0, result.exception
    assert all(digest != before[name] for name, digest in plans().items())
    assert rawmill(*arguments()).exit_code == 0
    assert plans() == before


def test_without_training_a_store_is_read_and_options_reach_the_network(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result]
) -> None:
    more = ["--arguments", "classes=2", "--arguments", "scale=0.5", "--no-train"]
    options = {"data": "report/raw.zarr", "out": "brief", "classes": "R,B", "input_px": 16, "window_px": 24}
    options["trained_on"] = "ma,u,me"
    result = rawmill(*arguments(**options), *more)
    assert result.exit_code == 0, result.exception
    assert "Your model: other data models:" in result.stdout
    page = (place / "brief/index.html").read_text(encoding="utf-8")
    for remark in ("views of 24 px are resized to 16 px", "forensics starts at bi,s,ga, not at home: accuracy"):
        assert remark in result.stdout and remark in page
    assert not (place / "brief" / "synthesis").exists() and not (place / "brief" / "raw.zarr").exists()
    assert [e["role"] for e in recipe.read(place / "brief" / "page")["inputs"]] == ["given", "forensics"]
    task = read_task(place / "brief" / "model")
    assert task.architecture.model_dump()["arguments"] == {"classes": 2, "scale": 0.5}
    assert (task.input_px, task.window_px) == (16, 24)
    assert json.loads((place / "brief/given/matrix.json").read_bytes())["data_models"] == ["ma,u,me", "bi,s,ga"]
    sides, words = "--classes R,B --input-px 16 --window-px 24", "--arguments classes=2 --arguments scale=0.5"
    for name in ("model", "forensics"):
        assert recipe.read(place / "brief" / name)["repair"].endswith(f"{sides} {words}"), "its home changes nothing"
    assert recipe.read(place / "brief/given")["repair"].endswith(f"{sides} --trained-on ma,u,me {words}")
    assert recipe.read(place / "brief/page")["repair"].endswith(f"{sides} --trained-on ma,u,me {words} --no-train")


def test_another_home_makes_the_scores_of_the_given_model_anew_and_nothing_else(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result]
) -> None:
    names = ("model", "given", "forensics", "synthesis", "optimisation", "page")

    def roots() -> dict[str, str]:
        return {name: recipe.digest_of(recipe.read(place / "report" / name)) for name in names}

    before = roots()
    result = rawmill(*arguments(trained_on="ma,u,me"))
    assert result.exit_code == 0, result.exception
    assert {name for name in names if roots()[name] != before[name]} == {"given", "page"}
    assert rawmill(*arguments()).exit_code == 0
    assert roots() == before


def test_the_given_model_is_right_about_its_classes(done: dict[str, Any], place: Path) -> None:
    found = json.loads((place / "report/given/matrix.json").read_bytes())
    assert (found["main"], found["rows"]) == ("accuracy", ["given"])
    assert found["matrix"][0][0]["mean"] > 0.95


@pytest.mark.parametrize(
    ("changes", "more", "error", "words"),
    [
        ({"arch": "my_drift_nets"}, [], ParamsError, "MODULE:CALLABLE"),
        ({"arch": "my drift:make"}, [], ParamsError, "MODULE:CALLABLE"),
        ({"arch": "tasks.nets:make"}, [], ParamsError, "rename your package"),
        ({"arch": "broken_drift_nets:make"}, [], ParamsError, "SyntaxError"),
        ({"arch": "my_drift_nets:rounded"}, [], ParamsError, "differentiable"),
        ({"data": "scans/c00.tif"}, [], InputError, "a single file"),
        ({"data": "nowhere"}, [], InputError, "not there"),
        ({"data": "report/variants/ma,u,me.zarr"}, [], InputError, "expected a raw store"),
        ({"task": "segmentation"}, [], InputError, "no tile has a mask"),
        ({"arch": "no_such_nets:make"}, [], ParamsError, "PYTHONPATH"),
        ({"trained_on": "fog"}, [], ParamsError, "--trained-on fog"),
        ({"task": "guessing"}, [], ParamsError, "classification or segmentation"),
        ({"arguments": "scale"}, [], ParamsError, "KEY=VALUE"),
        ({"arguments": "depth=2"}, [], ParamsError, "depth"),
        ({"classes": "B,R,G"}, ["--arguments", "classes=3"], InputError, "head.bias"),
        ({"classes": "R"}, [], ParamsError, "classes"),
        ({"model": "none.safetensors"}, [], InputError, "not there"),
        ({"model": "scans/c00.tif"}, [], InputError, "safetensors"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    done: dict[str, Any],
    rawmill: Callable[..., Result],
    changes: dict[str, str],
    more: list[str],
    error: type,
    words: str,
) -> None:
    result = rawmill(*arguments(**{"data": "report/raw.zarr", "out": "bad", **changes}), *more)
    assert isinstance(result.exception, error), result.exception
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def test_masks_make_it_a_segmentation(place: Path, rawmill: Callable[..., Result]) -> None:
    makers.frames_folder(place / "frames", count=4, height=64, width=64)
    weight = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])[..., None, None]
    save_file({"head.weight": weight, "head.bias": torch.zeros(2)}, place / "masks.safetensors")
    options = {
        "model": "masks.safetensors",
        "arch": "my_drift_nets:Bright",
        "classes": None,
        "data": "frames",
        "out": "cars",
    }
    params(place / "frames.yaml", ingest={"tile_sides_px": [SIDE], "source_classes": ["car"]})
    result = rawmill(*arguments(**options, params="frames.yaml"), "--no-train", "--json")
    assert result.exit_code == 0, result.exception
    task = read_task(place / "cars" / "model")
    assert (task.task, task.classes) == ("segmentation", ("background", "car"))
    assert "IoU" in json.loads(result.stdout)["findings"][0]["text"]


def test_frames_of_several_white_balances_lose_forensics_and_nothing_else(
    place: Path, rawmill: Callable[..., Result]
) -> None:
    folder = makers.frames_folder(place / "auto", count=4, height=64, width=64)
    tags = makers.dng_tags()
    tags[50728] = (*tags[50728][:3], makers._ratios((0.4, 1.0, 0.9)), True)
    makers.write_dng(folder / "f2.dng", makers.mosaic_of(64, 64, key=2), tags=tags)
    weight = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])[..., None, None]
    save_file({"head.weight": weight, "head.bias": torch.zeros(2)}, place / "auto.safetensors")
    options = {
        "model": "auto.safetensors",
        "arch": "my_drift_nets:Bright",
        "classes": None,
        "data": "auto",
        "out": "auto-report",
    }
    params(place / "auto.yaml", ingest={"tile_sides_px": [SIDE], "source_classes": ["car"]})
    result = rawmill(*arguments(**options, params="auto.yaml"))
    assert isinstance(result.exception, InputError) and result.exception.exit_code == 3
    told = str(result.exception)
    assert told.startswith("forensics and optimisation are left out: ") and "\n" not in told
    assert "differ in white_balance" in told and "Your model: other data models:" in result.stdout
    assert (place / "auto-report/index.html").is_file()
    roles = [e["role"] for e in recipe.read(place / "auto-report/page")["inputs"]]
    assert sorted(roles) == ["given", "synthesis"]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_model_to_serve_is_recommended(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result], as_json: bool
) -> None:
    call = ["recommend", "--environment", "ma,u,me", "--models", "report/synthesis"]
    result = rawmill(*call, *(["--json"] if as_json else []))
    assert result.exit_code == 0, result.exception
    star = json.loads((place / "report/synthesis/matrix.json").read_bytes())["stars"]["data_models"]["ma,u,me"]
    if as_json:
        told = json.loads(result.stdout)
        assert (told["train"], told["told_apart"], told["measured"]) == (star["train"], star["told_apart"], True)
        assert all((place / path).is_file() for path in told["weights"])
    else:
        assert f"serve the models trained on {star['train']}" in result.stdout
    assert isinstance(rawmill(*call[:2], "fog", *call[3:]).exception, InputError)
    assert isinstance(rawmill("recommend", "--environment", "ma,u,me").exception, LineageError)


def test_too_few_groups_or_folds_are_told_before_any_work(
    done: dict[str, Any], place: Path, rawmill: Callable[..., Result]
) -> None:
    from flows._local import carry_out
    from tasks.ingest import step

    for folds, words in ((1, "1 folds of labelled training tiles"),):
        raw = place / f"few{folds}.zarr"
        split = makers.params("crops", tile_sides_px=[], folds=folds)
        carry_out(step, lambda raw=raw, split=split: step.prepare(place / "scans", raw, split, "scans", "x"))
        result = rawmill(*arguments(data=raw, out="few"))
        assert isinstance(result.exception, InputError)
        assert words in str(result.exception) and "--no-train" in str(result.exception)
        assert not (place / "few").exists()
    params(place / "dark.yaml", intensity=0.5)
    result = rawmill(*arguments(data="report/raw.zarr", out="few", params="dark.yaml"))
    assert isinstance(result.exception, ParamsError)
    assert "forensics.intensity" in str(result.exception)


def test_a_page_of_the_users_is_not_overwritten(place: Path, rawmill: Callable[..., Result]) -> None:
    (place / "site").mkdir()
    (place / "site" / "index.html").write_text("mine")
    result = rawmill(*arguments(out="site"))
    assert isinstance(result.exception, InputError)
    assert [p.name for p in (place / "site").iterdir()] == ["index.html"]


def test_a_bad_file_is_named_and_the_good_ones_are_reported(place: Path, rawmill: Callable[..., Result]) -> None:
    folder = dataset(place / "mixed")
    (folder / "c00.tif").write_bytes((folder / "c00.tif").read_bytes()[:40])
    result = rawmill(*arguments(data="mixed", out="partial"), "--no-train")
    assert isinstance(result.exception, BatchError)
    assert "c00.tif" in str(result.exception)
    assert (place / "partial" / "index.html").is_file()
