"""Trained task models on disk: which there are below an output, what they are, which tiles they have not seen.

Layout, of drift synthesis and of an adopted model alike: `model.json` with the task's params, and
`models/<row>/<member>.safetensors`. A row is a data model and its members are folds; or row and member are `given`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from torch import nn

from tasks.errors import InputError, LineageError, fault
from tasks.learn.checkpoint import read_tensors
from tasks.learn.data import folds_of, roles
from tasks.learn.networks import network_of
from tasks.learn.params import TaskParams
from tasks.params import parse

GIVEN = "given"
TaskPart = dict[str, list[int]]


def weights(folder: Path, row: str, member: str) -> Path:
    return folder / "models" / row / f"{member}.safetensors"


def members(folder: Path, row: str) -> tuple[str, ...]:
    """The models of a row. Raises `LineageError` where there is none."""
    found = tuple(sorted(file.stem for file in (folder / "models" / row).glob("*.safetensors")))
    if not found:
        raise LineageError(fault(folder, f"no model {row}", "one of its rows", "make the output again"))
    return found


def read_task(folder: Path) -> TaskParams:
    """The task's params in `model.json`. Raises `LineageError` where it is missing or broken."""
    file = folder / "model.json"
    try:
        values = dict(json.loads(file.read_bytes())["params"])
    except (OSError, ValueError, KeyError, TypeError):
        raise LineageError(fault(file, "not a model description", "JSON of rawmill", "make the output again")) from None
    return parse(TaskParams, {key: values[key] for key in TaskParams.model_fields if key in values}, file)


def read_network(folder: Path, row: str, member: str) -> nn.Module:
    """A model in evaluation mode, its weights frozen. Checks no recipe."""
    params = read_task(folder)
    model = network_of(params)
    model.load_state_dict(read_tensors(weights(folder, row, member)))
    return model.eval().requires_grad_(False)


def scored_rows(table: pd.DataFrame, member: str) -> TaskPart:
    """Row numbers that a model is scored on, by role: of a fold its own groups as `validation` and those of no fold
    as `test`; of a given model every tile as `validation`."""
    if member == GIVEN:
        return {"validation": list(range(len(table))), "test": []}
    found = roles(table, int(member.removeprefix("fold")))
    return {role: found[role] for role in ("validation", "test")}


def searched_rows(table: pd.DataFrame, member: str) -> TaskPart:
    """Row numbers to `search` weaknesses with and to `confirm` them on, of different groups.

    Of a fold what it was trained on, and all else; of a given model every other group. Raises `InputError` where a
    given model has tiles of one group alone.
    """
    if member == GIVEN:
        return _alternate(table["group"].to_list())
    found = roles(table, int(member.removeprefix("fold")))
    return {"search": found["train"], "confirm": sorted([*found["validation"], *found["test"]])}


def _alternate(groups: Sequence[str]) -> TaskPart:
    names = sorted(set(groups))
    if len(names) < 2:
        remedy = "bring tiles of another smear, frame or slide"
        raise InputError(fault("tiles.parquet", f"{len(names)} group", "two or more", remedy))
    searched = set(names[::2])
    where = {"search": [i for i, g in enumerate(groups) if g in searched]}
    return {**where, "confirm": [i for i, g in enumerate(groups) if g not in searched]}


def members_of(table: pd.DataFrame) -> tuple[str, ...]:
    """One a fold."""
    return tuple(f"fold{k}" for k in folds_of(table))
