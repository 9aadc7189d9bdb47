"""The `rawmill` command as a user meets it: help, results, errors of one line, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.lineage import recipe
from tests import makers
from tests.published_layouts import drone, microscopy
from tests.servers import http_site

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["repro", "ingest", "develop", "drift", "recommend", "train", "synthesize", "inpaint", "regenerate"]
COMMANDS += ["audit", "trace", "uses", "report"]


@pytest.fixture
def rawmill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed):
    """Runs the command in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    return typed


def frame(folder: Path, name: str = "frame.dng") -> Path:
    return makers.write_dng(folder / name, makers.mosaic_of(64, 96))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(rawmill, command: str) -> None:
    code, out, _ = rawmill(command, "--help")
    assert code == 0
    assert f"rawmill {command}" in out
    assert "Examples:" in out


def test_the_help_of_ingest_says_what_may_name_a_patient_and_how_masks_are_named(rawmill) -> None:
    words = " ".join(rawmill("ingest", "--help")[1].split())
    for word in ("deidentify", "a_mask.tif", "--classes", "source_classes", "mask_values: nonzero", "--params"):
        assert word in words, word


def test_a_users_file_becomes_a_store_a_variant_and_an_audit(rawmill, tmp_path: Path) -> None:
    file = frame(tmp_path)
    code, out, err = rawmill("ingest", file, "--out", "raw.zarr", "--json")
    assert code == 0, err
    assert json.loads(out)["recipe"] == recipe.digest_of(recipe.read(Path("raw.zarr")))
    assert rawmill("develop", "raw.zarr", "--variant", "bi,u,ga", "--out", "v.zarr")[0] == 0
    code, out, err = rawmill("audit", "v.zarr", "--json")
    assert code == 0, err
    assert {Path(n["path"]).name for n in json.loads(out)["nodes"]} == {"v.zarr", "raw.zarr", "frame.dng"}
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    code, _, err = rawmill("audit", "v.zarr")
    assert code == 4
    assert "frame.dng" in err


def test_a_file_is_developed_at_once_and_a_repeat_finds_it_done(rawmill, tmp_path: Path) -> None:
    file = frame(tmp_path)
    assert rawmill("develop", file, "--variant", "me,s,me", "--out", "v.zarr")[0] == 0
    made = recipe.digest_of(recipe.read(Path("v.zarr")))
    stamp = Path("v.zarr/recipe.json").stat().st_mtime_ns
    assert rawmill("develop", file, "--variant", "me,s,me", "--out", "v.zarr")[0] == 0
    assert recipe.digest_of(recipe.read(Path("v.zarr"))) == made
    assert Path("v.zarr/recipe.json").stat().st_mtime_ns == stamp
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame.dng", "v-raw.zarr", "v.zarr"]


