"""The benchmarks run and print what they promise; their figures are for people, never for a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif("RAWMILL_REAL_DATA" not in os.environ, reason="RAWMILL_REAL_DATA names no folder with the slide")
def test_the_benchmark_of_the_ingest_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingest",
        "--small",
        "--scratch",
        tmp_path,
        "--json",
        tmp_path / "f.json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    everyone = {"floor", "rawmill", "rawmill verify", "ome-zarr", "ome-zarr chunks"}
    assert {what: set(names) for what, names in found.items()} == {
        "slide": everyone | {"rawmill keep"},
        "frames": everyone,
    }
    assert all(one["mpix_per_s"] > 0 and one["peak_mb"] > 0 for names in found.values() for one in names.values())
    assert sum(line.startswith("  rawmill is ") for line in done.stdout.splitlines()) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "f.json"]


@pytest.mark.slow
def test_the_benchmark_of_the_isp_prints_ours_the_peers_and_the_limit() -> None:
    small = [
        "--height-px",
        "256",
        "--width-px",
        "288",
        "--crops",
        "4",
        "--repeats",
        "1",
        "--variants",
        "bi,s,me/ma,s,me",
    ]
    command = [sys.executable, "-m", "benchmarks.isp", *small, "--yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    variants = {f"{who} {v}" for who in ("reference", "rawmill") for v in ("bi,s,me", "ma,s,me")}
    peers = {"rawpy LINEAR", "rawpy AHD", "opencv bi,s,me", "torch cpu ma,s,me", "copy limit", "rawmill at once"}
    assert variants | peers <= set(found["mpix_per_s"])
    assert {"times as fast", "peak memory at once, MB", "4 crops in all, s"} <= set(found["totals"])
    assert all(value > 0 for value in found["mpix_per_s"].values())


@pytest.mark.slow
@pytest.mark.skipif("RAWMILL_REAL_DATA" not in os.environ, reason="RAWMILL_REAL_DATA names no folder with the slide")
def test_the_benchmark_of_learning_goes_from_a_slide_to_figures_and_a_picture(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.learns", "--small", "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    stages = ["sources", "ingest", "encoder", "segmenter", "autoencoder", "denoiser", "synthesise", "canvas"]
    assert list(figures["seconds"]) == [*stages, "evaluate"]
    assert {"synthetic", "blurred", "gaussian_noise"} <= {pair["candidate"] for pair in figures["comparisons"]}
    assert (tmp_path / "figures.md").read_text().strip() in done.stdout
    with Image.open(tmp_path / "picture.jpg") as picture:
        assert picture.width > 700 and picture.height > 700


def test_the_benchmark_of_the_synthesis_runs_and_its_counts_are_those_of_the_laws(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.synthesis", "--small", "--json", tmp_path / "f.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    each = found["contestants"]
    assert set(each) == {"reference", "sliding", "diffcollage", "random", "grid", "limit"}
    assert all(one["seconds"] > 0 and one["peak_mb"] > one["added_mb"] for one in each.values())
    for key in ("seam", "decode_seam", "one_piece_seam"):
        assert all(one[key][1] <= one[key][2] for one in each.values())
    windows = {name: one["windows_per_step"] for name, one in each.items()}
    per_window = {"reference": 9, "sliding": 2, "random": 2, "limit": 1}
    for name, forwards in per_window.items():  # windows of 16 x 16 on a canvas of 32 x 32 latent pixels
        assert each[name]["forwards_per_px"] == pytest.approx(windows[name] * forwards / 4)
    assert windows["limit"] == 4 and windows["sliding"] == 9 and windows["diffcollage"] == 25
    assert each["diffcollage"]["forwards_per_px"] == pytest.approx(2 * 16 / 4)
    assert windows["reference"] == windows["random"] > windows["grid"] >= 4
    assert 2 <= each["grid"]["forwards_per_px"] < 2 * (1 + 2 * 3 / 32) ** 2  # sides rounded up to multiples of 4
    assert found["windows"]["1024"]["sliding"] == 9
