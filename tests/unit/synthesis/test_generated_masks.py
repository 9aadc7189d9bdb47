"""The step `synthesise` with generated masks, and with a user's masks from a TIFF and from a store."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from planted_slides import SYNTHESISE, carry_out

from tasks import output, store
from tasks.errors import InputError, ParamsError
from tasks.lineage.recipe import read
from tasks.synthesis import step
from tasks.synthesis.params import SynthesiseParams


def asked(**generated):
    masks = {**SYNTHESISE["masks"], "source": "generated"}
    masks["generated"] = {**masks["generated"], **generated}
    return SynthesiseParams.model_validate({**SYNTHESISE, "count": 4, "sizes_px": [[64, 48]], "masks": masks})


@pytest.fixture(scope="session")
def all_models(models, mask_model):
    """A folder with the three models."""
    folder = mask_model.parent
    for name in ("autoencoder", "denoiser"):
        if not (folder / name).exists():
            (folder / name).symlink_to(models / name)
    return folder


@pytest.fixture(scope="session")
def generated(all_models):
    out = all_models.parent / "synthetic" / "generated.zarr"
    return carry_out(step, step.prepare(all_models, out, asked(), "generated", "again"))


def test_generated_masks_take_subtypes_in_turn_and_their_model_is_an_input(generated):
    assert [e["role"] for e in read(generated.path)["inputs"]] == ["autoencoder", "denoiser", "mask_denoiser"]
    table = pd.read_parquet(generated.path / "samples.parquet")
    assert table["subtype"].tolist() == ["one", "two", "one", "two"]
    assert set(table["mask_origin"]) == {"generated"} and [len(s) for s in table["mask_source"]] == [0] * 4
    for sample in table["sample_id"]:
        mask = store.open_array(generated.path / "samples" / sample / "labels" / "mask" / "0")[:]
        assert mask.shape == (64, 48) and set(np.unique(mask)) <= {0, 1, 2}
    assert (generated.path / "figures" / "frequencies.png").is_file()
    assert {"label_distance_all", "label_distance_one_chance"} <= set(generated.metrics)
    assert sum(v for k, v in generated.metrics.items() if k.startswith("mask_fraction_")) == pytest.approx(1)


def test_a_generated_sample_is_the_same_in_a_corpus_of_another_size(generated, all_models, tmp_path):
    more = asked().model_copy(update={"count": 5})
    job = step.prepare(all_models, tmp_path / "other.zarr", more, "other", "again")
    step.process(job, "s00003")
    alone, whole = (p / "samples" / "s00003" / "labels" / "mask" / "0" for p in (job.content, generated.path))
    assert np.array_equal(store.open_array(alone)[:], store.open_array(whole)[:])


def test_samples_of_other_subtypes_have_other_recipes(generated, all_models, tmp_path):
    """With two sizes in turn subtypes change after every second sample: s00001 has its size still, not its subtype."""
    two = asked().model_copy(update={"sizes_px": ((64, 48), (64, 48)), "count": 2})
    job = step.prepare(all_models, tmp_path / "other.zarr", two, "other", "again")
    step.process(job, "s00001")
    facts = output.facts(job, ["s00001"])["s00001"]
    row = pd.read_parquet(generated.path / "samples.parquet").set_index("sample_id").loc["s00001"]
    assert (row["height_px"], row["width_px"]) == (facts["height_px"], facts["width_px"])
    assert (row["subtype"], facts["subtype"]) == ("two", "one") and row["recipe"] != facts["recipe"]


def test_a_mask_that_a_gpu_generates_makes_the_sample_no_more_exact_than_that(all_models, tmp_path):
    on_gpu = asked(sampler={**SYNTHESISE["sampler"], "device": "cuda"})
    job = step.prepare(all_models, tmp_path / "gpu.zarr", on_gpu, "gpu", "again")
    assert job.plan["notes"]["device"] == "cuda" and job.plan["notes"]["tolerance_share"] > 0
    of_annotations = on_gpu.model_copy(update={"masks": on_gpu.masks.model_copy(update={"source": "annotations"})})
    job = step.prepare(all_models, tmp_path / "cpu.zarr", of_annotations, "cpu", "again")
    assert job.plan["notes"]["tolerance"] == "exact"


def test_masks_of_annotations_do_not_depend_on_the_mask_denoiser(all_models, synthesise_params, tmp_path):
    job = step.prepare(all_models, tmp_path / "out.zarr", synthesise_params, "out", "again")
    assert [e["role"] for e in job.plan["inputs"]] == ["autoencoder", "denoiser"]


def test_an_unknown_subtype_and_no_mask_denoiser_are_one_line(all_models, models, tmp_path):
    with pytest.raises(InputError, match="three; expected one of one, two") as caught:
        step.prepare(all_models, tmp_path / "out.zarr", asked(subtypes=["one", "three"]), "out", "again")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"set synthesise\.masks\.source to annotations"):
        step.prepare(models, tmp_path / "out.zarr", asked(), "out", "again")


def test_more_steps_than_the_mask_denoiser_has_timesteps_are_one_line(all_models, tmp_path):
    many = asked(sampler={**SYNTHESISE["sampler"], "steps": 101})
    with pytest.raises(ParamsError, match=r"masks\.generated\.sampler\.steps: 101 sampling steps; expected 1 to 100"):
        step.prepare(all_models, tmp_path / "out.zarr", many, "out", "again")


def test_models_of_other_classes_are_one_line(all_models, tmp_path, monkeypatch):
    real = step.mask_source.networks.read_model

    def other(folder, model):
        found = real(folder, model)
        return found.model_copy(update={"classes": ("green", "blue")}) if folder.name == "mask_denoiser" else found

    monkeypatch.setattr(step.mask_source.networks, "read_model", other)
    with pytest.raises(InputError, match="masks of the classes green, blue; expected red, blue") as caught:
        step.prepare(all_models, tmp_path / "out.zarr", asked(), "out", "again")
    assert "\n" not in str(caught.value)


def test_a_users_tiff_and_a_stores_label_image_set_size_and_label(all_models, raw, tmp_path):
    mask = np.repeat(np.array([1, 2], np.uint8), 25)[None].repeat(40, 0)
    tifffile.imwrite(tmp_path / "m.tif", mask, tile=(16, 16))
    label = raw / "slides" / "a" / "labels" / "annotation"
    one = asked().model_copy(update={"count": 1})
    recipes = []
    for name, path, expected in (
        ("tiff", tmp_path / "m.tif", mask),
        ("store", label, store.open_array(label / "0")[:]),
    ):
        job = step.prepare(all_models, tmp_path / f"{name}.zarr", one, name, "again", path)
        record = carry_out(step, job)
        found = store.open_array(record.path / "samples" / "s00000" / "labels" / "mask" / "0")[:]
        assert np.array_equal(found, expected)
        row = pd.read_parquet(record.path / "samples.parquet").iloc[0]
        assert (row["mask_origin"], row["subtype"]) == ("given", "")
        assert [e["role"] for e in json.loads((record.path / "recipe.json").read_bytes())["inputs"]][2:] == ["mask"]
        recipes.append(row["recipe"])
    assert recipes[0] != recipes[1]
