"""`rawmill inpaint` as a user meets it: on a planted raw store and on a picture of their own."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tasks.lineage import recipe
from tasks.store import open_array
from tasks.synthesis import autoencoder_step, denoiser_step
from tasks.synthesis.params import AutoencoderParams, DenoiserParams
from tests.unit.synthesis.planted_slides import AUTOENCODER, DENOISER, INPAINT, carry_out, plant

TILE = "c-0032-0000"
STORE = ["inpaint", "--model", "data/models", "--data", "data/raw/slides.zarr"]
PICTURE = ["inpaint", "--model", "data/models", "--image", "p.png", "--region", "r.png"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, a raw store, models of a few steps, params, and a picture with its region."""
    folder = tmp_path_factory.mktemp("inpaint")
    (folder / "sources").mkdir()
    raw, models = plant(folder / "data" / "raw" / "slides.zarr", sources=folder / "sources"), folder / "data" / "models"
    first = AutoencoderParams.model_validate(AUTOENCODER)
    carry_out(autoencoder_step, autoencoder_step.prepare(raw, models / "autoencoder", first))
    second = DenoiserParams.model_validate(DENOISER)
    carry_out(denoiser_step, denoiser_step.prepare(raw, models / "autoencoder", models / "denoiser", second))
    (folder / "params.yaml").write_text(yaml.safe_dump({"inpaint": INPAINT}))
    picture = np.random.default_rng(1).integers(0, 256, (37, 50, 3), np.uint8)
    Image.fromarray(picture).save(folder / "p.png")
    region = np.zeros((37, 50), np.uint8)
    Image.fromarray(region).save(folder / "empty.png")
    region[10:30, 15:41] = 1
    Image.fromarray(region).save(folder / "r.png")
    return folder


@pytest.fixture
def rawmill(place: Path, monkeypatch: pytest.MonkeyPatch, typed):
    """Runs the command in that folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(place)
    return typed


def test_named_tiles_are_made_again_audited_and_traced_to_their_source(rawmill) -> None:
    options = ["--tiles", TILE, "--class", "same,blue", "--guidance", "0,2", "--seed", "4", "--out", "data/tiles.zarr"]
    code, out, err = rawmill(*STORE, *options, "--json")
    assert code == 0, err
    assert json.loads(out)["samples"] == 4
    table = pd.read_parquet("data/tiles.zarr/samples.parquet")
    assert table[["target", "guidance", "seed"]].to_numpy().tolist() == [
        [target, w, 4] for target in ("same", "blue") for w in (0.0, 2.0)
    ]
    assert rawmill("audit", "data/tiles.zarr")[0] == 0
    code, out, _ = rawmill("trace", "data/tiles.zarr#s00001")
    assert code == 0
    assert f"raw: data/raw/slides.zarr#{TILE}" in out and "picture: sources/c.tif" in out
    assert "original: c-0032-0000" in out and "target: same" in out
    (whole,) = [use for use in json.loads(rawmill("uses", "sources/a.tif", "--json")[1]) if "tiles.zarr" in use["path"]]
    assert whole["whole"], "its models saw the slide"
    found = json.loads(rawmill("uses", "sources/c.tif", "--json")[1])
    (part,) = [use for use in found if "tiles.zarr" in use["path"]]
    assert (part["whole"], part["parts"]) == (False, ["s00000", "s00001", "s00002", "s00003"])


def test_the_named_repair_makes_it_again(rawmill) -> None:
    options = ["--tiles", TILE, "--guidance", "1", "--out", "again.zarr"]
    assert rawmill(*STORE, *options)[0] == 0
    made = recipe.read(Path("again.zarr"))
    assert made["repair"] == " ".join(["rawmill", *STORE, *options])
    shard = next(Path("again.zarr/samples/s00000/0").rglob("c/0/0/0"))
    shard.write_bytes(b"x" + shard.read_bytes()[1:])
    assert rawmill("audit", "again.zarr")[0] == 4
    assert rawmill(*made["repair"].split()[1:])[0] == 0
    assert recipe.digest_of(recipe.read(Path("again.zarr"))) == recipe.digest_of(made)


def test_a_users_picture_keeps_every_byte_outside(rawmill) -> None:
    code, _, err = rawmill(*PICTURE, "--class", "blue", "--guidance", "1", "--out", "mine.zarr")
    assert code == 0, err
    made = open_array(Path("mine.zarr/samples/s00000/0"))[:]
    before, outside = np.moveaxis(np.asarray(Image.open("p.png")), -1, 0), np.asarray(Image.open("r.png")) == 0
    assert np.array_equal(made[:, outside], before[:, outside])
    assert (made != before)[:, ~outside].any()
    assert rawmill("audit", "mine.zarr")[0] == 0
    assert "picture: p.png" in rawmill("trace", "mine.zarr#s00000")[1]


WRONG = [
    ([*PICTURE[:-1], "empty.png", "--class", "blue"], 3, "empty.png: empty: all of it is 0"),
    ([*PICTURE, "--class", "green"], 2, "--class green: the model does not know it; expected same, red, blue"),
    (PICTURE, 2, "nothing is annotated on a picture"),
    ([*PICTURE, "--count", "2"], 2, "--image: not with --region alone"),
    (
        ["inpaint", "--model", "data/models", "--image", "p.png", "--class", "red"],
        2,
        "--image: not with --region alone",
    ),
    (["inpaint", "--model", "data/models"], 2, "--data: not given, nor --image"),
    (STORE, 2, "not with one of --tiles and --count"),
    ([*STORE, "--tiles", TILE, "--count", "2"], 2, "not with one of --tiles and --count"),
    ([*STORE, "--image", "p.png"], 2, "--image: given with --data"),
    ([*STORE, "--count", "1", "--region", "r.png"], 2, "--region: given with --data"),
    ([*STORE, "--tiles", "x"], 3, "data/raw/slides.zarr#x: no such tile"),
    ([*STORE, "--tiles", "c-0000-0000"], 3, "nothing is annotated on it"),
    ([*STORE, "--tiles", f"{TILE},"], 2, "an empty name"),
    ([*STORE, "--count", "1"], 3, "0 held-out tiles with a region"),
    ([*STORE, "--tiles", TILE, "--guidance", "1,x"], 2, "--guidance: '1,x'"),
    ([*STORE, "--tiles", TILE, "--guidance", "-1"], 2, "guidances.0"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_what_cannot_work_is_one_line_and_a_code(rawmill, arguments: list[str], code: int, words: str) -> None:
    found, out, err = rawmill(*arguments, "--out", "wrong.zarr")
    assert (found, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not Path("wrong.zarr").exists()
