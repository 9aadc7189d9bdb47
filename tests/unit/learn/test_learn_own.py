"""A user's own network by import path, and the window of a tile that a network sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.errors import InputError, ParamsError
from tasks.learn import checkpoint, data
from tasks.learn.losses import cross_entropy
from tasks.learn.networks import build, network_of, where
from tasks.learn.params import LearnParams, ModuleParams, TrainParams
from tasks.learn.train import fit
from tasks.params import parse


class MeanColour(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, views: Tensor) -> Tensor:
        out: Tensor = self.head(views.mean(dim=(2, 3)))
        return out


def make(classes: int) -> nn.Module:
    return MeanColour(classes)


def number(classes: int) -> int:
    return classes


def module(path: str, **arguments: int) -> ModuleParams:
    return ModuleParams(name="module", path=path, arguments=arguments)


def test_a_network_of_ones_own_is_built_from_its_path_and_the_seed() -> None:
    one, same, other = (build(module(f"{__name__}:make", classes=3), 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["network.head.weight"], other["network.head.weight"])


@pytest.mark.parametrize(
    ("path", "arguments", "wrong"),
    [
        ("nowhere.at_all:make", {}, "No module named 'nowhere'"),
        (f"{__name__}:missing", {}, "has no attribute 'missing'"),
        (f"{__name__}:make", {"sides": 2}, "unexpected keyword argument 'sides'"),
        (f"{__name__}:number", {"classes": 2}, "gave a int; expected a torch module"),
    ],
)
def test_what_is_no_network_is_named(path: str, arguments: dict[str, int], wrong: str) -> None:
    with pytest.raises(ParamsError, match=wrong):
        build(module(path, **arguments), 2, 0)


@pytest.mark.parametrize("path", ["make", "a b:make", "a:make()", "a:b.c"])
def test_a_path_is_a_module_and_a_name(classification: LearnParams, path: str) -> None:
    own = {"name": "module", "path": path, "arguments": {}}
    with pytest.raises(ParamsError, match="path"):
        parse(LearnParams, {**classification.model_dump(mode="json"), "architecture": own}, "params.yaml")


@pytest.mark.parametrize(
    ("side", "window", "first"), [(32, None, 0), (32, 32, 0), (32, 16, 8), (32, 18, 6), (33, 8, 12)]
)
def test_the_window_is_the_middle_from_an_even_place_on(side: int, window: int | None, first: int) -> None:
    found = data.window_of(side, window)
    assert (found.start, found.stop) == (first, first + (window or side))
    assert abs((found.start + found.stop) / 2 - side / 2) <= 1.5


def test_a_network_sees_the_window_alone(crops: Path, tmp_path: Path, classification: LearnParams) -> None:
    params = parse(LearnParams, {**classification.model_dump(mode="json"), "window_px": 16, "input_px": 8}, "test")
    table = data.read_table(crops, params)
    seen = data.load(crops, None, table, params, tmp_path / "views.npy").views[3]
    whole = data.read_view(crops, next(table.iloc[[3]].itertuples(index=False)), 1 / 65535)
    np.testing.assert_allclose(seen, whole[:, 8:24, 8:24].reshape(3, 8, 2, 8, 2).mean(axis=(2, 4)), atol=1e-6)
    with pytest.raises(InputError, match="tiles of 32 px; expected 40 px or more"):
        large = parse(LearnParams, {**params.model_dump(mode="json"), "window_px": 40}, "test")
        data.load(crops, None, table, large, tmp_path / "other.npy")


def test_a_segmentation_has_no_window(segmentation: LearnParams) -> None:
    with pytest.raises(ParamsError, match="a window is for classification"):
        parse(LearnParams, {**segmentation.model_dump(mode="json"), "window_px": 16}, "params.yaml")


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_own_networks_do_both_tasks(task: str, request: pytest.FixtureRequest) -> None:
    params: LearnParams = request.getfixturevalue(task)
    own = {"name": "module", "path": f"{__name__}:make", "arguments": {"classes": 2}}
    found = parse(LearnParams, {**params.model_dump(mode="json"), "architecture": own}, "params.yaml")
    assert found.architecture == module(f"{__name__}:make", classes=2)


def test_a_gpu_that_is_not_there_is_asked_for_in_vain(
    classification: LearnParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = parse(LearnParams, {**classification.model_dump(mode="json"), "device": "cuda"}, "test")
    with pytest.raises(ParamsError, match="no GPU that this PyTorch can use; expected one; write device: cpu"):
        network_of(params)


def test_a_model_says_where_it_lies() -> None:
    assert where(nn.Linear(2, 2, device="meta")).type == "meta"
    assert where(nn.ReLU()).type == "cpu"
    assert where(nn.BatchNorm1d(2, affine=False, device="meta")).type == "meta", "it has buffers alone"


class Drops(MeanColour):
    def forward(self, views: Tensor) -> Tensor:
        out: Tensor = self.head(nn.functional.dropout(views.mean(dim=(2, 3)), 0.5, self.training))
        return out


def drops(classes: int) -> nn.Module:
    return Drops(classes)


class Greys:
    """Tiles of one grey each."""

    def __len__(self) -> int:
        return 12

    def batch(self, indices: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        grey = torch.from_numpy(indices).float() / 12
        return grey[:, None, None, None].expand(-1, 3, 8, 8), torch.from_numpy(indices % 3)


def trained(place: Path, epochs: int, disturb: int) -> dict[str, Tensor]:
    model = build(module(f"{__name__}:drops", classes=3), 3, 1)
    torch.manual_seed(disturb)
    params = TrainParams(seed=4, learning_rate=0.1, weight_decay=0.0, batch_tiles=4, epochs=epochs)
    torch.rand(disturb)
    fit(model, Greys(), cross_entropy, params, "drops", place)
    return model.state_dict()


def test_what_a_network_drops_depends_on_the_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, other = trained(tmp_path / "a", 4, 1), trained(tmp_path / "b", 4, 99)
    assert all(torch.equal(whole[key], other[key]) for key in whole)
    real, saved = checkpoint.save, []

    def killed(*arguments: Any) -> None:
        real(*arguments)
        saved.append(arguments)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "c", 4, 5)
    again = trained(tmp_path / "c", 4, 7)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
