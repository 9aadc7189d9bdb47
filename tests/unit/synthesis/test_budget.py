"""The memory estimate: counted by hand for a small network, kept to, and refused before the first step."""

import logging

import pytest
import torch

from tasks.errors import ParamsError
from tasks.rng import normal
from tasks.synthesis import budget
from tasks.synthesis.optimise import Adversary, Objective, fit_network
from tasks.synthesis.params import FitParams

FIT = FitParams(
    batch=8, accumulate=1, steps=3, max_learning_rate=1e-2, warmup_fraction=0.4, ema_decay=0.9,
    checkpoint_every_steps=2, precision="float32", compile=False, device="cpu", processes=1,
)  # fmt: skip
WIDE = 10_000


def network():
    """12 weights; keeps (8 bytes in, 40 kB of the sigmoid) a row."""
    made = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Sigmoid())
    with torch.no_grad():
        for weight in made.parameters():
            weight.fill_(0.1)
    return made


def objective(made, seen, cache_bytes=0, adversary=None):
    def loss(batch, step):
        seen.append(len(batch[0]))
        return torch.sigmoid(made(batch[0])[:, :1].expand(-1, WIDE) * 2).mean()

    return Objective(
        lambda step, rows: [torch.from_numpy(normal((8, 2), 1, f"{step}", "x")[rows])], loss, adversary, cache_bytes
    )


def given(monkeypatch, free):
    monkeypatch.setattr(budget, "available_bytes", lambda: int(free))


ROW = budget.TRANSIENT * 4 * WIDE
STATE = budget.WORKSPACE + 20 * 12


def test_the_estimate_is_the_count_by_hand(tmp_path, monkeypatch, caplog):
    """20 bytes a weight; a row keeps one sigmoid of 10000 float32 beside a few bytes."""
    caplog.set_level(logging.INFO, "rawmill")
    given(monkeypatch, 2**40)
    seen, made = [], network()
    run = fit_network(made, objective(made, seen, cache_bytes=5 * 2**30), FIT, tmp_path / "state.st", "small")
    assert budget.state_bytes(run) == 20 * 12
    assert run.micro == 8 and seen == [1, 8, 8, 8]
    line = next(r.getMessage() for r in caplog.records if "needs about" in r.getMessage())
    assert "needs about 5.13 GiB" in line and "1024.00 GiB to be had" in line
    assert sum("needs about" in r.getMessage() for r in caplog.records) == 1
    assert not any(r.levelno >= logging.WARNING for r in caplog.records)
    kept = budget.kept_bytes(run, lambda: objective(made, seen).loss([torch.ones(1, 2)], 0), 2**40)
    assert 4 * WIDE <= kept <= 4 * WIDE + 100


def test_a_discriminators_weights_count_without_an_average(tmp_path, monkeypatch):
    given(monkeypatch, 2**40)
    made, judge = network(), torch.nn.Linear(9, 1)
    against = Adversary(judge, lambda batch, step: judge(torch.ones(1, 9)).mean(), 0, 1e-3)
    run = fit_network(made, objective(made, [], adversary=against), FIT, tmp_path / "state.st", "small")
    assert budget.state_bytes(run) == 20 * 12 + 16 * 10


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_what_does_not_fit_goes_in_smaller_parts_of_the_same_batch(tmp_path, monkeypatch, caplog, rows):
    whole, made, seen = network(), network(), []
    given(monkeypatch, 2**40)
    fit_network(whole, objective(whole, []), FIT, tmp_path / "whole.st", "small")
    given(monkeypatch, STATE + (rows + 0.5) * ROW)
    run = fit_network(made, objective(made, seen), FIT, tmp_path / "parts.st", "small")
    assert run.micro == rows and max(seen) == rows and sum(seen) == 1 + 3 * 8
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1 and f"{rows} at a time, the same batch by accumulation" in warnings[0]
    for a, b in zip(whole.parameters(), made.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize("free", [0, STATE, STATE + 0.5 * ROW])
def test_where_not_one_tile_fits_nothing_is_begun(tmp_path, monkeypatch, free):
    given(monkeypatch, free)
    made, seen = network(), []
    before = [w.clone() for w in made.parameters()]
    with pytest.raises(ParamsError, match="for one tile at a time") as found:
        fit_network(made, objective(made, seen), FIT, tmp_path / "state.st", "small")
    assert "\n" not in str(found.value) and len(seen) == 1 and not list(tmp_path.iterdir())
    assert all(torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))


