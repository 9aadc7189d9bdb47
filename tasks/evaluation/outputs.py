"""What the three steps of this domain share: inputs found again from a plan, tables and histories written."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tasks.evaluation.training import Row
from tasks.output import Job


def input_path(job: Job, role: str) -> Path:
    """Where the input `role` of the job's plan lies; the plan holds it relative to the folder of the output."""
    (entry,) = [e for e in job.plan["inputs"] if e["role"] == role]
    return Path(job.out.parent / entry["path"])


def write_history(path: Path, rows: Sequence[Row]) -> Path:
    """history.csv (docs/data-model.md): fold 0, step, metric, value."""
    frame = pd.DataFrame(rows, columns=["step", "metric", "value"])
    frame.insert(0, "fold", 0)
    frame.to_csv(path, index=False, lineterminator="\n")
    return path


def write_roles(path: Path, tiles: pd.DataFrame) -> Path:
    """tiles.parquet of a model: the very tiles that made its weights, all with role `train` and fold 0."""
    pd.DataFrame({"tile_id": tiles["tile_id"], "role": "train", "fold": 0}).to_parquet(path, index=False)
    return path


def curves(rows: Sequence[Row]) -> dict[str, tuple[tuple[int, float], ...]]:
    """History as Record curves."""
    names = sorted({name for _, name, _ in rows})
    return {n: tuple((step, value) for step, name, value in rows if name == n) for n in names}
