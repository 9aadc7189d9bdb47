"""A user's weights are adopted whole and strictly, or refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.drift import adopt, models
from tasks.errors import InputError, LineageError, ParamsError
from tasks.learn.networks import build
from tasks.learn.params import ModuleParams, TaskParams
from tasks.lineage import recipe
from tasks.output import alone

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, classes=3, spatial=False, wrong=False):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, classes, 1)
        self.spatial, self.wrong = spatial, wrong

    def forward(self, views):
        out = self.head(self.norm(self.first(views)).relu())
        if self.wrong:
            raise RuntimeError("shapes do not\\nfit")
        return out if self.spatial else out.mean((2, 3))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.Linear(3, 3, bias=False)
        self.again = nn.Linear(3, 3, bias=False)
        self.again.weight = self.network.weight

    def forward(self, views):
        return self.again(self.network(views.mean((2, 3))))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user's module `my_nets_of_<test>`, importable from its folder."""
    name = f"my_nets_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return __import__(name)


def params(nets: Any, task: str = "classification", made: str = "Net", **arguments: Any) -> TaskParams:
    classes = ("A", "B", "C")
    values = {
        "task": task,
        "classes": classes,
        "window_px": None,
        "input_px": 16,
        "device": "cpu",
        "architecture": {"name": "module", "path": f"{nets.__name__}:{made}", "arguments": arguments},
        "train": {"seed": 3, "learning_rate": 0.1, "weight_decay": 0.0, "batch_tiles": 2, "epochs": 1},
        "loss": {"cross_entropy": 1.0, "dice": 0.0},
        "augment": {"flips": False, "quarter_turns": False, "brightness_fraction": 0, "contrast_fraction": 0},
        "confidence": 0.95,
    }
    return TaskParams.model_validate(values)


def trained(nets: Any, seed: int = 1, **arguments: Any) -> torch.nn.Module:
    """A network with weights of its own, its running statistics included."""
    g = torch.Generator().manual_seed(seed)
    net = nets.Net(**arguments)
    with torch.no_grad():
        for tensor in (*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())):
            tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.1)
    return net.eval()


def adopted(file: Path, wanted: TaskParams, out: Path) -> Path:
    job = adopt.prepare(file, out, wanted, "again")
    with alone(job):
        for item in job.items:
            adopt.process(job, item)
        return adopt.finish(job).path


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_what_is_adopted_computes_what_the_user_s_network_does(nets: Any, tmp_path: Path, task: str) -> None:
    spatial = task == "segmentation"
    net, file = trained(nets, spatial=spatial), tmp_path / "mine.safetensors"
    save_file(net.state_dict(), file)
    out = adopted(file, params(nets, task, spatial=spatial), tmp_path / "out" / "model")
    views = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    assert models.members(out, models.GIVEN) == (models.GIVEN,)
    assert torch.equal(models.read_network(out, models.GIVEN, models.GIVEN)(views), net(views))


