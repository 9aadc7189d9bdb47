"""One sample made again and compared: the same bits here, and clear words where something is not as it was."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from planted_slides import SYNTHESISE, carry_out

from tasks import store
from tasks.errors import InputError, LineageError, ParamsError
from tasks.lineage.digest import pretty, tree_of
from tasks.lineage.recipe import read, seal
from tasks.synthesis import regenerate, regenerate_crop, step, tolerance
from tasks.synthesis.params import SynthesiseParams
from tasks.synthesis.tolerance import Difference, Tolerance


def synthesise(models, out, mask=None, **sampler):
    values = {**SYNTHESISE, "sampler": {**SYNTHESISE["sampler"], **sampler}}
    params = SynthesiseParams.model_validate(values)
    return carry_out(step, step.prepare(models, out, params, out.stem, "rawmill synthesize …", mask)).path


@pytest.fixture(scope="session")
def corpus(models):
    return synthesise(models, models.parent / "synthetic" / "again.zarr")


@pytest.fixture
def copy(corpus, models, tmp_path):
    """The corpus with its models, to be spoilt."""
    shutil.copytree(models, tmp_path / "models")
    return shutil.copytree(corpus, tmp_path / "synthetic" / "again.zarr")


def rewrite(path, change):
    """The recipe of an output with `change(recipe)` done to it, sealed anew."""
    recipe = read(path)
    change(recipe)
    (path / "recipe.json").write_bytes(pretty(seal(recipe)))


@pytest.mark.parametrize("sample", ["s00000", "s00001"])
def test_a_sample_comes_out_the_same_bit_for_bit(corpus, sample):
    before = tree_of(corpus)
    result = regenerate.regenerate(corpus, sample)
    assert (result.state, result.same, result.changed) == ("same", True, ())
    assert result.files == result.files_alike == sum(n.startswith(f"samples/{sample}/") for n in before)
    assert (result.image, result.mask) == (
        Difference(0, 0, 0, result.image.pixels),
        Difference(0, 0, 0, result.image.pixels),
    )
    assert result.image.pixels == {"s00000": 64 * 64, "s00001": 70 * 90}[sample]
    assert tree_of(corpus) == before
    assert "same; " in result.line() and "tolerance exact" in result.line() and "\n" not in result.line()
    assert json.loads(json.dumps(result.document()))["tolerance"]["text"] == "exact"


def test_what_was_made_is_kept_where_asked_for(corpus, tmp_path):
    out = tmp_path / "deep" / "kept"
    regenerate.regenerate(corpus, "s00001", out)
    assert tree_of(out) == tree_of(corpus / "samples" / "s00001")
    assert [p.name for p in out.parent.iterdir()] == ["kept"]
    with pytest.raises(InputError, match="kept: exists"):
        regenerate.regenerate(corpus, "s00001", out)


def test_a_users_mask_and_a_recorded_trajectory_come_out_the_same(models, tmp_path):
    Picture.fromarray(np.tile(np.array([[1, 2]], np.uint8), (27, 25))).save(tmp_path / "mask.png")
    path = synthesise(models, tmp_path / "own.zarr", tmp_path / "mask.png", record=True, eta=0.5, law="grid")
    result = regenerate.regenerate(path, "s00001")
    assert (result.state, result.pixels) == ("same", "27 x 50 px")
    (tmp_path / "mask.png").unlink()
    with pytest.raises(LineageError, match=r"mask\.png: missing"):
        regenerate.regenerate(path, "s00001")


def test_a_store_that_was_made_from_another_seed_is_told_apart(copy):
    """A forged recipe: a store that says it was made from seed 10 and was not."""
    rewrite(copy, lambda recipe: recipe["params"].update(seed=10))
    with pytest.raises(LineageError, match=r"recipe .* of the sample; expected"):
        regenerate.regenerate(copy, "s00000")


def test_a_difference_is_measured_and_judged_by_the_recorded_tolerance(copy, tmp_path, monkeypatch):
    real = step.pixels

    def off(latents, codec, side):
        read = real(latents, codec, side)
        return lambda window: read(window) ^ np.uint8(1)

    monkeypatch.setattr(step, "pixels", off)
    result = regenerate.regenerate(copy, "s00000")
    assert (result.state, result.same, result.image.largest, result.image.share) == ("different", False, 1, 1.0)
    assert result.files_alike < result.files and result.mask.differing == 0
    rewrite(copy, lambda recipe: recipe["notes"].update(tolerance.stated("cuda")))
    assert regenerate.regenerate(copy, "s00000").state == "within tolerance"


def test_a_model_that_is_gone_or_trained_anew_is_named(copy, models):
    folder = copy.parents[1] / "models" / "denoiser"
    rewrite(folder, lambda recipe: recipe.update(name="another"))
    with pytest.raises(LineageError, match=r"denoiser: trained anew, recipe \w+, .* which .*#s00000 was made by"):
        regenerate.regenerate(copy, "s00000")
    shutil.rmtree(folder)
    with pytest.raises(LineageError, match=r"denoiser: gone; expected the denoiser of recipe \w+.*dvc checkout"):
        regenerate.regenerate(copy, "s00000")


def test_damaged_files_of_the_sample_and_of_a_model_are_named(copy):
    shard = copy / "samples" / "s00000" / "0" / "c" / "0" / "0" / "0"
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(LineageError, match=r"s00000/0/c/0/0/0: sha256 \w+; expected sha256"):
        regenerate.regenerate(copy, "s00000")
    assert regenerate.regenerate(copy, "s00001").same
    weights = copy.parents[1] / "models" / "denoiser" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(LineageError, match=r"weights\.safetensors: sha256"):
        regenerate.regenerate(copy, "s00001")


def test_other_code_and_libraries_are_named_and_the_comparison_goes_on(corpus, monkeypatch):
    recipe = read(corpus)
    code = {**recipe["code"], "tasks/synthesis/noise.py": "0" * 64, "tasks/synthesis/new.py": "1" * 64}
    monkeypatch.setattr(regenerate, "code_digests", lambda module: code)
    monkeypatch.setattr(regenerate, "libraries", lambda module: {**recipe["libraries"], "numpy": "0.1"})
    result = regenerate.regenerate(corpus, "s00000")
    assert result.state == "same"
    assert [line.split()[0] for line in result.changed] == [
        "tasks/synthesis/new.py", "tasks/synthesis/noise.py", "numpy",
    ]  # fmt: skip
    assert "none then, 1111" in result.changed[0] and result.changed[2].endswith("then, 0.1 now")


def test_pixels_in_files_of_other_bytes_are_the_same_pixels(corpus, models, tmp_path):
    stored = regenerate.find(corpus, "s00000")
    made = shutil.copytree(stored.image, tmp_path / "made")
    (made / "zarr.json").write_bytes((made / "zarr.json").read_bytes() + b" ")
    result = regenerate.compare(stored, made)
    assert (result.state, result.same, result.files - result.files_alike) == ("same pixels", True, 1)


def test_what_is_no_sample_of_a_synthetic_store_is_refused(corpus, models):
    with pytest.raises(InputError, match="#s9: no such sample; expected an id such as s00000, s00001"):
        regenerate.regenerate(corpus, "s9")
    with pytest.raises(InputError, match="an output of stage train; expected a synthetic store"):
        regenerate.regenerate(models / "denoiser", "s00000")
    with pytest.raises(LineageError, match="not there"):
        regenerate.regenerate(corpus.parent / "none.zarr", "s00000")


def test_params_of_another_version_are_told_as_such(copy):
    rewrite(copy, lambda recipe: recipe["params"]["sampler"].pop("law"))
    with pytest.raises(LineageError, match="params of another rawmill"):
        regenerate.regenerate(copy, "s00000")


def test_the_recipe_states_device_and_tolerance(corpus):
    assert read(corpus)["notes"]["device"] == "cpu" and read(corpus)["notes"]["tolerance"] == "exact"
    assert tolerance.recorded(read(corpus)) == Tolerance(0, 0.0)
    assert tolerance.recorded({"notes": tolerance.stated("cuda")}) == tolerance.TOLERANCES["cuda"]
    assert tolerance.recorded({"notes": {}, "params": {"sampler": {"device": "cpu"}}}) == Tolerance(0, 0.0)


def test_differences_add_up_to_those_of_the_whole():
    one = np.zeros((3, 4, 5), np.uint8)
    other = one.copy()
    other[1, 0, 0], other[2, 3, 4], other[0, 3, 4] = 255, 2, 1
    whole = tolerance.difference(one, other, 2)
    assert whole == Difference(255, 2, 1, 20) and whole.share == 0.1
    assert (
        tolerance.difference(one[:, :2], other[:, :2], 2) + tolerance.difference(one[:, 2:], other[:, 2:], 2) == whole
    )
    assert whole.within(Tolerance(2, 0.05)) and not whole.within(Tolerance(2, 0.04))
    assert tolerance.difference(one[0], other[1], 0) == Difference(255, 1, 1, 20)


def test_stores_of_other_shapes_are_refused(corpus, tmp_path):
    store.create_image(tmp_path / "i", store.Image("cyx", (3, 64, 65), "uint8", None, 1, 64, 128, store.RGB))
    with pytest.raises(LineageError, match="shape"):
        regenerate.of_images(corpus / "samples" / "s00000", tmp_path / "i", 0)


@pytest.fixture(scope="session")
def traced(models):
    """Samples with their trajectories, in batches of three windows."""
    return synthesise(models, models.parent / "synthetic" / "traced.zarr", record=True, eta=0.6, batch_windows=3)


@pytest.mark.parametrize(
    ("sample", "where"),
    [("s00000", (20, 24, 16, 9)), ("s00001", (69, 0, 1, 90)), ("s00001", (0, 0, 70, 90)), ("s00000", (63, 63, 1, 1))],
)
def test_a_crop_alone_has_the_pixels_of_the_whole_bit_for_bit(traced, sample, where):
    before = tree_of(traced)
    result = regenerate_crop.regenerate_crop(traced, sample, where)
    assert (result.same, result.image.largest, result.latents_off) == (True, 0, 0.0)
    assert result.image.pixels == where[2] * where[3]
    assert "latents off by at most 0" in result.line()
    assert tree_of(traced) == before


def test_a_crop_depends_on_the_recorded_neighbourhood_and_on_its_own_noise(traced):
    """A crop that were only read from the record would not notice that the store says another seed made it."""
    stored = regenerate.find(traced, "s00000")
    other = dataclasses.replace(stored, recipe={**stored.recipe, "params": {**stored.recipe["params"], "seed": 10}})
    part = regenerate_crop.region_of((20, 24, 16, 9), stored)
    with regenerate.workplace(None) as folder:
        made = regenerate_crop.make_crop(other, part, Path(folder))
    assert made.latents_off > 0.1
    assert not np.array_equal(made.pixels, store.open_array(stored.image / "0")[:, *part])


def test_a_crop_without_a_trajectory_or_outside_the_image_is_refused(corpus):
    with pytest.raises(InputError, match=r"#s00000: no recorded trajectory; expected .*`--record`"):
        regenerate_crop.regenerate_crop(corpus, "s00000", (0, 0, 8, 8))
    for where in ((60, 0, 5, 8), (0, 0, 0, 8), (-1, 0, 4, 4), (0, 64, 1, 1)):
        with pytest.raises(ParamsError, match=r"--crop: .* expected a part of 64 x 64 px"):
            regenerate_crop.regenerate_crop(corpus, "s00000", where)
