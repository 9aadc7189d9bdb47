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
    """Row numbers, of different groups each, to `search` weaknesses with, to `cut` the ranges that the search found,
    and to `confirm` what is left of them.

    Of a fold what it was trained on, its own groups, and the test groups; of a given model every third group. Where
    there are no groups for it, nothing is cut. Raises `InputError` where a given model has tiles of one group alone.
    """
    groups = table["group"].to_list()
    if member == GIVEN:
        return _of_given(groups)
    found = roles(table, int(member.removeprefix("fold")))
    held = {"cut": found["validation"], "confirm": found["test"]}
    if not found["test"]:
        confirm, cut = _dealt(groups, found["validation"], 2)
        held = {"cut": cut, "confirm": confirm}
    return {"search": found["train"], **held}


def _of_given(groups: Sequence[str]) -> TaskPart:
    if len(set(groups)) < 2:
        remedy = "bring tiles of another smear, frame or slide"
        raise InputError(fault("tiles.parquet", f"{len(set(groups))} group", "two or more", remedy))
    search, confirm, cut = _dealt(groups, range(len(groups)), 3)
    return {"search": search, "cut": cut, "confirm": confirm}


def _dealt(groups: Sequence[str], rows: Sequence[int], parts: int) -> list[list[int]]:
    """`rows` in `parts`, their groups dealt out in turn by name; the last parts are empty where groups are few."""
    names = sorted({groups[i] for i in rows})
    return [[i for i in rows if names.index(groups[i]) % parts == part] for part in range(parts)]


def members_of(table: pd.DataFrame) -> tuple[str, ...]:
    """One a fold."""
    return tuple(f"fold{k}" for k in folds_of(table))
