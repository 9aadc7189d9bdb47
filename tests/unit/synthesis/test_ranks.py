"""Two gloo processes on the CPU: the weights of one with the same batch, exact resume, one line where one dies."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from tasks.errors import ParamsError, StoreError
from tasks.rng import normal
from tasks.synthesis.optimise import Objective, fit_network
from tasks.synthesis.params import FitParams
from tasks.synthesis.ranks import Group, together

BATCH = 5


def work(argument, group):
    """Train a small network; `argument` is (checkpoint, processes, stop, who dies)."""
    path, processes, stop, dies = argument
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        for k, weight in enumerate(network.parameters()):
            weight.copy_(torch.from_numpy(0.4 * normal(tuple(weight.shape), 3, f"{k}", "initialise")))
    seen = []

    def draw(step, rows):
        return [torch.from_numpy(normal((BATCH, 5), 1, f"step/{step}", "x")[rows])]

    def loss(batch, step):
        if step == stop and group.rank == dies:
            os._exit(7) if dies else stop_here()
        seen.append(len(batch[0]))
        x = batch[0]
        return (network(x) - x.sum(1, keepdim=True)).pow(2).mean()

    fit = FitParams(
        batch=BATCH, accumulate=1, steps=8, max_learning_rate=1e-2, warmup_fraction=0.3, ema_decay=0.9,
        checkpoint_every_steps=3, precision="float32", compile=False, device="cpu", processes=processes,
    )  # fmt: skip
    run = fit_network(network, Objective(draw, loss), fit, Path(path), "run", group)
    Path(f"{path}.rank{group.rank}").write_text(f"{max(seen[1:])}")
    return run


def stop_here():
    raise KeyboardInterrupt


def test_two_processes_give_the_weights_of_one(tmp_path):
    """Float32 sums in another order: relative 1e-4 after 8 steps of Adam. The batch of 5 is shared as 2 and 3."""
    one = together(work, (str(tmp_path / "one"), 1, None, 0), 1, "cpu", tmp_path)
    two = together(work, (str(tmp_path / "two"), 2, None, 0), 2, "cpu", tmp_path)
    for name, value in one.network.state_dict().items():
        assert torch.allclose(value, two.network.state_dict()[name], rtol=1e-4, atol=1e-6)
        assert torch.allclose(one.average[name], two.average[name], rtol=1e-4, atol=1e-6)
    assert [v for _, v in two.curve] == pytest.approx([v for _, v in one.curve], rel=1e-4)
    shares = [(tmp_path / f"two.rank{rank}").read_text() for rank in (0, 1)]
    assert shares == ["2", "3"] and not list(tmp_path.glob("meeting*"))

    path = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        together(work, (str(path), 2, 5, 0), 2, "cpu", tmp_path)
    assert path.exists() and not list(tmp_path.glob("meeting*"))
    together(work, (str(path), 2, None, 0), 2, "cpu", tmp_path)
    assert path.read_bytes() == (tmp_path / "two").read_bytes()


def test_a_process_that_dies_ends_the_training_with_one_line(tmp_path):
    with pytest.raises(StoreError, match="resumes") as found:
        together(work, (str(tmp_path / "state"), 2, 4, 1), 2, "cpu", tmp_path)
    assert "\n" not in str(found.value) and (tmp_path / "state").exists()


def test_a_process_that_cannot_start_ends_it_too(tmp_path):
    with pytest.raises(StoreError, match="exit code 1"):
        together(work, Unreadable(), 2, "cpu", tmp_path)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.parametrize(("batch", "size"), [(128, 4), (5, 2), (7, 3), (3, 3)])
def test_shares_cover_a_batch_once_and_differ_by_one_at_most(batch, size):
    shares = [range(batch)[Group(rank, size).rows(batch)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 and min(map(len, shares)) >= 1


def test_a_worker_that_may_have_no_children_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    with pytest.raises(ParamsError, match="from within a worker"):
        together(work, (str(tmp_path / "state"), 2, None, 0), 2, "cpu", tmp_path)