def test_one_bad_file_among_good_ones_is_named_and_the_good_are_done(rawmill, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dng"
    bad.write_bytes(frame(tmp_path).read_bytes()[:100])
    for _again in range(2):
        code, _, err = rawmill("ingest", tmp_path / "frame.dng", bad, "--out", "raw.zarr")
        assert code == 3
        assert [line for line in err.splitlines() if "bad.dng" in line and "expected" in line]
        recipe.check_files(Path("raw.zarr"))


def test_the_repair_that_the_audit_names_repairs(rawmill, tmp_path: Path) -> None:
    file = frame(tmp_path)
    assert rawmill("ingest", file, "--out", "raw.zarr")[0] == 0
    shard = next(Path("raw.zarr/frames").rglob("c/0/0"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert rawmill("audit", "raw.zarr")[0] == 4
    assert rawmill("ingest", file, "--out", "raw.zarr")[0] == 0
    assert rawmill("audit", "raw.zarr")[0] == 0


def test_a_store_below_a_linked_folder_finds_its_sources(rawmill, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "deep")
    file = frame(tmp_path / "sub")
    assert rawmill("ingest", file, "--out", "link/x.zarr")[0] == 0
    assert rawmill("audit", "--data", "link")[0] == 0


def test_the_summary_tells_what_is_in_the_store_and_how_to_prove_it(rawmill, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dng"
    bad.write_bytes(frame(tmp_path).read_bytes()[:100])
    for _again in range(2):
        code, out, _ = rawmill("ingest", tmp_path / "frame.dng", bad, "--out", "raw.zarr", "--json")
        found = json.loads(out)
        assert (code, found["sources"], found["rejected"], found["tiles"]) == (3, 1, 1, 1)
        assert Path(found["receipts"]).is_file()
    code, out, err = rawmill(*found["verify"].split()[1:])
    assert code == 0, err
    assert "raw.zarr" in out
    shard = next(Path("raw.zarr/frames").rglob("c/0/0"))
    data = shard.read_bytes()
    shard.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    code, out, err = rawmill("ingest", "--verify", "raw.zarr")
    assert (code, out) == (4, "")
    assert "c/0/0" in err


def test_a_dataset_folder_is_ingested_by_its_manifest(rawmill, tmp_path: Path) -> None:
    makers.crops_folder(tmp_path / "set", count=4)
    code, out, err = rawmill("ingest", "set", "--out", "raw.zarr", "--json")
    assert code == 0, err
    assert json.loads(out)["tiles"] == 4


@pytest.mark.parametrize(("make_folder", "kind", "tiles"), [(microscopy, "raw-microscopy", 9), (drone, "raw-drone", 6)])
def test_a_published_dataset_is_ingested_by_name(rawmill, tmp_path: Path, make_folder, kind: str, tiles: int) -> None:
    make_folder(tmp_path / "set")
    code, out, err = rawmill("ingest", "set", "--kind", kind, "--out", "raw.zarr", "--json")
    assert code == 0, err
    table = pq.read_table("raw.zarr/tiles.parquet").to_pylist()
    assert len(table) == json.loads(out)["tiles"] == tiles
    assert {row["group"] for row in table} == ({"lame1", "lame3", "lame10"} if tiles == 9 else {"f1", "f2", "f10"})
    if kind == "raw-drone":  # 32 of 32 x 48 pixels lie on the masks' diagonal, with the value 255
        assert [row["fraction_car"] for row in table] == pytest.approx([1 / 48] * 6)
    else:
        assert {row["label"] for row in table} == {"BAS", "NGS"}
    assert rawmill("ingest", "--verify", "raw.zarr")[0] == 0


def test_files_elsewhere_are_fetched_once_and_the_receipts_say_from_where(rawmill, tmp_path: Path) -> None:
    with http_site() as site:
        site.files["/a/frame.dng"] = frame(tmp_path).read_bytes()
        uri = f"{site.base}/a/frame.dng"
        for code, others in ((0, ()), (3, (f"{site.base}/none.dng",))):
            found, out, err = rawmill("ingest", f"{uri}?X-Amz-Signature=s3cr3t", *others, "--out", "raw.zarr", "--json")
            assert found == code, err
            assert (json.loads(out)["sources"], json.loads(out)["unfetched"]) == (1, len(others))
            assert ("none.dng: not there" in err) is bool(others)
            assert "s3cr3t" not in out + err
        assert site.gets.count("") == 1 + 1  # the file once; GET after HEAD of what is not there
    receipts = [json.loads(line) for line in Path("raw.zarr/receipts.jsonl").read_text().splitlines()]
    assert [receipt["source"]["uri"] for receipt in receipts] == [uri]
    assert not [p for p in tmp_path.rglob("*.json*") if "s3cr3t" in p.read_text()]
    assert (tmp_path / ".raw.zarr.fetched" / "frame.dng").is_file()
    assert rawmill("ingest", "--verify", "raw.zarr")[0] == 0


def test_lines_about_fetched_files_name_their_uri(rawmill, tmp_path: Path) -> None:
    with http_site() as site:
        site.files["/a/frame.dng"] = frame(tmp_path).read_bytes()
        site.files["/b/bad.dng"] = site.files["/a/frame.dng"][:100]
        uris = [f"{site.base}/a/frame.dng", f"{site.base}/b/bad.dng"]
        for _again in range(2):
            code, _, err = rawmill("ingest", *uris, "--out", "raw.zarr")
            assert code == 3
            assert [line for line in err.splitlines() if line.startswith(f"{uris[1]}: ")], err
            assert ".fetched" not in err
        for _again in range(2):
            _, _, err = rawmill("ingest", frame(tmp_path, "own.dng"), uris[1], "--out", "mixed.zarr")
            assert err.splitlines()[0].startswith(f"{uris[1]}: "), err
        code, _, err = rawmill("ingest", uris[1], "--out", "none.zarr")
        assert (code, err.splitlines()[0].startswith(f"{uris[1]}: ")) == (3, True)
        assert rawmill("ingest", f"{site.base}/none.dng", "--out", "gone.zarr")[0] == 3
    assert {p.name for p in tmp_path.glob(".*.fetched")} == {f".{n}.zarr.fetched" for n in ("raw", "mixed", "none")}


def test_a_broken_store_is_told_as_json_too(rawmill, tmp_path: Path) -> None:
    assert rawmill("ingest", frame(tmp_path), "--out", "raw.zarr")[0] == 0
    code, out, _ = rawmill("ingest", "--verify", "raw.zarr", "--json")
    assert (code, json.loads(out)["state"], json.loads(out)["faults"]) == (0, "proved", [])
    next(Path("raw.zarr/frames").rglob("c/0/0")).unlink()
    code, out, err = rawmill("ingest", "--verify", "raw.zarr", "--json")
    found = json.loads(out)
    assert (code, found["state"], found["store"]) == (4, "broken", "raw.zarr")
    assert found["faults"] == err.splitlines()
    assert all("; expected " in line for line in found["faults"])


def test_a_mask_beside_a_slide_gets_its_names_from_the_command(rawmill, tmp_path: Path) -> None:
    makers.write_slide(tmp_path / "a.svs", makers.picture_of(256, 256))
    makers.write_tiff(tmp_path / "a_mask.tif", np.tile(np.array([[1, 2]], np.uint8), (256, 128)))
    files = [tmp_path / "a.svs", tmp_path / "a_mask.tif"]
    code, _, err = rawmill("ingest", *files, "--out", "raw.zarr")
    assert code == 3
    assert "the value 1, and no names for label values; expected source_classes in the params" in err
    code, out, err = rawmill("ingest", *files, "--classes", "tumour, stroma", "--out", "raw.zarr", "--json")
    assert (code, json.loads(out)["tiles"]) == (0, 1), err
    (row,) = pq.read_table("raw.zarr/tiles.parquet").to_pylist()
    assert (row["fraction_tumour"], row["fraction_stroma"]) == (0.5, 0.5)
    assert rawmill("ingest", "--verify", "raw.zarr")[0] == 0


WRONG = [
    (["develop", "absent.zarr", "--variant", "bi,u,ga", "--out", "v.zarr"], 3, "absent.zarr"),
    (["develop", "a.dng", "--variant", "xx", "--out", "v.zarr"], 2, "develop.variants.xx"),
    (["synthesize", "--model", "m", "--size", "9", "--out", "s.zarr"], 2, "HEIGHTxWIDTH"),
    (["synthesize", "--model", "m", "--size", "64x64", "--out", "s.zarr"], 3, "rawmill train"),
    (["trace", "store.zarr"], 3, "PATH#ID"),
    (["trace", "store.zarr#x"], 3, "store.zarr"),
    (["audit", "absent"], 4, "absent"),
    (["audit"], 4, "no outputs"),
    (["repro"], 2, "no dvc.yaml"),
    (["uses", "x.tif"], 3, "x.tif"),
    (["ingest", "x.tif"], 2, "--out"),
    (["ingest", "--out", "s.zarr"], 2, "the files missing"),
    (["ingest"], 2, "--verify STORE"),
    (["ingest", "x.tif", "--verify", "s.zarr"], 2, "--verify: given with files"),
    (["ingest", "--kind", "slides", "--verify", "s.zarr"], 2, "--verify: given with --kind"),
    (["ingest", "--classes", "a", "--verify", "s.zarr"], 2, "--verify: given with --classes"),
    (["ingest", "x.tif", "--classes", "a,,b", "--out", "s.zarr"], 2, "--classes 'a,,b': an empty name"),
    (["ingest", ".", "--kind", "raw-drone", "--classes", "bus", "--out", "s.zarr"], 2, "source_classes"),
    (["ingest", "--verify", "absent.zarr"], 4, "absent.zarr"),
    (["ingest", "x.tif", "--kind", "slide", "--out", "s.zarr"], 2, "--kind slide: unknown; expected crops, frames"),
    (["ingest", "x.tif", "--kind", "raw-drone", "--out", "s.zarr"], 2, "given with files"),
    (["ingest", ".", "--kind", "raw-drone", "--out", "s.zarr"], 3, "images_full"),
    (["ingest", ".", "--out", "s.zarr"], 3, "manifest.csv"),
    (["ingest", ".", "x.tif", "--out", "s.zarr"], 2, "a folder among other arguments"),
    (["ingest", ".", "--calibration", "c.json", "--out", "s.zarr"], 2, "--calibration: given with a folder"),
    (["ingest", "https://me:word@host/x.svs", "--out", "s.zarr"], 3, "a user or a password"),
    (["ingest", "gopher://host/x.svs", "--out", "s.zarr"], 3, "the protocol gopher"),
    (["nonsense"], 2, "nonsense"),
    (["ingest", "x.tif", "--params", ".", "--out", "s.zarr"], 2, "directory"),
    (["develop", ".", "--variant", "bi,u,ga", "--calibration", "c", "--out", "v.zarr"], 2, "--calibration"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG, ids=[" ".join(w[0][:2]) for w in WRONG])
def test_what_cannot_work_is_one_line_and_a_code(rawmill, arguments: list[str], code: int, words: str) -> None:
    found, out, err = rawmill(*arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
    assert not list(Path().glob("*.zarr"))


def test_an_unknown_params_key_is_named(rawmill, tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["ingest"]["files"]["tile_side"] = 3
    Path("params.yaml").write_text(yaml.safe_dump(params))
    code, _, err = rawmill("ingest", frame(tmp_path), "--out", "raw.zarr")
    assert code == 2
    assert "tile_side" in err


def test_what_is_not_ours_is_not_overwritten(rawmill, tmp_path: Path) -> None:
    Path("raw.zarr").mkdir()
    Path("raw.zarr/thesis.txt").write_text("mine")
    code, _, err = rawmill("ingest", frame(tmp_path), "--out", "raw.zarr")
    assert code == 3
    assert "not an output of rawmill" in err
    assert Path("raw.zarr/thesis.txt").read_text() == "mine"


def test_ctrl_c_ends_with_130_and_nothing_half_made(tmp_path: Path) -> None:
    """A real SIGINT to a real process, while it ingests."""
    files = [makers.write_dng(tmp_path / f"f{i}.dng", makers.mosaic_of(1024, 1024)) for i in range(12)]
    command = [sys.executable, "-m", "flows.cli", "ingest", *map(str, files), "--out", str(tmp_path / "raw.zarr")]
    env = {**os.environ, "RAWMILL_WORKERS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".raw.zarr.staging-*/done/*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "interrupted; run it again to go on where it stopped"
    assert not (tmp_path / "raw.zarr").exists()
