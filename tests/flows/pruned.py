"""The real pipeline, pruned: the same stages and code on a smaller sample, in a folder of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ["bi,s,ga", "ma,s,me"]
"""The first is theta-stat, from which forensics searches."""
SMALLER: dict[str, dict[str, Any]] = {
    "acquire.microscopy": {"smears": 4, "crops_per_class_and_smear": 1, "intensities": [1.0, 0.25]},
    "acquire.drone": {"height_px": 512, "width_px": 512, "cars": 8},
    "acquire.slides": {"side_px": 512, "levels": 2, "region_um": 60.0},
    "train.autoencoder.fit": {"steps": 12, "checkpoint_every_steps": 5},
    "train.denoiser.fit": {"steps": 12, "checkpoint_every_steps": 5},
    "train.mask_denoiser.fit": {"steps": 12, "checkpoint_every_steps": 5},
    "train.mask_denoiser": {"held_out_windows": 4},
    "train.mask_denoiser.comparison": {"sides_px": [512], "masks": 2, "draws": 20},
    "train.denoiser": {"held_out_tiles": 4},
    "train.autoencoder": {"held_out_tiles": 4},
    "encoder.training": {"steps": 10, "checkpoint_steps": 5, "batch_tiles": 8},
    "encoder": {"queue_keys": 32},
    "segmenter.training": {"steps": 10, "checkpoint_steps": 5},
    "synthesise": {"count": 3},
    "synthesise.sampler": {"steps": 3},
    "synthesise.masks.generated.sampler": {"steps": 3},
    "learn.microscopy.train": {"epochs": 2},
    "learn.microscopy": {"validate_every_epochs": 1, "input_px": 32},
    "learn.drone.train": {"epochs": 1},
    "learn.drone": {"validate_every_epochs": 1, "input_px": 64},
    "drift_synthesis.microscopy": {"window_px": 64, "input_px": 32},
    "drift_synthesis.microscopy.train": {"epochs": 1},
    "drift_synthesis.microscopy.scoring": {
        "data_models": VARIANTS,
        "corruptions": ["gaussian_noise", "contrast"],
        "severities": [1, 3],
        "resamples": 20,
    },
    "drift_forensics.microscopy": {
        "data_model": VARIANTS[0],
        "groups": ["white_balance", "gamma"],
        "lambdas": [0.0, 1.0],
        "epochs": 1,
        "search_tiles": 9,
        "range_steps": 1,
        "range_draws": 1,
    },
    "drift_optimisation.microscopy": {
        "window_px": 64,
        "input_px": 32,
        "intensities": {"low": 0.25, "high": 1.0},
        "validate_every_epochs": 1,
    },
    "drift_optimisation.microscopy.train": {"epochs": 1},
    "evaluate": {"draws": 20, "permutations": 19, "max_tiles": 16, "max_steering_tiles": 4, "gallery_rows": 2},
    "report": {"variants": VARIANTS, "shown_variant": VARIANTS[1], "samples": 2, "crops": 3},
}


def node(document: dict[str, Any], dotted: str) -> dict[str, Any]:
    for part in dotted.split("."):
        document = document[part]
    return document


def make_project(folder: Path, code: Path = ROOT) -> Path:
    """A copy of the code below `code` at `folder`, with git and DVC, and params and dvc.yaml pruned."""
    for name in ("flows", "tasks"):
        shutil.copytree(code / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dvcignore", folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for dotted, values in SMALLER.items():
        section = node(params, dotted)
        assert set(values) <= set(section), f"{dotted} has no {set(values) - set(section)}"
        section.update(values)
    params["develop"]["variants"] = {name: params["develop"]["variants"][name] for name in VARIANTS}
    write(folder / "params.yaml", params)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stages["stages"]["develop"]["matrix"]["variant"] = VARIANTS
    write(folder / "dvc.yaml", stages)
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    return folder


def write(file: Path, document: Any) -> None:
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def environment(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Variables with which `python` and imports are those of the copy at `folder`."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": binaries, "PYTHONPATH": str(folder), **variables}


def run(folder: Path, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the project's copy at `folder`, as a user would in its folder (or in `cwd`)."""
    return execute(folder, "-m", *arguments, cwd=cwd, **variables)


def execute(
    folder: Path, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python on the project's copy at `folder`, in its folder (or in `cwd`)."""
    env = environment(folder, variables)
    command, quiet = [sys.executable, *arguments], subprocess.DEVNULL
    return subprocess.run(command, cwd=cwd or folder, env=env, capture_output=True, text=True, stdin=quiet)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Python in the project's copy, its output thrown away."""
    quiet = subprocess.DEVNULL
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment(folder, {}), stdout=quiet, stderr=quiet, stdin=quiet)
