"""Turns on a GPU, the settings there, and operations without a deterministic kernel: seen without a GPU."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from tasks.drift.forensics import step as forensics
from tasks.drift.optimisation import step as optimisation
from tasks.drift.synthesis import given
from tasks.drift.synthesis import step as synthesis
from tasks.learn import data, determinism, losses
from tasks.learn import step as learn
from tasks.learn.determinism import on_device, one_thread
from tasks.learn.params import LossParams

UNFIT = ("nll_loss2d", "adaptive_avg_pool2d", "scatter", "index_add", "gather", "upsample", "put", "bincount")
"""Of operations that raise, or add in any order, on a GPU in deterministic mode."""


def at_once(device: str, patience_s: float) -> int:
    """How many of four threads are inside together; each waits so long for the others."""
    inside, most, full, met, guard = 0, 0, threading.Barrier(4), threading.Barrier(4), threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        full.wait()
        with on_device(device):
            with guard:
                inside += 1
                most = max(most, inside)
            with suppress(threading.BrokenBarrierError):
                met.wait(patience_s)
            with guard:
                inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    return most


def test_on_a_gpu_one_piece_of_work_runs_at_a_time_and_elsewhere_all() -> None:
    assert at_once("cuda", 0.05) == 1
    assert at_once("cpu", 30) == at_once("meta", 30) == 4


def settings() -> tuple[bool, ...]:
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return (*strict, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)


def test_on_a_gpu_float32_is_float32_and_what_has_no_deterministic_kernel_warns() -> None:
    before = settings()
    with one_thread():
        with on_device("cuda"), on_device("cuda"), one_thread():
            assert settings() == (True, True, False, False)
        assert settings() == (True, False, *before[2:]), "the CPU's work stays strict"
    assert settings() == before


def test_a_failure_gives_the_gpu_back() -> None:
    with pytest.raises(KeyError), on_device("cuda"):
        raise KeyError
    assert at_once("cuda", 0.05) == 1 and not torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize("step", [learn, synthesis, given, forensics, optimisation])
def test_every_step_with_a_task_model_takes_its_turn(step: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(Exception):
        """Instead of the work itself."""

    @contextmanager
    def turn(device: str) -> Any:
        raise Taken(device)
        yield

    monkeypatch.setattr(step, "on_device", turn)
    with pytest.raises(Taken, match="cuda"):
        step.process(SimpleNamespace(plan={"notes": determinism.stated("cuda")}), "a/b")


def test_a_recipe_says_what_a_repetition_can_promise() -> None:
    assert determinism.stated("cpu")["tolerance"].startswith("exact")
    assert determinism.stated("cuda") == {"device": "cuda", "tolerance": determinism.TOLERANCES["cuda"]}
    with pytest.raises(KeyError):
        determinism.stated("tpu")


class Seen(TorchDispatchMode):
    """Names of the operations that are run, forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def seen(value_of: Callable[[Tensor], Tensor], at: Tensor) -> set[str]:
    with Seen() as mode:
        value_of(at.requires_grad_()).backward()  # type: ignore[no-untyped-call]
    return mode.names


def test_losses_and_resizing_use_no_operation_that_a_gpu_refuses() -> None:
    logits, truth = noise(2, 3, 6, 6), torch.ones(2, 6, 6, dtype=torch.int64)
    both = LossParams(cross_entropy=1.0, dice=1.0)
    used = seen(lambda x: losses.loss(both, x, truth), logits)
    used |= seen(lambda x: losses.mean_of_tiles(both, x, truth), logits.detach())
    used |= seen(lambda x: data.area_mean(x, 4).square().sum(), noise(2, 3, 6, 6))
    assert [name for name in used if any(word in name for word in UNFIT)] == []
    plain = seen(lambda x: functional.cross_entropy(x, truth), logits.detach())
    assert any("nll_loss2d" in name for name in plain), "or the net has holes"


def noise(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(
    ("side", "new"), [((8, 8), 4), ((9, 9), 9), ((13, 13), 5), ((10, 14), 7), ((5, 4), 8), ((3, 7), 1)]
)
def test_area_mean_and_its_gradient_are_adaptive_poolings(side: tuple[int, int], new: int) -> None:
    ours, theirs = (noise(4, 3, *side).double().requires_grad_() for _ in range(2))
    own, wanted = data.area_mean(ours, new), functional.adaptive_avg_pool2d(theirs, new)
    torch.testing.assert_close(own, wanted)
    weights = noise(*own.shape).double()
    for result in (own, wanted):
        (result * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_tiles_area_mean_does_not_depend_on_its_company() -> None:
    image = noise(17, 3, 37, 37)
    together = data.area_mean(image, 16)
    assert all(torch.equal(data.area_mean(image[i : i + 1], 16)[0], together[i]) for i in range(17))


def test_area_mean_of_whole_numbers_is_exact_so_that_ties_are_ties() -> None:
    mask = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (5, 1, 9, 9)).astype(np.float32))
    assert torch.equal(data.area_mean(mask, 3), mask.view(5, 1, 3, 3, 3, 3).sum(dim=(3, 5)) / 9)


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 6, 5)])
def test_cross_entropy_and_its_gradient_are_torchs(shape: tuple[int, ...]) -> None:
    truth = torch.from_numpy(np.random.default_rng(3).integers(0, 4, (shape[0], *shape[2:])))
    ours, theirs = (noise(*shape).double().requires_grad_() for _ in range(2))
    own, wanted = losses.cross_entropy(ours, truth), functional.cross_entropy(theirs, truth)
    torch.testing.assert_close(own, wanted)
    for value in (own, wanted):
        value.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_class_ruled_out_does_not_spoil_the_others_loss() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    value = losses.cross_entropy(logits, torch.tensor([0]))
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(np.log(2)) and bool(logits.grad.isfinite().all())


def test_the_mean_of_tiles_is_each_tiles_own_loss_and_the_pooled_one_is_not() -> None:
    params = LossParams(cross_entropy=1.0, dice=1.0)
    logits, truth = 3 * noise(4, 2, 5, 5), torch.zeros(4, 5, 5, dtype=torch.int64)
    truth[0], truth[1, :2] = 1, 1
    alone = [losses.loss(params, logits[i : i + 1], truth[i : i + 1]) for i in range(4)]
    found = losses.mean_of_tiles(params, logits, truth)
    torch.testing.assert_close(found, torch.stack(alone).mean())
    assert abs(float(found - losses.loss(params, logits, truth))) > 1e-2


def test_views_are_made_once_however_many_threads_ask(tmp_path: Path) -> None:
    made, together = [], threading.Barrier(6)

    def rows() -> list[np.ndarray]:
        made.append(threading.get_ident())
        return [np.full((3, 2, 2), i, np.float32) for i in range(5)]

    def ask(_: int) -> float:
        together.wait()
        return float(data.memory_map(tmp_path / "cache" / "views.npy", (5, 3, 2, 2), rows).sum())

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(6))) == {120.0}
    assert len(made) == 1
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["views.npy"]
