"""The sample's pipeline, pruned, through real DVC and Prefect: whole, repeatable, and its lineage holds."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from tasks.lineage import ledger, recipe
from tests.flows.pruned import VARIANTS, execute, make_project, node, run, start, write

pytestmark = pytest.mark.slow

OUTPUTS = [
    *(f"data/sources/{d}" for d in ("microscopy", "drone", "slides")),
    *(f"data/raw/{d}.zarr" for d in ("microscopy", "drone", "slides")),
    *(f"data/variants/{d}/{v}.zarr" for d in ("microscopy", "drone") for v in VARIANTS),
    *(
        f"data/models/{m}"
        for m in ("microscopy", "drone", "autoencoder", "denoiser", "mask_denoiser", "encoder", "segmenter")
    ),
    "data/synthetic/tissue.zarr",
    *(f"data/drift/microscopy/{part}" for part in ("synthesis", "forensics", "optimisation", "report")),
    "data/reports/evaluation",
    "data/lineage/audit",
    "data/reports/html",
]


@pytest.fixture(scope="module")
def made(api: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline `rawmill repro` has made, stages side by side."""
    folder = make_project(tmp_path_factory.mktemp("pipeline"))
    done = run(folder, "flows.cli", "repro", "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert json.loads(done.stdout)["stages"] == len(OUTPUTS)
    return folder


@contextmanager
def changed(file: Path, content: bytes) -> Iterator[None]:
    """`file` with other content, and as it was afterwards."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def audit(folder: Path, *arguments: str) -> tuple[int, str]:
    done = run(folder, "flows.cli", "audit", *arguments)
    return done.returncode, done.stderr.strip()


def test_every_output_is_there_and_the_audit_holds(made: Path) -> None:
    for name in OUTPUTS:
        recipe.check_files(made / name)
    code, text = audit(made)
    assert code == 0, text
    page = (made / "data" / "reports" / "index.html").read_text()
    assert page == (made / "data" / "reports" / "html" / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_repeat_does_nothing(made: Path) -> None:
    before = {name: recipe.read(made / name) for name in OUTPUTS}
    done = run(made, "flows.cli", "repro", "--json")
    assert json.loads(done.stdout)["stages"] == 0
    assert {name: recipe.read(made / name) for name in OUTPUTS} == before


def test_plain_dvc_in_another_folder_on_one_worker_gives_equal_digests(
    made: Path, api: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_project(tmp_path_factory.mktemp("elsewhere") / "deeper" / "down", code=made)
    done = run(other, "dvc", "repro", RAWMILL_WORKERS="1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    digests = [{name: recipe.digest_of(recipe.read(f / name)) for name in OUTPUTS} for f in (made, other)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", OUTPUTS)
def test_one_flipped_byte_of_any_output_is_caught(made: Path, name: str) -> None:
    files = sorted(f for f in (made / name).rglob("*") if f.is_file() and f.stat().st_size)
    file = files[len(name) * 7919 % len(files)]
    data = file.read_bytes()
    middle = len(data) // 2
    with changed(file, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]):
        code, text = audit(made, name)
    assert code == 4
    assert len(text.splitlines()) == 1
    assert file.name in text
    assert "expected" in text
    assert "rawmill" in text or "dvc" in text


def test_a_dropped_shard_is_caught(made: Path) -> None:
    shard = next((made / "data/synthetic/tissue.zarr/samples").rglob("c/0/0/0"))
    data = shard.read_bytes()
    shard.unlink()
    code, text = audit(made, "data/synthetic/tissue.zarr")
    shard.write_bytes(data)
    assert (code, "missing" in text) == (4, True)


def test_an_edited_param_is_caught_and_makes_only_its_variant_stale(made: Path) -> None:
    file = made / "params.yaml"
    params = yaml.safe_load(file.read_text())
    node(params, "develop.variants")["bi,s,ga"][-1]["gamma"]["gamma"] = 2.4
    before = file.read_bytes()
    write(file, params)
    edited = file.read_bytes()
    file.write_bytes(before)
    with changed(file, edited):
        code, text = audit(made)
        status = run(made, "dvc", "status", "--json")
    assert (code, "bi,s,ga" in text) == (4, True), text
    assert sorted(json.loads(status.stdout)) == ["develop@drone-bi,s,ga", "develop@microscopy-bi,s,ga"]


def test_one_variant_is_regenerated_to_the_same_bytes(made: Path) -> None:
    before = recipe.digest_of(recipe.read(made / "data/variants/drone/bi,s,ga.zarr"))
    code = "from flows.repro import regenerate; print('digest', regenerate('drone', 'bi,s,ga'))"
    done = execute(made, "-c", code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"digest {before}" in done.stdout


def test_a_users_own_corpus_is_sampled_traced_and_audited(made: Path) -> None:
    options = ["--model", "data/models", "--size", "136x260", "--seed", "7", "--steps", "2", "--out", "big.zarr"]
    done = run(made, "flows.cli", "synthesize", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    story = run(made, "flows.cli", "trace", "big.zarr#s00000")
    assert "slide1.tif" in story.stdout
    assert audit(made, "big.zarr")[0] == 0
    shutil.rmtree(made / "big.zarr")


def test_a_tampered_table_stops_the_next_step_before_it_reads(made: Path) -> None:
    weights = made / "data/models/denoiser/weights.safetensors"
    data = weights.read_bytes()
    with changed(weights, data[:-1] + bytes([data[-1] ^ 1])):
        done = run(made, "flows.cli", "synthesize", "--model", "data/models", "--out", "big.zarr")
    assert done.returncode == 4
    assert "weights.safetensors" in done.stderr


def test_a_swapped_model_is_caught(made: Path) -> None:
    models = made / "data" / "models"
    encoder, denoiser, aside = models / "encoder", models / "denoiser", models / "aside"
    denoiser.rename(aside)
    encoder.rename(denoiser)
    try:
        code, text = audit(made, "data/synthetic/tissue.zarr")
    finally:
        denoiser.rename(encoder)
        aside.rename(denoiser)
    assert code == 4
    assert "denoiser" in text


def test_a_synthetic_image_is_traced_to_source_files(made: Path) -> None:
    done = run(made, "flows.cli", "trace", "data/synthetic/tissue.zarr#s00000")
    assert done.returncode == 0, done.stderr
    for word in ("denoiser", "autoencoder", "slide1.tif", "slide2.tif"):
        assert word in done.stdout
    assert not any(f"slide{k}.tif" in done.stdout for k in (4, 5)), "a held-out slide has no part in it"


def test_runs_are_in_mlflow_and_in_the_ledger(made: Path) -> None:
    entries = ledger.read(made / "data" / "lineage" / "runs")
    assert {e.output for e in entries} == set(OUTPUTS)
    uri = f"sqlite:///{made / 'data/mlflow/mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    for entry in entries:
        run_of = client.get_run(str(entry.mlflow_run))
        assert run_of.info.status == "FINISHED"
        assert run_of.data.tags["recipe"] == entry.recipe
        inputs = recipe.read(made / entry.output)["inputs"]
        digests = {i.dataset.digest for i in run_of.inputs.dataset_inputs}
        assert digests == {(i.get("root") or i["sha256"])[:36] for i in inputs}
    names = {m.name for m in client.search_registered_models()}
    assert names >= {"microscopy", "drone", "autoencoder", "denoiser", "encoder", "segmenter"}
    assert names >= {"microscopy-synthesis", "microscopy-optimisation"}


@pytest.mark.parametrize(("stage", "out"), [(("segmenter", "slides"), "data/models/segmenter")])
def test_a_stage_killed_in_the_middle_goes_on_to_the_same_bytes(made: Path, stage: tuple[str, str], out: str) -> None:
    digest = recipe.digest_of(recipe.read(made / out))
    aside = (made / out).rename(made / "aside")
    command = ["-m", f"flows.{stage[0]}", stage[1]]
    process = start(made, *command)
    place = (made / out).parent
    while not list(place.glob(".*.staging-*/checkpoint/*")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (made / out).exists()
    staging = next(place.glob(".*.staging-*"))
    assert run(made, *command[1:]).returncode == 0
    assert recipe.digest_of(recipe.read(made / out)) == digest
    assert not staging.exists()
    shutil.rmtree(aside)
