"""The step `inpaint` on a planted store: what it writes and keeps, that it resumes, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
import zarr
from ome_zarr_models.v05.image import Image as Model
from PIL import Image
from planted_slides import INPAINT, carry_out

from tasks import store
from tasks.errors import InputError, LineageError, ParamsError
from tasks.lineage.recipe import read
from tasks.lineage.trace import trace
from tasks.synthesis import inpaint_step, networks, originals, room, sampler, step
from tasks.synthesis.params import DenoiserModel, InpaintParams

PARTLY = "c-0032-0000"
"""A held-out tile that is red all over; its annotation begins at row 32."""


def with_(**changes):
    return InpaintParams.model_validate({**INPAINT, **changes})


def sample_of(record, item, label=None):
    path = record.path / "samples" / item / (f"labels/{label}" if label else ".") / "0"
    return store.open_array(path)[:]


@pytest.fixture(scope="module")
def remade(models, raw):
    """Two tiles as they are and as another class, at two w."""
    params, out = with_(targets=["same", "blue"]), models.parent / "synthetic" / "inpainted.zarr"
    tiles = [PARTLY, "c-0064-0096"]
    return carry_out(inpaint_step, inpaint_step.prepare_tiles(models, raw, tiles, out, params, "again"))


@pytest.fixture
def half(tmp_path):
    """A user's picture of odd size and the region's PNG: an ellipse near its middle."""
    draw = np.random.default_rng(4)
    y, x = np.mgrid[0:45, 0:71]
    region = ((y - 20) / 14) ** 2 + ((x - 33) / 20) ** 2 < 1
    Image.fromarray(draw.integers(0, 256, (45, 71, 3), np.uint8)).save(tmp_path / "p.png")
    Image.fromarray(region.astype(np.uint8) * 255).save(tmp_path / "r.png")
    return tmp_path / "p.png", tmp_path / "r.png", region


def test_the_recipe_states_device_and_tolerance(remade):
    notes = read(remade.path)["notes"]
    assert (notes["device"], notes["tolerance"], notes["originals"][0]) == ("cpu", "exact", PARTLY)


def test_the_table_names_the_original_and_what_was_asked(remade):
    table = pd.read_parquet(remade.path / "samples.parquet")
    asked = table[["original", "target", "guidance"]].to_numpy().tolist()
    assert asked[:4] == [[PARTLY, t, w] for t in ("same", "blue") for w in (0.0, 1.0)]
    assert table["mask_source"].map(list).tolist() == [[name] for name in table["original"]]
    assert set(table["seed"]) == {9} and table["recipe"].is_unique
    about = store.read_attributes(remade.path)
    assert about["kind"] == "inpainted" and about["synthetic"] is True
    assert (remade.path / "figures" / "inpainted.png").is_file()


def test_the_region_is_told_the_class_that_was_asked(remade):
    assert set(np.unique(sample_of(remade, "s00000", "mask"))) == {1}
    assert set(np.unique(sample_of(remade, "s00002", "mask"))) == {2}
    Model.from_zarr(zarr.open_group(remade.path / "samples" / "s00000", mode="r"))


def test_another_class_or_w_makes_another_inside(remade):
    found = [sample_of(remade, f"s{k:05d}").astype(int) for k in range(4)]
    for a, b in ((0, 1), (0, 2), (1, 3)):
        assert np.abs(found[a] - found[b]).max() > 0


@pytest.mark.parametrize("feather", [0, 2])
def test_of_a_users_picture_every_byte_outside_stays_whatever_its_size(models, half, tmp_path, feather):
    picture, region, mask = half
    params = with_(targets=["red", "blue"], guidances=[1.0], feather_px=feather)
    job = inpaint_step.prepare_picture(models, picture, region, tmp_path / "o.zarr", params, "again")
    record = carry_out(inpaint_step, job)
    before = np.moveaxis(np.asarray(Image.open(picture)), -1, 0)
    red, blue = (sample_of(record, item) for item in ("s00000", "s00001"))
    for made in (red, blue):
        assert np.array_equal(made[:, ~mask], before[:, ~mask])
    assert (red != blue)[:, mask].any() and (red != before)[:, mask].any()
    assert np.array_equal(sample_of(record, "s00000", "region") > 0, mask)
    asked = sample_of(record, "s00001", "mask")
    assert (asked[mask] == 2).all() and (asked[~mask] == 0).all()
    assert pd.read_parquet(record.path / "samples.parquet")["mask_source"].map(len).tolist() == [0, 0]


def test_of_a_tile_only_the_largest_area_is_made_again(models, raw, monkeypatch, tmp_path):
    half = np.zeros((32, 32), np.uint8)
    half[:, :20], half[:5, 25:] = 1, 2
    monkeypatch.setattr(originals.tiles, "annotation", lambda raw, row: half)
    job = inpaint_step.prepare_tiles(models, raw, [PARTLY], tmp_path / "o.zarr", with_(guidances=[0.0]), "again")
    record = carry_out(inpaint_step, job)
    before, made = originals.tile(raw, PARTLY, "largest").picture, sample_of(record, "s00000")
    assert np.array_equal(made[:, half != 1], before[:, half != 1])
    assert (made != before)[:, half == 1].mean() > 0.5
    assert np.array_equal(sample_of(record, "s00000", "mask"), half)


def test_too_little_memory_makes_batches_smaller_and_says_so(models, half, tmp_path, monkeypatch, caplog):
    about = networks.read_model(models / "denoiser", DenoiserModel)
    monkeypatch.setattr(room, "available_bytes", lambda: 3 * room.window_bytes(about, 1.0))
    params = with_(targets=["red"], guidances=[1.0])
    carry_out(inpaint_step, inpaint_step.prepare_picture(models, *half[:2], tmp_path / "o.zarr", params, "again"))
    assert "a batch of 8 windows needs about" in caplog.text and "going on with 3 windows" in caplog.text


def test_no_rim_of_the_old_class_is_left_under_the_new_label():
    annotation = np.zeros((4, 4), np.uint8)
    annotation[:, 2:] = 1
    original = originals.Original("t", np.zeros((3, 4, 4), np.uint8), annotation, annotation > 0)
    classes = ["red", "blue"]
    assert original.crossfade_px(original.asked("same", classes), 3) == 3
    assert original.crossfade_px(original.asked("red", classes), 3) == 3
    assert original.crossfade_px(original.asked("blue", classes), 3) == 0
    unknown = originals.Original("p", original.picture, np.zeros((4, 4), np.uint8), original.region)
    assert unknown.crossfade_px(unknown.asked("blue", classes), 3) == 3


def test_a_killed_sample_resumes_to_the_same_bytes(models, half, tmp_path, monkeypatch):
    picture, region, _ = half
    params = with_(targets=["red"], guidances=[1.0])

    def job(name):
        return inpaint_step.prepare_picture(models, picture, region, tmp_path / name / "o.zarr", params, "again")

    whole = carry_out(inpaint_step, job("a"))
    real, steps = sampler._advance, []

    def killed(how, state, k):
        steps.append(k)
        if len(steps) == 2:
            raise KeyboardInterrupt
        real(how, state, k)

    monkeypatch.setattr(sampler, "_advance", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(inpaint_step, job("b"))
    again = carry_out(inpaint_step, job("b"))
    assert steps == [0, 1, 1, 2]
    assert again.root == whole.root


def test_the_story_of_a_sample_names_the_raw_tile(remade):
    story = trace(remade.path, "s00001")
    below = {entry.role: entry for entry in story.inputs}
    assert below["raw"].parts == (PARTLY,)
    assert {"autoencoder", "denoiser"} < set(below)
    assert story.facts["samples"][0]["original"] == PARTLY


def test_as_many_held_out_tiles_as_asked_whose_region_leaves_something_to_fit(raw):
    found = originals.first_held_out(raw, 2, with_(region_fractions=[0.1, 1.0]))
    assert found == ["c-0032-0000", "c-0032-0032"]
    with pytest.raises(InputError, match=r"0 held-out tiles with a region of 0\.1 to 0\.9 of the tile; expected 1"):
        originals.first_held_out(raw, 1, with_())


def test_a_region_that_is_all_of_a_tile_has_no_seam(remade):
    table = pd.read_parquet(remade.path / "samples.parquet")
    assert (table["region_fraction"] == 1).all() and (table["seam_dn"] == 0).all()


@pytest.mark.parametrize(
    ("tiles", "changes", "error", "words"),
    [
        (["c-9999-0000"], {}, InputError, "no such tile; expected a tile id such as a-0000-0000"),
        (["c-0000-0000"], {}, InputError, "nothing is annotated on it"),
        (
            [PARTLY],
            {"targets": ["green"]},
            ParamsError,
            "--class green: the model does not know it; expected same, red",
        ),
        (
            [PARTLY],
            {"sampler": {**INPAINT["sampler"], "steps": 101}},
            ParamsError,
            "inpaint.sampler.steps: 101 sampling steps; expected 1 to 100, the denoiser's timesteps",
        ),
    ],
)
def test_what_cannot_be_inpainted_is_one_line(models, raw, tmp_path, tiles, changes, error, words):
    with pytest.raises(error, match=words) as found:
        inpaint_step.prepare_tiles(models, raw, tiles, tmp_path / "o.zarr", with_(**changes), "again")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "o.zarr").exists()


def test_a_store_of_other_classes_or_kind_is_refused(raw, remade):
    with pytest.raises(InputError, match="classes red, blue; expected the model's blue, red"):
        originals.check_store(raw, ["blue", "red"], 0.5)
    with pytest.raises(InputError, match=r"a has pixels of 0\.5 um; expected the model's 1 um"):
        originals.check_store(raw, ["red", "blue"], 1.0)
    with pytest.raises(InputError, match="a store of inpainted"):
        originals.check_store(remade.path, ["red", "blue"], 0.5)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (np.zeros((45, 71), np.uint8), "empty: all of it is 0"),
        (np.ones((45, 70), np.uint8), "45 x 70 px; expected 45 x 71 px"),
        (np.ones((45, 71, 3), np.uint8), "a PNG of mode RGB"),
        (None, "not there"),
    ],
)
def test_a_region_that_does_not_fit_is_refused(models, half, tmp_path, region, words):
    file = tmp_path / "other.png"
    if region is not None:
        Image.fromarray(region).save(file)
    with pytest.raises(InputError, match=words):
        inpaint_step.prepare_picture(models, half[0], file, tmp_path / "o.zarr", with_(targets=["red"]), "again")


def test_a_picture_that_is_not_rgb_or_has_no_class_to_keep_is_refused(models, half, tmp_path):
    Image.fromarray(np.zeros((45, 71), np.uint8)).save(tmp_path / "grey.png")
    out = tmp_path / "o.zarr"
    with pytest.raises(InputError, match="a picture of mode L; expected an 8-bit RGB picture"):
        inpaint_step.prepare_picture(models, tmp_path / "grey.png", half[1], out, with_(targets=["red"]), "again")
    with pytest.raises(ParamsError, match="nothing is annotated on a picture"):
        inpaint_step.prepare_picture(models, half[0], half[1], out, with_(), "again")


def test_a_denoiser_of_other_latents_is_refused(models):
    about = networks.read_model(models / "denoiser", DenoiserModel).model_copy(update={"autoencoder": "0" * 64})
    with pytest.raises(LineageError, match="its latents are those of autoencoder 0000"):
        step.check_pair(models, about)


def test_jumps_go_with_ddim_only():
    with pytest.raises(ValueError, match="resample > 1 goes with solver ddim"):
        with_(resample=2, sampler={**INPAINT["sampler"], "solver": "dpm_solver_pp"})


def test_jumps_change_the_sample_and_its_recipe(models, half, tmp_path):
    def first(times):
        params = with_(targets=["red"], guidances=[0.0], resample=times)
        out = tmp_path / f"o{times}.zarr"
        record = carry_out(inpaint_step, inpaint_step.prepare_picture(models, *half[:2], out, params, "again"))
        return sample_of(record, "s00000"), pd.read_parquet(out / "samples.parquet")["recipe"][0]

    (one, recipe), (two, other) = first(1), first(2)
    assert recipe != other and (one != two)[:, half[2]].any()
    assert np.array_equal(one[:, ~half[2]], two[:, ~half[2]])
