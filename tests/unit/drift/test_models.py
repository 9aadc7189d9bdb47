"""Which tiles a model is judged and searched on: never those that it was trained on, never both at once."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks.drift import models
from tasks.errors import InputError, LineageError
from tasks.learn.checkpoint import write_tensors
from tasks.learn.networks import build
from tests.unit.drift.test_mosaics import task


def rows(groups: int) -> pd.DataFrame:
    """Two tiles a group; group 0 is for testing, the others go round three folds."""
    entries = []
    for group in range(groups):
        where = {"split": "test", "fold": -1} if group == 0 else {"split": "train", "fold": group % 3}
        entries += [{"tile_id": f"g{group}-{k}", "group": f"g{group}", **where} for k in range(2)]
    return pd.DataFrame(entries)


def test_a_fold_is_scored_on_its_own_groups_and_on_the_test_groups() -> None:
    table = rows(7)
    assert models.members_of(table) == ("fold0", "fold1", "fold2")
    found = models.scored_rows(table, "fold1")
    assert {role: sorted(set(table["group"][at])) for role, at in found.items()} == {
        "validation": ["g1", "g4"],
        "test": ["g0"],
    }


def test_every_training_tile_is_scored_by_one_fold_alone() -> None:
    table = rows(7)
    seen = [i for member in models.members_of(table) for i in models.scored_rows(table, member)["validation"]]
    assert sorted(seen) == list(range(2, 14))


@pytest.mark.parametrize("member", ["fold0", "fold2", models.GIVEN])
def test_weaknesses_are_confirmed_on_other_groups_than_searched(member: str) -> None:
    table = rows(7)
    found = {role: set(table["group"][at]) for role, at in models.searched_rows(table, member).items()}
    assert set(found) == {"search", "cut", "confirm"} and all(found.values())
    assert sum(len(names) for names in found.values()) == len(set.union(*found.values())) == 7


def test_a_given_model_needs_two_groups() -> None:
    with pytest.raises(InputError, match="1 group; expected two or more"):
        models.searched_rows(rows(1), models.GIVEN)


def test_a_stored_model_computes_what_it_did(tmp_path: Path) -> None:
    params = task()
    network = build(params.architecture, 2, 9).eval()
    (tmp_path / "model.json").write_text(json.dumps({"params": {**params.model_dump(mode="json"), "intensity": 1.0}}))
    models.weights(tmp_path, "bi,s,ga", "fold0").parent.mkdir(parents=True)
    write_tensors(models.weights(tmp_path, "bi,s,ga", "fold0"), network.state_dict())
    assert models.members(tmp_path, "bi,s,ga") == ("fold0",)
    again = models.read_network(tmp_path, "bi,s,ga", "fold0")
    views = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(views), network(views))
    assert not any(p.requires_grad for p in again.parameters())


@pytest.mark.parametrize(("text", "wrong"), [("", "not a model description"), ('{"params": 3}', "not a model")])
def test_a_broken_description_is_named(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(LineageError, match=wrong):
        models.read_task(tmp_path)


def test_a_row_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no model ma,s,me"):
        models.members(tmp_path, "ma,s,me")


def test_params_of_a_stage_hold_the_task(tmp_path: Path) -> None:
    values: dict[str, Any] = {**task().model_dump(mode="json"), "variant": "bi,s,me"}
    (tmp_path / "model.json").write_text(json.dumps({"params": values}))
    assert models.read_task(tmp_path) == task()