def test_the_record_names_the_weights_and_the_code_of_the_network(nets: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(trained(nets).state_dict(), file)
    out = adopted(file, params(nets), tmp_path / "out" / "model")
    inputs = {entry["role"]: entry["path"] for entry in recipe.read(out)["inputs"]}
    assert inputs == {"weights": "../mine.safetensors", "architecture": f"../{nets.__name__}.py"}
    assert json.loads((out / "model.json").read_bytes())["params"]["architecture"]["path"] == f"{nets.__name__}:Net"


def test_an_edited_network_is_adopted_anew(nets: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(trained(nets).state_dict(), file)

    def key() -> str:
        return adopt.prepare(file, tmp_path / "model", params(nets), "again").key

    before = key()
    assert key() == before
    Path(nets.__file__).write_text(SOURCE + "# another\n")
    assert key() != before


def test_rawmills_own_weights_are_adopted_with_their_standardisation(tmp_path: Path, nets: Any) -> None:
    values = params(nets).model_dump() | {"architecture": {"name": "resnet18", "inplanes": [4, 4, 4, 4]}}
    wanted = TaskParams.model_validate(values)
    model = build(wanted.architecture, 3, 8)
    model.measure([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    save_file(model.state_dict(), tmp_path / "fold0.safetensors")
    out = adopted(tmp_path / "fold0.safetensors", wanted, tmp_path / "model")
    found = models.read_network(out, models.GIVEN, models.GIVEN).state_dict()
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


def test_tied_tensors_and_a_submodule_called_network_are_no_trouble(nets: Any, tmp_path: Path) -> None:
    file, weight = tmp_path / "tied.safetensors", torch.eye(3) * 2
    save_file({"network.weight": weight}, file)
    out = adopted(file, params(nets, made="Tied"), tmp_path / "model")
    logits = models.read_network(out, models.GIVEN, models.GIVEN)(torch.ones(1, 3, 16, 16))
    assert torch.equal(logits, torch.full((1, 3), 4.0))


def test_weights_that_do_not_fit_are_named(nets: Any, tmp_path: Path) -> None:
    whole = trained(nets).state_dict()
    less = {name: tensor for name, tensor in whole.items() if name != "head.bias"}
    cases = {
        "has no tensor head.bias (1 missing, 0 unknown)": less,
        "tensor tail.bias, which the network does not have (1 such)": {**whole, "tail.bias": torch.zeros(1)},
        "head.weight of shape (3, 9, 1, 1)": {**whole, "head.weight": torch.zeros(3, 9, 1, 1)},
    }
    for words, tensors in cases.items():
        save_file(tensors, tmp_path / "mine.safetensors")
        with pytest.raises(InputError) as caught:
            adopted(tmp_path / "mine.safetensors", params(nets), tmp_path / "model")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("old", [False, True])
def test_pickled_weights_are_never_opened(nets: Any, tmp_path: Path, old: bool) -> None:
    file = tmp_path / "mine.pt"
    torch.save(trained(nets).state_dict(), file, _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError, match=r"mine\.pt: pickled weights.*safetensors\.torch\.save_file"):
        adopt.prepare(file, tmp_path / "model", params(nets), "again")


def test_a_header_that_begins_as_a_pickle_does_is_read_all_the_same(nets: Any, tmp_path: Path) -> None:
    """Length 640 of the header stands there as 80 02, which is how a pickle of protocol 2 begins."""
    file, tensors = tmp_path / "mine.safetensors", trained(nets).state_dict()
    for length in range(1, 700):
        save_file(tensors, file, metadata={"note": "x" * length})
        if file.read_bytes()[:2] == b"\x80\x02" or file.read_bytes()[:1] == b"\x80":
            break
    assert file.read_bytes()[:1] == b"\x80"
    assert adopted(file, params(nets), tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 64])
def test_what_is_no_safetensors_is_refused(nets: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"mine\.safetensors: .*expected safetensors"):
        adopt.prepare(tmp_path / "mine.safetensors", tmp_path / "model", params(nets), "again")
    with pytest.raises(InputError, match=r"none\.safetensors: not there"):
        adopt.prepare(tmp_path / "none.safetensors", tmp_path / "model", params(nets), "again")


def test_networks_that_answer_otherwise_are_refused(nets: Any, tmp_path: Path) -> None:
    cases = [
        ("classification", {"spatial": True}, "gave (2, 3, 16, 16)"),
        ("segmentation", {}, "gave (2, 3)"),
        ("classification", {"classes": 5}, "gave (2, 5)"),
        ("classification", {"wrong": True}, "shapes do not fit"),
    ]
    for task, arguments, words in cases:
        file = tmp_path / "mine.safetensors"
        save_file(trained(nets, **arguments).state_dict(), file)
        with pytest.raises(ParamsError) as caught:
            adopted(file, params(nets, task, **arguments), tmp_path / "model")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


class Elsewhere(torch.nn.Module):
    """Says no to views that lie on another device than its one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(1, device="meta"))

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        if views.device != self.weight.device:
            raise RuntimeError(f"views on {views.device}")
        return torch.zeros(len(views), 3)


def test_views_are_tried_where_the_network_lies(nets: Any) -> None:
    """They reach the end of `forward`: only that no gradient can come from there is wrong."""
    with pytest.raises(ParamsError, match="differentiable") as caught:
        adopt.check_logits(Elsewhere(), params(nets))
    assert "views on" not in str(caught.value)


class Reads(torch.nn.Module):
    """Logits of what `read` makes of views (n, 3, y, x)."""

    def __init__(self, read: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.head, self.read = torch.nn.Linear(3, 3), read

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.read(views).mean((2, 3)))
        return logits


BLIND = {
    "detached": (lambda views: views.detach(), "do not depend on the views by any gradient"),
    "rounded": (lambda views: views.round(), "a gradient that is 0 all over"),
    "steep": (lambda views: (views - views.detach()).sqrt() + 1, "a gradient that is not finite"),
}


@pytest.mark.parametrize("name", BLIND)
def test_networks_that_forensics_cannot_descend_are_refused(nets: Any, name: str) -> None:
    read, words = BLIND[name]
    with pytest.raises(ParamsError) as caught:
        adopt.check_logits(Reads(read), params(nets))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "keep the network differentiable in its input" in str(caught.value)


def test_classes_that_share_a_whole_are_no_missing_gradient(nets: Any) -> None:
    shared = torch.nn.Sequential(Reads(lambda views: views), torch.nn.Softmax(1))
    adopt.check_logits(shared, params(nets))
    assert all(weight.grad is None for weight in shared.parameters())


@pytest.mark.parametrize("refused", [1, 3])
def test_networks_that_take_batches_of_one_length_alone_are_refused(nets: Any, refused: int) -> None:
    def read(views: torch.Tensor) -> torch.Tensor:
        if len(views) == refused:
            raise KeyError(f"no {refused}\nviews")
        return views

    with pytest.raises(ParamsError, match=rf"KeyError: .*no {refused}.*views \({refused}, 3, 16, 16\)") as caught:
        adopt.check_logits(Reads(read), params(nets))
    assert "\n" not in str(caught.value)


FAULTY = {
    "def make(:\n": "SyntaxError",
    "raise ValueError('no such\\nsetting')\n": "ValueError: no such setting",
    "def make():\n    return {}['width']\n": "KeyError: 'width'",
    "def make():\n    raise ValueError('too wide')\n": "ValueError: too wide",
}


@pytest.mark.parametrize("source", FAULTY)
def test_faults_of_a_users_code_are_told_in_one_line(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"faulty_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ParamsError) as caught:
        build(ModuleParams(name="module", path=f"{name}:make", arguments={}), 2, 0)
    assert FAULTY[source] in str(caught.value) and "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(nets: Any, tmp_path: Path) -> None:
    tensors = {name: t * float("nan") if t.is_floating_point() else t for name, t in trained(nets).state_dict().items()}
    save_file(tensors, tmp_path / "mine.safetensors")
    with pytest.raises(ParamsError, match="not finite"):
        adopted(tmp_path / "mine.safetensors", params(nets), tmp_path / "model")


def test_weights_that_change_after_the_plan_are_noticed(nets: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(trained(nets).state_dict(), file)
    job = adopt.prepare(file, tmp_path / "model", params(nets), "again")
    save_file(trained(nets, seed=2).state_dict(), file)
    with alone(job), pytest.raises(LineageError, match="changed meanwhile"):
        adopt.process(job, "given")


def test_a_module_that_is_not_there_is_a_wrong_option(nets: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(trained(nets).state_dict(), file)
    values = params(nets).model_dump()
    values["architecture"]["path"] = "no_such_module:make"
    with pytest.raises(ParamsError, match=r"no_such_module.*PYTHONPATH"):
        adopt.prepare(file, tmp_path / "model", TaskParams.model_validate(values), "again")
