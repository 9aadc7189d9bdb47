"""`rawmill train` as a user meets it: pictures of their own into models that `rawmill synthesize` samples from."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from flows import cli
from tasks.errors import BatchError, InputError, ParamsError
from tasks.lineage import recipe
from tests import makers
from tests.flows import train_pictures as pictures
from tests.unit.synthesis import planted_slides

STEPS = 40
PARTS = ("autoencoder", "mask_denoiser", "denoiser")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, some of them with masks, and params for small networks."""
    folder = tmp_path_factory.mktemp("train")
    pictures.scans(folder / "scans")
    pictures.scans(folder / "bare", masks="")
    pictures.params(folder / "mine.yaml", STEPS)
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> dict[str, Any]:
    """The models of the scans, trained once; what the command printed, and what it said on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = invoke(*WORDS, "--out", "models", "--json")
    assert result.exit_code == 0, result.exception
    return {**json.loads(result.stdout), "stderr": result.stderr}


WORDS = ("train", "scans", "--classes", pictures.CLASSES, "--params", "mine.yaml")


@pytest.fixture
def rawmill(done: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command beside the scans and the models."""
    monkeypatch.chdir(place)
    return invoke


def roots(models: Path) -> dict[str, str]:
    return {name: recipe.read(models / name)["output"]["root"] for name in (*PARTS, "raw.zarr")}


def stamps(models: Path) -> dict[str, int]:
    return {name: (models / name / "recipe.json").stat().st_mtime_ns for name in (*PARTS, "raw.zarr")}


