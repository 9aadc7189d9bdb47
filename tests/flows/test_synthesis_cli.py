"""`rawmill synthesize` and `rawmill regenerate` as a user meets them, on models of a few steps."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from tasks.lineage.digest import pretty, tree_of
from tasks.lineage.recipe import digest_of, read, seal
from tests.synthetic_models import MODEL_SECTIONS, train

SYNTHESIZE = ["synthesize", "--model", "models", "--steps", "3"]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("models"))


@pytest.fixture
def rawmill(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed):
    """Runs the command in a folder that holds `models`; returns its exit code, stdout and stderr."""
    for name in ("raw", "models"):
        shutil.copytree(models.parent / name, tmp_path / name)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(MODEL_SECTIONS))
    monkeypatch.chdir(tmp_path)
    return typed


def test_a_sample_of_the_command_comes_out_the_same(rawmill) -> None:
    assert rawmill(*SYNTHESIZE, "--size", "40x50", "--seed", "3", "--out", "x.zarr", "--record")[0] == 0
    code, out, err = rawmill("regenerate", "x.zarr#s00000")
    assert (code, len(out.splitlines())) == (0, 1), err
    assert out.startswith("x.zarr#s00000: same; 40 x 50 px, max difference 0 of 255, 0.000% of pixels; ")
    code, out, _ = rawmill("regenerate", "x.zarr#s00000", "--crop", "8,9,10,11", "--json")
    found = json.loads(out)
    assert (code, found["same"], found["max_difference"], found["latents_off"]) == (0, True, 0, 0.0)
    code, out, _ = rawmill("regenerate", "x.zarr#s00000", "--out", "kept", "--json")
    assert (code, json.loads(out)["state"]) == (0, "same")
    assert tree_of(Path("kept")) == tree_of(Path("x.zarr/samples/s00000"))


def test_a_sample_is_traced_to_its_mask_and_to_the_tiles_that_trained_the_models(rawmill) -> None:
    assert rawmill(*SYNTHESIZE, "--out", "x.zarr", "--size", "32x32")[0] == 0
    code, out, err = rawmill("trace", "x.zarr#s00000", "--json")
    assert code == 0, err
    story = json.loads(out)
    inputs = {below["role"]: below for below in story["inputs"]}
    assert {"autoencoder", "denoiser", "mask"} <= set(inputs)
    cut = story["facts"]["samples"][0]["mask_source"]
    assert cut and sorted(cut) == inputs["mask"]["parts"]
    assert inputs["mask"]["path"] == "raw/slides.zarr"
    assert inputs["denoiser"]["facts"]["tiles"] == {"labelled": 24, "unlabelled": 32}


def test_a_sample_that_is_not_the_same_ends_with_code_4(rawmill, monkeypatch) -> None:
    assert rawmill(*SYNTHESIZE, "--out", "x.zarr", "--size", "32x32")[0] == 0
    from tasks.synthesis import step

    real = step.pixels
    monkeypatch.setattr(step, "pixels", lambda *given: lambda window: real(*given)(window) ^ 4)
    code, out, _ = rawmill("regenerate", "x.zarr#s00000")
    assert (code, out.count("\n")) == (4, 1)
    assert "x.zarr#s00000: different; 32 x 32 px, max difference 4 of 255, 100.000% of pixels" in out


def test_the_repair_command_repeats_all_options(rawmill) -> None:
    options = ["--size", "33x44", "--seed", "5", "--count", "2", "--guidance", "0.5", "--steps", "2", "--eta", "0.5"]
    options += ["--solver", "ddim", "--law", "grid", "--batch", "3", "--no-record", "--device", "cpu"]
    assert rawmill("synthesize", "--model", "models", *options, "--params", "params.yaml", "--out", "a b.zarr")[0] == 0
    first = read(Path("a b.zarr"))
    sampler = first["params"]["sampler"]
    assert (sampler["law"], sampler["eta"], sampler["batch_windows"], sampler["record"]) == ("grid", 0.5, 3, False)
    shutil.rmtree("a b.zarr")
    code, _, err = rawmill(*shlex.split(first["repair"])[1:])
    assert code == 0, err
    assert digest_of(read(Path("a b.zarr"))) == digest_of(first)


def test_a_model_trained_anew_is_told_in_one_line(rawmill) -> None:
    assert rawmill(*SYNTHESIZE, "--out", "x.zarr", "--size", "32x32")[0] == 0
    recipe = read(Path("models/denoiser"))
    Path("models/denoiser/recipe.json").write_bytes(pretty(seal({**recipe, "name": "another"})))
    code, out, err = rawmill("regenerate", "x.zarr#s00000")
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert "models/denoiser: trained anew, recipe" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["regenerate", "x.zarr"], 3, "STORE#ID"),
        (["regenerate", "absent.zarr#s00000"], 4, "absent.zarr: not there"),
        (["regenerate", "models/denoiser#s00000"], 3, "expected a synthetic store"),
        (["regenerate", "x.zarr#s00000", "--crop", "1,2,3"], 2, "--crop: '1,2,3'; expected Y,X,HEIGHT,WIDTH"),
        (["regenerate", "x.zarr#s00000", "--crop", "0,0,8,-8"], 2, "--crop"),
        (["regenerate", "x.zarr#s00000", "--crop", "0,0,8,8", "--out", "o"], 2, "--out: given with --crop"),
        *[
            (["synthesize", "--model", "models", "--out", "s.zarr", *options], code, words)
            for options, code, words in [
                (["--size", "0x5"], 2, "--size: '0x5'; expected HEIGHTxWIDTH"),
                (["--size", "-8x8"], 2, "--size: '-8x8'"),
                (["--size", "8.5x8"], 2, "--size: '8.5x8'"),
                (["--size", "8x8x8"], 2, "--size: '8x8x8'"),
                (["--size", "x"], 2, "--size: 'x'"),
                (["--size", "٣x٤"], 2, "--size"),
                (["--size", "99999999x1"], 2, "each 1 to 1048576"),
                (["--law", "spiral"], 2, "law"),
                (["--solver", "euler"], 2, "solver"),
                (["--eta", "2"], 2, "eta"),
                (["--eta", "0.5", "--solver", "dpm_solver_pp"], 2, "eta > 0 goes with solver ddim"),
                (["--guidance", "nan"], 2, "guidance"),
                (["--batch", "0"], 2, "--batch"),
                (["--steps", "101"], 2, "101 sampling steps"),
                (["--mask", "none.png"], 3, "none.png: not there"),
                (["--device", "tpu"], 2, "device"),
            ]
        ],
    ],
)
def test_what_cannot_work_is_one_line_and_a_code(rawmill, arguments, code: int, words: str) -> None:
    found, out, err = rawmill(*arguments)
    assert (found, out) == (code, ""), err
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert not Path("s.zarr").exists()