def test_a_resumed_run_keeps_its_parts_though_more_would_fit_now(tmp_path, monkeypatch):
    made, seen = network(), []
    given(monkeypatch, STATE + 3.5 * ROW)
    fit_network(made, objective(made, seen), FIT.model_copy(update={"steps": 2}), tmp_path / "state.st", "small")
    given(monkeypatch, 2**40)
    again = network()
    run = fit_network(again, objective(again, seen), FIT, tmp_path / "state.st", "small")
    assert run.micro == 3 and seen[-3:] == [3, 3, 2]


def test_the_count_stops_before_memory_is_taken_that_is_not_there(tmp_path, monkeypatch):
    """A loss that would keep 4 GB a layer is left at the first layer that does not fit."""
    given(monkeypatch, STATE + ROW)
    made, layers = network(), []

    def loss(batch, step):
        value = made(batch[0]).mean()
        for _ in range(1000):
            layers.append(1)
            value = torch.sigmoid(value.expand(WIDE)).mean()
        return value

    deep = Objective(lambda step, rows: [torch.ones(8, 2)[rows]], loss)
    with pytest.raises(ParamsError, match="for one tile at a time"):
        fit_network(made, deep, FIT, tmp_path / "state.st", "small")
    assert len(layers) <= 3


class Keeping(torch.nn.Module):
    """60,000 weights, of which a row keeps little."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(2, 200), torch.nn.Linear(200, 300)
        self.seen = []

    def objective(self):
        def loss(batch, step):
            self.seen.append(len(batch[0]))
            return torch.sigmoid(self.last(self.first(batch[0]))[:, :1].expand(-1, WIDE) * 2).mean()

        return Objective(lambda step, rows: [torch.ones(8, 2)[rows]], loss)


def test_copies_of_weights_by_autocast_are_kept_once_and_not_by_every_row(tmp_path, monkeypatch):
    """Two bytes a weight, as many as three rows keep."""
    given(monkeypatch, 2**40)
    made = Keeping()
    run = fit_network(
        made, made.objective(), FIT.model_copy(update={"precision": "bfloat16"}), tmp_path / "state.st", "small"
    )

    def forward(rows):
        with torch.autocast("cpu", torch.bfloat16):
            return made.objective().loss([torch.ones(rows, 2)], 0)

    row, once = budget.row_bytes(run, forward, 2**40, cast=True)
    assert 2 * WIDE <= row <= 2 * WIDE + 2000
    assert 2 * 60_000 <= once <= 2 * 62_000
    assert made.seen[:5] == [1, 2, 8, 8, 8]
    assert budget.row_bytes(run, forward, row + once, cast=True) == (row + once, 0), "two rows do not fit"


def test_a_resumed_run_is_not_charged_for_what_it_holds(tmp_path, monkeypatch):
    """What is free is less by both moments then, and as many rows fit."""
    given(monkeypatch, 2**40)
    made = Keeping()
    whole = fit_network(made, made.objective(), FIT, tmp_path / "whole.st", "small")
    weights = sum(weight.numel() for weight in made.parameters())
    assert budget.held_bytes(whole) == 16 * weights + 4 * len(list(made.parameters()))
    row = budget.TRANSIENT * budget.kept_bytes(whole, lambda: made.objective().loss([torch.ones(1, 2)], 0), 2**40)
    free = budget.WORKSPACE + 12 * weights + 3.5 * row
    killed, again = Keeping(), Keeping()
    given(monkeypatch, free)
    fit_network(killed, killed.objective(), FIT.model_copy(update={"steps": 2}), tmp_path / "state.st", "small")
    given(monkeypatch, free - 8 * weights)
    fit_network(again, again.objective(), FIT, tmp_path / "state.st", "small")
    assert killed.seen == [1, 3, 3, 2, 3, 3, 2] and again.seen == [1, 3, 3, 2]


def test_a_term_that_begins_later_is_counted_from_the_start(tmp_path, monkeypatch):
    """From step 2 on a row keeps twice as much."""
    made, seen = network(), []
    inner = objective(made, seen)

    def loss(batch, step):
        return inner.loss(batch, step) + (inner.loss(batch, step) if step >= 2 else 0)

    given(monkeypatch, STATE + 2 * 3.5 * ROW)
    run = fit_network(made, Objective(inner.draw, loss), FIT, tmp_path / "state.st", "small")
    assert run.micro == 3
