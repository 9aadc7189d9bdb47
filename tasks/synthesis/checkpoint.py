"""The state of a training run, and its one file: safetensors, replaced in one move; small state is in its header."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.disk import storage_faults
from tasks.errors import StoreError, fault

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Learner:
    """A network with its Adam."""

    network: nn.Module
    adam: torch.optim.Adam


def learner(network: nn.Module, rate: float) -> Learner:
    """A network with a fresh Adam, whose state stands beside its weights."""
    return Learner(network, torch.optim.Adam(network.parameters(), lr=rate, foreach=True))


@dataclass
class Run:
    """The state of a training run: all that a checkpoint holds."""

    learner: Learner
    average: dict[str, Tensor]
    opponent: Learner | None
    """The discriminator, where there is one."""
    scaler: torch.amp.GradScaler
    """Of float16's gradients; does nothing for the other precisions."""
    micro: int | None = None
    """Rows that go through the network at a time; what it is decides the last bits of a sum."""
    step: int = 0
    running: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.learner.network


def save(run: Run, path: Path) -> None:
    """Write the run. Raises `StoreError` where the disk will not have it."""
    tensors = _tensors(run.learner, "")
    tensors |= {f"average/{name}": value for name, value in run.average.items()}
    if run.opponent:
        tensors |= _tensors(run.opponent, "opponent/")
    kept = {"step": run.step, "running": run.running, "curve": run.curve, "micro": run.micro}
    state = json.dumps(kept | {"scaler": run.scaler.state_dict()})
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata={"state": state})
        part.replace(path)


def _tensors(learner: Learner, prefix: str) -> dict[str, Tensor]:
    tensors = {f"{prefix}weights/{name}": value for name, value in learner.network.state_dict().items()}
    for name, parameter in learner.network.named_parameters():
        if state := learner.adam.state[parameter]:
            tensors |= {f"{prefix}adam/{name}/{key}": state[key] for key in MOMENTS}
    return tensors


def restore(run: Run, path: Path) -> None:
    """Fill the run from its file. Raises `StoreError` for one that cannot be read or is of another network."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = json.loads(file.metadata()["state"])
        _fill(run.learner, tensors, "")
        if run.opponent:
            _fill(run.opponent, tensors, "opponent/")
        kept = _below(tensors, "average/")
        for name, value in run.average.items():
            value.copy_(kept[name])
        run.step, run.running, run.micro = int(state["step"]), float(state["running"]), int(state["micro"])
        run.curve = [(int(step), float(value)) for step, value in state["curve"]]
        if state["scaler"]:
            run.scaler.load_state_dict(state["scaler"])
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        wrong = " ".join(str(error).split())[:200]
        raise StoreError(fault(path, wrong, "a checkpoint of this run", "remove it to train from the start")) from None


def _fill(learner: Learner, tensors: dict[str, Tensor], prefix: str) -> None:
    learner.network.load_state_dict(_below(tensors, f"{prefix}weights/"))
    for name, parameter in learner.network.named_parameters():
        state = _below(tensors, f"{prefix}adam/{name}/")
        if state:  # an opponent that has not begun has none
            places = {key: "cpu" if key == "step" else parameter.device for key in MOMENTS}
            learner.adam.state[parameter] = {key: state[key].clone().to(places[key]) for key in MOMENTS}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
