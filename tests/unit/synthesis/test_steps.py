"""The three steps on a planted store: what they write, that they resume and repeat, and what they refuse."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from ome_zarr_models.v05.image import Image as Model
from PIL import Image
from planted_slides import SYNTHESISE, carry_out

from tasks import output, store
from tasks.errors import InputError, LineageError, ParamsError
from tasks.lineage.recipe import read
from tasks.rng import generator
from tasks.synthesis import autoencoder, autoencoder_step, denoiser, denoiser_step, networks, optimise, step
from tasks.synthesis.conditioning import condition
from tasks.synthesis.masks import load_bank
from tasks.synthesis.params import AutoencoderParams, SynthesiseParams


def test_autoencoder_folder_holds_what_the_data_model_says(models, raw):
    folder = models / "autoencoder"
    about = json.loads((folder / "model.json").read_bytes())
    assert about["tile_px"] == 32 and about["pixel_size_um"] == 0.5
    assert {"held_out_psnr_db", "held_out_ssim", "final_loss"} == set(
        json.loads((folder / "metrics.json").read_bytes())
    )
    tiles = pd.read_parquet(folder / "tiles.parquet")
    assert set(tiles["role"]) == {"train"} and {t[0] for t in tiles["tile_id"]} == {"a", "b"} and len(tiles) == 32
    assert list(pd.read_csv(folder / "history.csv").columns) == ["fold", "step", "metric", "value"]
    assert autoencoder.load(folder).channels == 3


def test_denoiser_folder_names_its_tiles_and_carries_its_masks(models):
    tiles = pd.read_parquet(models / "denoiser" / "tiles.parquet")
    roles = tiles.groupby("role")["tile_id"].apply(set)
    assert len(roles["unlabelled"]) == 32 and len(roles["labelled"]) == 24
    assert not any("-0000-" in tile for tile in roles["labelled"])
    bank = load_bank(models / "denoiser")
    assert (
        set(bank.slides) == {"a", "b"} and bank.slides["a"].shape == (64, 64) and bank.slides["a"][-1].tolist()[0] == 1
    )
    model = denoiser.load(models / "denoiser")
    assert (
        model.about.classes == ("red", "blue")
        and model.about.window_latent_px == 8
        and len(model.process.signal) == 100
    )


def test_a_killed_training_resumes_to_the_same_output(models, raw, denoiser_params, tmp_path, monkeypatch):
    folder = raw.parents[1] / "again"
    real = optimise._one_step

    def killed(run, *rest):
        if run.step == 3:
            raise KeyboardInterrupt
        real(run, *rest)

    job = denoiser_step.prepare(raw, models / "autoencoder", folder / "denoiser", denoiser_params)
    monkeypatch.setattr(optimise, "_one_step", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(denoiser_step, job)
    assert not (folder / "denoiser").exists()
    monkeypatch.setattr(optimise, "_one_step", real)
    record = carry_out(denoiser_step, job)
    assert record.root == read(models / "denoiser")["output"]["root"]


@pytest.fixture(scope="session")
def corpus(models):
    out = models.parent / "synthetic" / "tissue.zarr"
    return carry_out(step, step.prepare(models, out, SynthesiseParams.model_validate(SYNTHESISE), "tissue", "again"))


def test_synthetic_store_holds_pairs_and_their_table(corpus, models):
    assert store.read_attributes(corpus.path)["synthetic"] is True
    table = pd.read_parquet(corpus.path / "samples.parquet")
    assert list(table.columns) == [
        "sample_id", "seed", "height_px", "width_px", "guidance", "steps", "mask_source", "mask_origin",
        "batch_windows", "subtype",
        "recipe",
    ]  # fmt: skip
    assert table[["height_px", "width_px"]].to_numpy().tolist() == [[64, 64], [70, 90]]
    known = set(pd.read_parquet(models / "denoiser" / "tiles.parquet")["tile_id"])
    for row in table.itertuples():
        path = corpus.path / "samples" / row.sample_id
        picture, mask = store.open_array(path / "0")[:], store.open_array(path / "labels" / "mask" / "0")[:]
        assert picture.shape == (3, row.height_px, row.width_px) and picture.std() > 0
        assert mask.shape == picture.shape[1:] and set(np.unique(mask)) <= {0, 1, 2}
        assert len(row.mask_source) and set(row.mask_source) <= known and len(row.recipe) == 64
    assert table["recipe"].is_unique
    assert sum(v for k, v in corpus.metrics.items() if k.startswith("mask_fraction_")) == pytest.approx(1)


def test_images_satisfy_ome_zarr(corpus):
    for name in ("s00000", "s00001"):
        Model.from_zarr(zarr.open_group(corpus.path / "samples" / name, mode="r"))


def test_a_sample_is_the_same_alone_in_a_larger_corpus_and_elsewhere(corpus, models, synthesise_params, tmp_path):
    more = synthesise_params.model_copy(update={"count": 3})
    job = step.prepare(models, tmp_path / "deep" / "other.zarr", more, "other", "again")
    step.process(job, "s00001")
    alone = store.open_array(job.content / "samples" / "s00001" / "0")[:]
    assert np.array_equal(alone, store.open_array(corpus.path / "samples" / "s00001" / "0")[:])
    facts = output.receipt(job, "s00001")["facts"]
    assert facts["recipe"] == pd.read_parquet(corpus.path / "samples.parquet")["recipe"][1]


def test_another_seed_is_another_sample(corpus, models, synthesise_params, tmp_path):
    other = synthesise_params.model_copy(update={"seed": 10, "count": 1})
    record = carry_out(step, step.prepare(models, tmp_path / "other.zarr", other, "other", "again"))
    assert pd.read_parquet(record.path / "samples.parquet")["recipe"][0] not in set(
        pd.read_parquet(corpus.path / "samples.parquet")["recipe"]
    )


def test_a_users_mask_sets_size_and_label(models, synthesise_params, tmp_path):
    mask = np.ones((27, 50), np.uint8)
    mask[:, 25:] = 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    one = synthesise_params.model_copy(update={"count": 1})
    record = carry_out(step, step.prepare(models, tmp_path / "own.zarr", one, "own", "again", tmp_path / "mask.png"))
    path = record.path / "samples" / "s00000"
    assert store.open_array(path / "0").shape == (3, 27, 50)
    assert np.array_equal(store.open_array(path / "labels" / "mask" / "0")[:], mask)
    assert len(pd.read_parquet(record.path / "samples.parquet")["mask_source"][0]) == 0


def test_the_number_of_threads_asked_for_elsewhere_changes_no_byte(models, synthesise_params, tmp_path, corpus):
    torch.set_num_threads(2)
    job = step.prepare(models, tmp_path / "threads.zarr", synthesise_params, "threads", "again")
    step.process(job, "s00000")
    found = store.open_array(job.content / "samples" / "s00000" / "0")[:]
    assert np.array_equal(found, store.open_array(corpus.path / "samples" / "s00000" / "0")[:])


def test_a_denoiser_of_another_autoencoder_is_refused(models, raw, autoencoder_params, synthesise_params, tmp_path):
    other = autoencoder_params.model_copy(update={"seed": 99})
    carry_out(autoencoder_step, autoencoder_step.prepare(raw, tmp_path / "autoencoder", other))
    (tmp_path / "denoiser").symlink_to(models / "denoiser")
    with pytest.raises(LineageError, match="train the denoiser again"):
        step.prepare(tmp_path, tmp_path / "out.zarr", synthesise_params, "tissue", "again")


def test_swapped_models_and_foreign_weights_are_refused(models, tmp_path):
    with pytest.raises(InputError, match="kind"):
        denoiser.load(models / "autoencoder")
    with pytest.raises(InputError, match="not there"):
        autoencoder.load(tmp_path)
    (tmp_path / "model.json").write_bytes((models / "autoencoder" / "model.json").read_bytes())
    (tmp_path / "weights.safetensors").write_bytes((models / "denoiser" / "weights.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"weights of the architecture in model\.json"):
        autoencoder.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"weights of the architecture in model\.json"):
        autoencoder.load(tmp_path)


def test_a_missing_mask_is_refused(models, synthesise_params, tmp_path):
    with pytest.raises(InputError, match="not there"):
        step.prepare(models, tmp_path / "out.zarr", synthesise_params, "own", "again", tmp_path / "none.png")


def test_a_factor_that_does_not_divide_the_tiles_is_refused(raw, autoencoder_params, tmp_path):
    odd = autoencoder_params.architecture.model_copy(update={"patch_px": 3})
    with pytest.raises(ParamsError, match="divides the tiles"):
        autoencoder_step.prepare(raw, tmp_path / "out", autoencoder_params.model_copy(update={"architecture": odd}))


def test_model_files_are_read_back_as_written(tmp_path, autoencoder_params):
    weights = {"b": torch.arange(3.0), "a": torch.ones(2, 2).T}
    networks.save(tmp_path, weights, autoencoder_params)
    assert networks.read_model(tmp_path, AutoencoderParams) == autoencoder_params
    layer = torch.nn.Module()
    layer.a, layer.b = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
    networks.load_weights(layer, tmp_path)
    assert torch.equal(layer.b, weights["b"]) and not layer.a.requires_grad
    (tmp_path / "model.json").write_bytes(b"{")
    with pytest.raises(InputError, match="not JSON"):
        networks.read_model(tmp_path, AutoencoderParams)


def test_fidelity_has_its_closed_forms():
    picture = np.full((2, 3, 32, 32), 100, np.uint8)
    assert autoencoder_step.fidelity(picture, picture)["ssim"] == pytest.approx(1)
    assert autoencoder_step.fidelity(picture, picture + 5)["psnr_db"] == pytest.approx(10 * np.log10(255**2 / 25))


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (64, 64), (65, 257)])
def test_what_is_told_covers_the_mask_in_multiples_of_the_levels_and_repeats_its_border(models, tmp_path, size):
    """Factor 4, two levels, a window of 8: against the condition of the whole mask, padded by hand."""
    about = denoiser.load(models / "denoiser").about
    mask = generator(1, "mask", "classes").integers(0, 3, size, dtype=np.uint8)
    array = store.create_array(tmp_path / "mask", size, "uint8", (16, 16), (64, 64), "yx")
    array[...] = mask
    told = step.tell(array, about, 4, tmp_path / "scratch")
    expected = condition(mask, 2, 4)
    height, width = (max(8, -(-n // 8) * 2) for n in size)
    assert told.shape == (4, height, width)
    fill = [(0, 0), (0, height - expected.shape[1]), (0, width - expected.shape[2])]
    found = told.read(slice(0, height), slice(0, width))
    assert np.array_equal(found, np.pad(expected, fill, mode="edge"))
