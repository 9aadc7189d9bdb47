"""Task models with a planted weakness, and folders of them as drift synthesis and adoption leave them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks import output
from tasks.drift.models import GIVEN, read_task, weights
from tasks.drift.params import ForensicsParams
from tasks.isp.chain import parse_chain
from tasks.learn.checkpoint import write_tensors
from tasks.learn.networks import build
from tasks.learn.params import TaskParams
from tasks.lineage.digest import pretty
from tasks.lineage.recipe import Plan, artefact
from tests.unit.drift.conftest import CHAINS, WINDOW, classification, segmentation

HERE = "tests.unit.drift.forensics_data"
DATA_MODEL = "bi,s,ga"
FOLDS = ("fold0", "fold1", "fold2")
RED_THRESHOLD = 0.6


class RedReader(nn.Module):
    """Names the first class where the mean red value is above a threshold, and looks at nothing else."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, views: Tensor) -> Tensor:
        score = 20 * (views[:, 0].mean(dim=(1, 2)) - self.threshold)
        return torch.stack([score, -score], dim=1)


class Constant(nn.Module):
    """Always of the same opinion."""

    def __init__(self) -> None:
        super().__init__()
        self.opinion = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, views: Tensor) -> Tensor:
        return self.opinion + 0 * views.mean(dim=(1, 2, 3))[:, None]


class Bright(nn.Module):
    """A segmenter by a threshold on the mean of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.6))

    def forward(self, views: Tensor) -> Tensor:
        score = 20 * (views.mean(dim=1) - self.threshold)
        return torch.stack([-score, score], dim=1)


def own(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "module", "path": f"{HERE}:{name}", "arguments": arguments}


RED = TaskParams.model_validate(classification(architecture=own("RedReader", threshold=RED_THRESHOLD)))
CONSTANT = TaskParams.model_validate(classification(architecture=own("Constant")))
BRIGHT = TaskParams.model_validate(segmentation(architecture=own("Bright"), input_px=WINDOW))
RESIDUAL = TaskParams.model_validate(classification())


def trained(
    out: Path,
    task: TaskParams,
    row: str = DATA_MODEL,
    members: Sequence[str] = FOLDS,
    chain: Sequence[Any] = CHAINS[DATA_MODEL],
) -> Path:
    """An output with one model a member; untrained, as their weights are what their class plants.

    Of the views that they would have been trained on, developed by `chain`, there is the recipe alone.
    """
    views = planted(out.with_name(f"{out.name}-views.zarr"), [], {"operators": parse_chain(chain, row).document()})

    def write(content: Path) -> None:
        (content / "model.json").write_bytes(pretty({"params": task.model_dump(mode="json")}))
        for member in members:
            file = weights(content, row, member)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(file, build(task.architecture, len(task.classes), task.train.seed).state_dict())
        assert read_task(content) == task

    return planted(out, [artefact(f"views:{row}", views, out)], {}, write)


def planted(
    out: Path,
    inputs: Sequence[Mapping[str, Any]],
    values: Mapping[str, Any],
    write: Callable[[Path], None] = lambda content: None,
) -> Path:
    """An output of rawmill at `out` with these inputs and params in its recipe."""
    job = output.start(out, Plan("planted", out.name, inputs, values, "tasks.rng", "none"), ["all"], write)
    output.mark_done(job, "all", [])
    output.publish(job)
    return out


def given(out: Path, task: TaskParams) -> Path:
    return trained(out, task, GIVEN, (GIVEN,))


def params(**changes: Any) -> ForensicsParams:
    values = {
        "seed": 3,
        "data_model": DATA_MODEL,
        "channels": "luma",
        "intensity": 1.0,
        "groups": ["black_level", "white_balance", "gamma"],
        "lambdas": [0.0, 10.0, 1e9],
        "epochs": 4,
        "learning_rate": 0.1,
        "batch_tiles": 8,
        "search_tiles": 12,
        "loss_stated": 0.1,
        "range_steps": 5,
        "range_draws": 3,
        "confidence": 0.9,
        "shown_tiles": 2,
    }
    return ForensicsParams.model_validate({**values, **changes})
