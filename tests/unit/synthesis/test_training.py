"""The two training steps with all their terms: lineage, exact resume, two processes, sets without annotation."""

import json

import pandas as pd
import pytest
import torch
from planted_slides import carry_out, plant

from tasks import output
from tasks.errors import InputError, LineageError, ParamsError
from tasks.evaluation import models as encoders
from tasks.evaluation.networks import encoder
from tasks.evaluation.params import Network
from tasks.learn.determinism import seeded
from tasks.lineage.recipe import Plan, read
from tasks.synthesis import autoencoder_step, denoiser, denoiser_step, optimise, tiles


@pytest.fixture(scope="module")
def encoder_folder(raw):
    """A published encoder of random weights."""
    out = raw.parents[1] / "models" / "encoder"
    network = Network(name="residual", widths=(4, 8))
    plan = Plan("encoder", "encoder", [], {}, "tasks.rng", "rawmill repro encoder")
    job = output.start(out, plan, ["encoder"], lambda content: None)
    with seeded(1):
        made = encoder(network)[0]
    about = {"kind": "encoder", "name": "own", "network": network.model_dump(mode="json")}
    output.mark_done(job, "encoder", encoders.save(job.content, made, about))
    output.publish(job)
    return out


def full(params, **changes):
    """All terms on, the judge from step 1, float32 in parts."""
    adversarial = params.adversarial.model_copy(update={"weight": 0.5, "feature_weight": 1.0, "start_step": 1})
    fit = params.fit.model_copy(update={"accumulate": 2, **changes})
    perceptual = params.perceptual.model_copy(update={"weight": 1.0})
    return params.model_copy(update={"adversarial": adversarial, "fit": fit, "perceptual": perceptual})


def test_an_autoencoder_with_all_terms_resumes_and_names_its_encoder(
    raw, encoder_folder, autoencoder_params, tmp_path, monkeypatch
):
    params, real = full(autoencoder_params), optimise._one_step
    roots = []
    for stop in (None, 3):
        job = autoencoder_step.prepare(raw, tmp_path / f"{stop}" / "autoencoder", params, encoder_folder)

        def killed(run, *rest, stop=stop):
            if run.step == stop:
                raise KeyboardInterrupt
            real(run, *rest)

        monkeypatch.setattr(optimise, "_one_step", killed)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                carry_out(autoencoder_step, job)
        monkeypatch.setattr(optimise, "_one_step", real)
        roots.append(carry_out(autoencoder_step, job).root)
    assert roots[0] == roots[1]
    inputs = {e["role"]: e["recipe"] for e in read(tmp_path / "None" / "autoencoder")["inputs"]}
    assert set(inputs) == {"slides", "encoder"}
    plain = carry_out(autoencoder_step, autoencoder_step.prepare(raw, tmp_path / "plain", autoencoder_params))
    assert plain.root != roots[0]
    assert [e["role"] for e in read(tmp_path / "plain")["inputs"]] == ["slides"]


def test_each_term_alone_changes_the_weights(raw, encoder_folder, autoencoder_params, tmp_path):
    everything, roots = full(autoencoder_params), set()
    for name in ("perceptual", "adversarial"):
        params = autoencoder_params.model_copy(update={name: getattr(everything, name)})
        job = autoencoder_step.prepare(raw, tmp_path / name, params, encoder_folder)
        roots.add(carry_out(autoencoder_step, job).root)
    assert len(roots) == 2


def test_two_processes_train_what_one_does(raw, encoder_folder, autoencoder_params, tmp_path):
    """Four steps of the whole autoencoder: the losses of one process within relative 1e-3."""
    curves = []
    for processes in (1, 2):
        params = full(autoencoder_params, accumulate=1, processes=processes)
        job = autoencoder_step.prepare(raw, tmp_path / f"{processes}", params, encoder_folder)
        record = carry_out(autoencoder_step, job)
        curves.append([v for _, v in record.curves["loss"]])
    assert len(curves[0]) == 4 and curves[0] == pytest.approx(curves[1], rel=1e-3)


def test_a_perceptual_term_without_an_encoder_is_refused(raw, autoencoder_params, tmp_path):
    with pytest.raises(ParamsError, match="without an encoder"):
        autoencoder_step.prepare(raw, tmp_path / "out", full(autoencoder_params))
    with pytest.raises(InputError, match="unreadable"):
        autoencoder_step.prepare(raw, tmp_path / "out", full(autoencoder_params), tmp_path)


def test_an_encoder_without_a_recipe_is_refused(raw, encoder_folder, autoencoder_params, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in (encoders.MODEL, encoders.WEIGHTS):
        (bare / name).write_bytes((encoder_folder / name).read_bytes())
    with pytest.raises(LineageError):
        autoencoder_step.prepare(raw, tmp_path / "out", full(autoencoder_params), bare)


def test_windows_are_the_pictures_of_the_table(raw, monkeypatch):
    table = tiles.read_tiles(raw)
    wanted = [tiles.picture(raw, tile) for tile in table.itertuples(index=False)]
    for kept in (0, 3 * tiles.side_px(table) ** 2 * 5, 2**28):
        monkeypatch.setattr(tiles, "KEPT_BYTES", kept)
        windows = tiles.Windows(raw, table)
        for _ in range(2):
            assert all((windows[k] == wanted[k]).all() for k in range(len(windows)))
            assert (windows[3:9:2] == wanted[3:9:2]).all()
        assert sum(tile.nbytes for tile in windows.kept.values()) == windows.cache_bytes <= kept
        with pytest.raises(ValueError, match="read-only"):
            windows[0][:] = 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_tile_of_another_size_is_refused_before_training_whichever_split_it_is_in(raw, tmp_path, split):
    """Held-out tiles are stacked too, after hours of training."""
    table = pd.read_parquet(raw / "tiles.parquet")
    table.loc[table.index[table["split"] == split][-1], "height_px"] -= 8
    table.to_parquet(tmp_path / "tiles.parquet")
    with pytest.raises(InputError, match=r"tiles of sizes \[\(24, 32\), \(32, 32\)\]"):
        tiles.read_tiles(tmp_path)


def test_a_set_without_annotation_is_trained_without_condition(models, denoiser_params, tmp_path):
    raw = plant(tmp_path / "raw" / "slides.zarr", annotated=False)
    with pytest.raises(InputError, match=r"no training tile is annotated.*p_unconditional: 1\.0"):
        denoiser_step.prepare(raw, models / "autoencoder", tmp_path / "denoiser", denoiser_params)
    free = denoiser_params.model_copy(update={"p_unconditional": 1.0})
    carry_out(denoiser_step, denoiser_step.prepare(raw, models / "autoencoder", tmp_path / "denoiser", free))
    roles = pd.read_parquet(tmp_path / "denoiser" / "tiles.parquet")["role"]
    assert set(roles) == {"unlabelled"}
    metrics = json.loads((tmp_path / "denoiser" / "metrics.json").read_bytes())
    assert set(metrics) == {"final_loss", "held_out_loss_null"}
    model = denoiser.load(tmp_path / "denoiser")
    null = torch.zeros(1, 2, 8, 8)  # of a model that knows no classes
    null[:, -1] = 1
    assert model.networks[0](torch.zeros(1, 3, 8, 8), null, 50).shape == (1, 3, 8, 8)