def test_a_folder_of_pictures_becomes_models(done: dict[str, Any], place: Path) -> None:
    assert set(done["parts"]) == set(PARTS) and done["remarks"] == []
    found = {name: part["metrics"] for name, part in done["parts"].items()}
    assert {"held_out_psnr_db", "held_out_ssim", "final_loss"} <= set(found["autoencoder"])
    assert {"held_out_loss_null", "final_loss"} <= set(found["mask_denoiser"])
    assert {"held_out_loss_own_mask", "held_out_loss_null", "final_loss"} <= set(found["denoiser"])
    assert found["autoencoder"]["held_out_psnr_db"] > 25, "8 levels of noise are all that is to be missed"
    tiles = pd.read_parquet(place / "models/raw.zarr/tiles.parquet")
    assert set(tiles["height_px"]) == {pictures.TILE} and len(tiles) == 2 * (pictures.SIDE // pictures.TILE) ** 2
    assert tiles.groupby("split")["group"].nunique().to_dict() == {"test": 1, "train": 1}
    half = tiles[tiles["y_px"] >= pictures.SIDE // 4]
    assert (half["fraction_red"] + half["fraction_blue"] == 1).all()


def test_what_it_does_is_told_on_the_way(done: dict[str, Any]) -> None:
    lines = done["stderr"].splitlines()
    for name, steps in (("autoencoder", 4), ("mask_denoiser", 4), ("denoiser", STEPS)):
        (last,) = [line for line in lines if line.startswith(f"{name}: step {steps} of {steps}, loss ")]
        assert " s a step, " in last and last.endswith("0:00:00 left")


def test_the_next_command_samples_and_a_sample_is_traced_to_the_files(
    done: dict[str, Any], rawmill: Callable[..., Result]
) -> None:
    words = shlex.split(done["next"])
    assert words[:2] == ["rawmill", "synthesize"]
    result = rawmill(*words[1:], "--json")
    assert result.exit_code == 0, result.exception
    told = rawmill("trace", f"{json.loads(result.stdout)['path']}#s00000", "--json")
    assert told.exit_code == 0, told.exception
    (train,) = set(pd.read_parquet("models/raw.zarr/tiles.parquet").query("split == 'train'")["source"])
    for name in (train, train.replace(".tif", "_mask.png")):
        assert f"scans/{name}" in told.stdout
    held_out = ({"a.tif", "b.tif"} - {train}).pop()
    assert held_out not in told.stdout


def test_masks_are_generated_by_what_was_trained(rawmill: Callable[..., Result]) -> None:
    pictures.params(Path("generated.yaml"), masks="generated")
    words = ["--model", "models", "--size", "64x64", "--params", "generated.yaml", "--out", "generated.zarr"]
    result = rawmill("synthesize", *words)
    assert result.exit_code == 0, result.exception
    assert "mask_denoiser" in {entry["role"] for entry in recipe.read(Path("generated.zarr"))["inputs"]}


def test_a_repeat_makes_nothing_anew(place: Path, rawmill: Callable[..., Result]) -> None:
    before = stamps(place / "models")
    result = rawmill(*WORDS, "--out", "models")
    assert result.exit_code == 0, result.exception
    assert stamps(place / "models") == before
    assert result.stdout.count("reused") == len(PARTS) and "held_out_psnr_db" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("next: rawmill synthesize --model models")


def test_killed_within_the_denoiser_it_goes_on_to_the_same_bytes(place: Path, rawmill: Callable[..., Result]) -> None:
    command = [sys.executable, "-m", "flows.cli", *WORDS, "--out", "again"]
    env = {**os.environ, "PYTHONPATH": str(pictures.ROOT)}
    with subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not list(place.glob("again/.denoiser.staging-*/checkpoint/state.safetensors")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert (place / "again/autoencoder/recipe.json").is_file() and not (place / "again/denoiser").exists()
    made = (place / "again/autoencoder/recipe.json").stat().st_mtime_ns
    result = rawmill(*WORDS, "--out", "again")
    assert result.exit_code == 0, result.exception
    assert "denoiser: resumed at step " in result.stderr
    assert (place / "again/autoencoder/recipe.json").stat().st_mtime_ns == made
    assert roots(place / "again") == roots(place / "models")


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_a_training_in_its_midst(place: Path, done: dict[str, Any], processes: int) -> None:
    """A SIGINT to all processes of the terminal, in a training that would take days."""
    out = f"stopped{processes}"
    words = ["train", "models/raw.zarr", "--params", "mine.yaml", "--out", out, "--only", "autoencoder"]
    words += ["--steps-autoencoder", "10000000", "--processes", str(processes)]
    env = {**os.environ, "PYTHONPATH": str(pictures.ROOT)}
    command = [sys.executable, "-m", "flows.cli", *words]
    process = subprocess.Popen(command, cwd=place, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(place.glob(f"{out}/.autoencoder.staging-*/checkpoint/state.safetensors")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, told = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted; run it again to go on where it stopped"
    assert "Traceback" not in told and not (place / out / "autoencoder").exists()


def test_options_make_anew_what_depends_on_them(place: Path, rawmill: Callable[..., Result]) -> None:
    before, plain = stamps(place / "models"), roots(place / "models")
    result = rawmill(*WORDS, "--out", "models", "--steps-denoiser", 3, "--json")
    assert result.exit_code == 0, result.exception
    assert {name for name, at in stamps(place / "models").items() if at != before[name]} == {"denoiser"}
    assert recipe.read(place / "models/denoiser")["params"]["fit"]["steps"] == 3
    reused = {name: part["reused"] for name, part in json.loads(result.stdout)["parts"].items()}
    assert reused == {"autoencoder": True, "mask_denoiser": True, "denoiser": False}
    assert rawmill(*WORDS, "--out", "models").exit_code == 0
    assert roots(place / "models") == plain


@pytest.mark.parametrize("name", ["autoencoder", "mask_denoiser", "raw.zarr"])
def test_a_repair_is_a_command_that_can_be_typed(
    place: Path, rawmill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    output, before = place / "models" / name, roots(place / "models")
    table = output / "tiles.parquet"
    table.write_bytes(table.read_bytes() + b" ")
    words = shlex.split(recipe.read(output)["repair"])
    assert words[:4] == ["rawmill", "train", "../scans", "--out"]
    monkeypatch.chdir(output.parent)
    result = rawmill(*words[1:])
    assert result.exit_code == 0, result.exception
    assert roots(place / "models") == before
    recipe.check_files(output)


def test_a_store_is_read_where_it_is_and_one_part_made_alone(place: Path, rawmill: Callable[..., Result]) -> None:
    call = ["train", "models/raw.zarr", "--params", "mine.yaml", "--out", "of-store"]
    result = rawmill(*call, "--only", "denoiser")
    assert isinstance(result.exception, InputError), "there is no autoencoder yet"
    assert "--only autoencoder" in str(result.exception)
    result = rawmill(*call, "--only", "autoencoder", "--batch", 2, "--json")
    assert result.exit_code == 0, result.exception
    assert sorted(path.name for path in Path("of-store").iterdir()) == ["autoencoder"]
    found = json.loads(result.stdout)
    assert found["next"] == "rawmill train models/raw.zarr --out of-store --params mine.yaml --batch 2"
    made = recipe.read(Path("of-store/autoencoder"))
    assert made["params"]["fit"]["batch"] == 2
    assert made["repair"].startswith("rawmill train ../models/raw.zarr --out . --only autoencoder ")


def test_one_file_is_all_training_data_and_says_so(rawmill: Callable[..., Result]) -> None:
    words = ["--classes", pictures.CLASSES, "--params", "mine.yaml", "--out", "one", "--only", "autoencoder"]
    result = rawmill("train", "scans/a.tif", *words)
    assert result.exit_code == 0, result.exception
    assert "nothing is held out: all 16 tiles are training data" in result.stderr
    assert "train_psnr_db" in result.stdout and "held_out" not in result.stdout
    assert (pd.read_parquet("one/raw.zarr/tiles.parquet")["mask"] != "").all(), "the mask beside it was taken"


def test_without_masks_it_is_said_and_an_unconditional_model_is_sampled(rawmill: Callable[..., Result]) -> None:
    call = ["train", "bare", "--params", "mine.yaml", "--out", "free", "--steps-denoiser", 4]
    result = rawmill(*call)
    assert isinstance(result.exception, InputError) and "--unconditional" in str(result.exception)
    assert not Path("free/autoencoder").exists(), "it was said before hours of training"
    result = rawmill(*call, "--unconditional", "--json")
    assert result.exit_code == 0, result.exception
    metrics = json.loads(result.stdout)["parts"]["denoiser"]["metrics"]
    assert {key for key in metrics if key.startswith("held_out")} == {"held_out_loss_null"}
    words = ["--size", "64x64", "--params", "mine.yaml", "--out", "free.zarr", "--json"]
    result = rawmill("synthesize", "--model", "free", *words)
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["mask_fraction_unknown"] == 1


def test_pictures_without_a_pixel_size_are_images(place: Path, rawmill: Callable[..., Result]) -> None:
    (place / "plain").mkdir()
    for name in "ab":
        picture = np.moveaxis(planted_slides.planted(name)[0], 0, -1)
        makers.write_tiff(place / "plain" / f"{name}.tif", np.ascontiguousarray(picture), photometric="rgb")
    call = ["train", "plain", "--params", "mine.yaml", "--out", "of-plain", "--only", "autoencoder"]
    result = rawmill(*call)
    assert isinstance(result.exception, BatchError) and "how large a pixel is" in str(result.exception)
    result = rawmill(*call, "--kind", "images", "--json")
    assert result.exit_code == 0, result.exception
    assert "held_out_psnr_db" in json.loads(result.stdout)["parts"]["autoencoder"]["metrics"]


def test_a_bad_picture_is_named_and_the_others_are_learnt(place: Path, rawmill: Callable[..., Result]) -> None:
    pictures.scans(place / "mixed", "abc")
    (place / "mixed/c.tif").write_bytes((place / "mixed/c.tif").read_bytes()[:2000])
    words = ["--classes", pictures.CLASSES, "--params", "mine.yaml", "--out", "of-mixed", "--only", "autoencoder"]
    result = rawmill("train", "mixed", *words)
    assert isinstance(result.exception, BatchError) and "c.tif" in str(result.exception)
    assert "1 files are left out, and named at the end" in result.stderr
    assert "held_out_psnr_db" in result.stdout and Path("of-mixed/autoencoder/weights.safetensors").is_file()


@pytest.fixture(scope="module")
def bad(place: Path) -> None:
    """Folders and stores that cannot be learnt from."""
    (place / "empty").mkdir()
    (place / "notes").mkdir()
    makers.write_png(place / "notes" / "a_mask.png", np.ones((8, 8), np.uint8))
    makers.frames_folder(place / "mosaics", count=2)
    pictures.scans(place / "small", "ab", "ab")
    makers.write_slide(place / "small" / "a.tif", makers.picture_of(24, 128))
    makers.write_png(place / "small" / "a_mask.png", np.ones((24, 128), np.uint8))
    document = yaml.safe_load(pictures.params(place / "held.yaml").read_text())
    document["train_files"]["ingested"]["test_groups"] = ["a"]
    (place / "held.yaml").write_text(yaml.safe_dump(document))
    (place / "photos").mkdir()
    (place / "photos" / "thesis.txt").write_text("mine")
    pictures.params(place / "odd.yaml", tile_px=30)
    pictures.params(place / "unknown.yaml")
    text = (place / "unknown.yaml").read_text()
    (place / "unknown.yaml").write_text(text.replace("latent_channels:", "latent_chanels:"))


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["nowhere"], InputError, "nowhere: not there"),
        (["empty"], InputError, "empty: no files"),
        (["notes"], InputError, "1 files that can only be masks"),
        (["mosaics"], InputError, "files that become a store of frames"),
        (["small", "--classes", "red,blue"], InputError, "a.tif: 24 px high"),
        (["small", "--classes", "red,blue", "--params", "held.yaml"], InputError, "a.tif: 24 px high"),
        (["scans", "--params", "odd.yaml"], ParamsError, "a multiple of 8 px, for the autoencoder's factor 4"),
        (["models/raw.zarr", "--params", "/dev/null"], ParamsError, "has no section"),
        (["models/raw.zarr", "--params", "unknown.yaml"], ParamsError, "latent_chanels"),
        (["models/autoencoder"], InputError, "an output of rawmill that is no raw store"),
        (["models/raw.zarr", "--classes", "a"], ParamsError, "--classes: given with a store"),
        (["models/raw.zarr", "--kind", "slides"], ParamsError, "--kind: given with a store"),
        (["scans", "--kind", "crops"], InputError, "a store of crops"),
        (["scans", "--kind", "photos"], ParamsError, "--kind photos"),
        (["scans", "--only", "decoder"], ParamsError, "--only decoder"),
        (["bare", "--only", "mask_denoiser"], InputError, "no training tile is annotated"),
        (["scans", "--device", "tpu"], ParamsError, "'cpu' or 'cuda'"),
        (["scans", "--batch", "1", "--processes", "2"], ParamsError, "2 processes"),
        (["scans", "--encoder", "models"], ParamsError, "--encoder: weight 0"),
        (["scans", "--out", "photos"], InputError, "photos: exists and holds no models of rawmill"),
        (["scans", "--out", "mine.yaml"], InputError, "mine.yaml: exists"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    bad: None, rawmill: Callable[..., Result], words: list[str], error: type, told: str
) -> None:
    given = dict(zip(words[1::2], words[2::2], strict=True))
    options = {"--params": "mine.yaml", "--out": "none", **given}
    result = rawmill("train", words[0], *(part for pair in options.items() for part in pair))
    assert isinstance(result.exception, error), result.exception
    assert told in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""
    assert not Path("none/autoencoder").exists()


def test_tiles_of_a_store_that_the_networks_do_not_take_are_refused(
    place: Path, rawmill: Callable[..., Result]
) -> None:
    pictures.params(place / "coarse.yaml", tile_px=4)
    words = ["--classes", pictures.CLASSES, "--params", "coarse.yaml", "--out", "tiny", "--only", "raw"]
    assert rawmill("train", "scans", *words).exit_code == 0
    result = rawmill("train", "tiny/raw.zarr", "--params", "mine.yaml", "--out", "none")
    assert isinstance(result.exception, ParamsError)
    assert "tiles of 4 px; expected a multiple of 8 px" in str(result.exception)


def test_mosaics_in_a_store_are_refused(place: Path, rawmill: Callable[..., Result]) -> None:
    from flows._local import carry_out
    from tasks.ingest import step

    folder = makers.frames_folder(place / "cars", count=2)
    known = makers.PARAMS["frames"]()
    carry_out(step, lambda: step.prepare(folder, place / "cars.zarr", known, "cars", "x"))
    result = rawmill("train", "cars.zarr", "--params", "mine.yaml", "--out", "none")
    assert isinstance(result.exception, InputError)
    assert "a store of frames; expected a raw store" in str(result.exception)
    assert "slides or images" in str(result.exception)
