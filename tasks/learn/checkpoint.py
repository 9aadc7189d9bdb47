"""Checkpoints of a training: weights and optimiser as safetensors, the rest as JSON; nothing is pickled.

Two files: `epoch-<n>.safetensors` and `latest.json`, which names it with its SHA-256. `latest.json` is replaced
in one step after the tensors are whole, so that a kill at any point leaves the old or the new checkpoint.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.optim import Optimizer

from tasks.disk import storage_faults
from tasks.errors import LineageError, fault
from tasks.lineage.digest import pretty, sha256_file

LATEST = "latest.json"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` as safetensors at `path`, in one step; the same tensors give the same bytes."""
    whole = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    with storage_faults(path):
        part = path.with_suffix(".part")
        part.write_bytes(to_bytes(whole))
        part.replace(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises `LineageError` where it is missing or not one."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        wrong = " ".join(str(error).split())
        raise LineageError(fault(path, wrong, "safetensors", "make the output again")) from None


def _flat(model: nn.Module, optimiser: Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    moments = {f"optimiser.{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}
    return {**{f"model.{k}": v for k, v in model.state_dict().items()}, **moments}


def save(place: Path, model: nn.Module, optimiser: Optimizer, epoch: int, facts: Mapping[str, Any]) -> None:
    """Store the state after `epoch` epochs in the folder `place`, with small `facts` that JSON can hold."""
    with storage_faults(place):
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"epoch-{epoch:05d}.safetensors"
        write_tensors(file, _flat(model, optimiser))
        part = place / "latest.part"
        part.write_bytes(pretty({"epoch": epoch, "file": file.name, "sha256": sha256_file(file), "facts": dict(facts)}))
        part.replace(place / LATEST)
        for old in place.glob("epoch-*.safetensors"):
            if old != file:
                old.unlink(missing_ok=True)


def resume(place: Path, model: nn.Module, optimiser: Optimizer) -> tuple[int, dict[str, Any]]:
    """Load the checkpoint in `place` into `model` and `optimiser`; returns (epochs done, facts), (0, {}) for none.

    Raises `LineageError` where the tensors are not those that `latest.json` names.
    """
    latest = place / LATEST
    if not latest.exists():
        return 0, {}
    try:
        document = json.loads(latest.read_bytes())
        file = place / Path(document["file"]).name
        found = sha256_file(file)
        epoch, facts, wanted = int(document["epoch"]), dict(document["facts"]), document["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LineageError(fault(latest, f"unreadable ({error})", "a checkpoint", f"delete {place}")) from None
    if found != wanted:
        raise LineageError(fault(file, f"SHA-256 {found}", wanted, f"delete {place} and run again"))
    _load(model, optimiser, read_tensors(file))
    return epoch, facts


def _load(model: nn.Module, optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
