"""What the training steps share: where a job's inputs lie, and the files of a model folder beside its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tasks.contracts import Record
from tasks.lineage.digest import pretty
from tasks.output import Job, facts, publish
from tasks.synthesis.networks import WEIGHTS

ITEM = "weights"
"""A training run is one item."""


def input_path(job: Job, role: str) -> Path:
    """Where the input of `role` lies. Raises KeyError where the plan has none."""
    for entry in job.plan["inputs"]:
        if entry["role"] == role:
            return job.out.parent / str(entry["path"])
    raise KeyError(role)


def checkpoint(job: Job) -> Path:
    return job.staging / "checkpoint" / "state.safetensors"


def cache(job: Job, name: str) -> Path:
    return job.staging / "cache" / f"{name}.npy"


def write_tables(
    job: Job, metrics: Mapping[str, float], curve: Sequence[tuple[int, float]], tiles: pd.DataFrame
) -> list[Path]:
    """Write `metrics.json`, `history.csv` and `tiles.parquet` below the content; returns their paths."""
    files = [job.content / name for name in ("metrics.json", "history.csv", "tiles.parquet")]
    files[0].write_bytes(pretty(dict(metrics)))
    history = pd.DataFrame(
        [(0, step, "loss", value) for step, value in curve], columns=["fold", "step", "metric", "value"]
    )
    history.to_csv(files[1], index=False, float_format="%.9g", lineterminator="\n")
    tiles.to_parquet(files[2], index=False)
    return files


def publish_model(job: Job, shown: Sequence[str]) -> Record:
    """Publish the model folder with its metrics, its loss curve and the figures `shown`. Raises `StoreError`."""
    found = facts(job, [ITEM])[ITEM]
    curves = {"loss": tuple((int(step), float(value)) for step, value in found["curve"])}
    return publish(job, found["metrics"], curves, figures=shown, models=(WEIGHTS,))
