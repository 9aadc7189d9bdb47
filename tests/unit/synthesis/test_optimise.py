"""The training loop: PyTorch's own one-cycle law, exact resume, parts of a batch, precision, the average."""

import functools

import numpy as np
import pytest
import torch

from tasks.errors import ParamsError, StoreError
from tasks.rng import normal
from tasks.synthesis import networks
from tasks.synthesis.optimise import Adversary, Objective, fit_network, one_cycle
from tasks.synthesis.params import FitParams

FIT = {
    "batch": 4,
    "accumulate": 1,
    "steps": 12,
    "max_learning_rate": 1e-2,
    "warmup_fraction": 0.3,
    "ema_decay": 0.9,
    "checkpoint_every_steps": 3,
    "precision": "float32",
    "compile": False,
    "device": "cpu",
    "processes": 1,
}


def fit(steps=12, **changes):
    return FitParams(**{**FIT, "steps": steps, **changes})


@pytest.mark.parametrize("steps", [10, 100])
def test_one_cycle_is_pytorchs(steps):
    params = torch.nn.Linear(1, 1).parameters()
    adam = torch.optim.SGD(params, lr=1.0)
    law = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=1e-2, total_steps=steps, pct_start=0.3)
    for step in range(steps):
        assert one_cycle(step, fit(steps)) == pytest.approx(law.get_last_lr()[0], rel=1e-6)
        adam.step()
        law.step()


def linear(outputs=1, seed=3):
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.SiLU(), torch.nn.Linear(8, outputs))
    networks.initialise(network, seed)
    return network


def draw(step, rows):
    return [torch.from_numpy(normal((4, 5), 1, f"step/{step}", "x")[rows])]


def sums(network, stop=None):
    """Learn the sum of a row."""

    def loss(batch, step):
        if step == stop:
            raise KeyboardInterrupt
        x = batch[0]
        return (network(x) - x.sum(1, keepdim=True)).pow(2).mean()

    return Objective(draw, loss)


def against(network, stop=None):
    """The same beside a judge of (x, sum) that is trained in turn from step 2 on."""
    judge = torch.nn.Linear(6, 1)
    networks.initialise(judge, 9)

    def loss(batch, step):
        found = sums(network, stop).loss(batch, step)
        made = torch.cat([batch[0], network(batch[0])], 1)
        return found - 0.1 * judge(made).mean() if step >= 2 else found

    def judged(batch, step):
        x = batch[0]
        real, made = torch.cat([x, x.sum(1, keepdim=True)], 1), torch.cat([x, network(x).detach()], 1)
        return torch.relu(1 - judge(real)).mean() + torch.relu(1 + judge(made)).mean()

    return Objective(draw, loss, Adversary(judge, judged, 2, 1e-3))


@pytest.mark.parametrize("make", [sums, against])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"accumulate": 3}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("stop", [2, 3, 8])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, make, changes, stop):
    first, killed, again = (linear() for _ in range(3))
    files = [tmp_path / name / "state.safetensors" for name in "ab"]
    whole = fit_network(first, make(first), fit(**changes), files[0], "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_network(killed, make(killed, stop), fit(**changes), files[1], "killed")
    assert files[1].exists() == (stop >= 3)
    resumed = fit_network(again, make(again), fit(**changes), files[1], "resumed")
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.curve == whole.curve and len(whole.curve) == 12
    assert all(torch.equal(resumed.average[k], whole.average[k]) for k in whole.average)


def test_a_run_that_was_killed_behind_its_last_step_is_done(tmp_path):
    network = linear()
    path = tmp_path / "state.safetensors"
    whole = fit_network(network, sums(network), fit(), path, "whole")
    again = fit_network(linear(), sums(network, 12), fit(), path, "again")
    assert again.curve == whole.curve and again.step == 12


@pytest.mark.parametrize("make", [sums, against])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path, make, parts):
    """Batches of 4 in parts of 2, of 2 (the last is what is left) and of 1, against the whole."""
    runs = []
    for count in (1, parts):
        network = linear()
        seen = []
        objective = make(network)

        def loss(batch, step, inner=objective.loss, seen=seen):
            seen.append(len(batch[0]))
            return inner(batch, step)

        counted = Objective(draw, loss, objective.adversary)
        runs.append(fit_network(network, counted, fit(accumulate=count), tmp_path / f"{count}.st", "run"))
        assert max(seen[1:]) == -(-4 // count) and sum(seen[1:]) == 4 * 12
    for name, value in runs[0].network.state_dict().items():
        assert torch.allclose(value, runs[1].network.state_dict()[name], rtol=1e-4, atol=1e-6)
    assert np.allclose(runs[0].curve, runs[1].curve, rtol=1e-4)


def test_one_step_is_adams_on_the_mean_gradient(tmp_path):
    """A run of one step ends its cycle there: its learning rate is 1 / 250000 of the highest, here 0.01."""
    network, ours, asked = linear(), linear(), fit(1, accumulate=4, max_learning_rate=2500.0)
    before = [weight.detach().clone() for weight in ours.parameters()]
    fit_network(ours, sums(ours), asked, tmp_path / "state.safetensors", "run")
    assert all((a - b).abs().max() > 5e-3 for a, b in zip(before, ours.parameters(), strict=True))
    adam = torch.optim.Adam(network.parameters(), lr=one_cycle(0, asked))
    sums(network).loss(draw(0, slice(None)), 0).backward()
    adam.step()
    for a, b in zip(network.parameters(), ours.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_is_that_of_the_forward_pass_alone(tmp_path, precision):
    network, seen = linear(), []
    network[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run = fit_network(network, sums(network), fit(300, precision=precision), tmp_path / "state.st", "run")
    assert set(seen) == {getattr(torch, precision)}
    state = [*run.network.state_dict().values(), *run.average.values()]
    assert {value.dtype for value in state} == {torch.float32}
    assert np.mean([v for _, v in run.curve[-5:]]) < 0.1 * np.mean([v for _, v in run.curve[:5]])


def test_float16_resumes_with_its_loss_scale(tmp_path):
    runs = []
    for stop in (None, 7):
        network, path = linear(), tmp_path / f"{stop}.st"
        if stop:
            with pytest.raises(KeyboardInterrupt):
                fit_network(network, sums(network, stop), fit(precision="float16"), path, "killed")
            network = linear()
        fit_network(network, sums(network), fit(precision="float16"), path, "run")
        runs.append(path.read_bytes())
    assert runs[0] == runs[1] and b"_growth_tracker" in runs[0]


class Named(torch.nn.Module):
    """PyTorch compiles what is not its own."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_a_compiled_network_keeps_the_names_of_its_weights(tmp_path, monkeypatch):
    """By a backend that takes no C++ compiler: the forward pass goes through it, the checkpoint is the same."""
    made = []

    def backend(graph, inputs):
        made.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(torch.nn.Module.compile, backend=backend))
    files = []
    for compiled in (False, True):
        network = Named(linear())
        files.append(tmp_path / f"{compiled}.st")
        fit_network(network, sums(network), fit(compile=compiled), files[-1], "run")
        assert bool(made) == compiled
    torch._dynamo.reset()
    assert files[0].read_bytes() == files[1].read_bytes()


def test_it_learns_and_the_average_follows(tmp_path):
    network = linear()
    run = fit_network(network, sums(network), fit(300), tmp_path / "state.safetensors", "run")
    assert np.mean([v for _, v in run.curve[-5:]]) < 0.1 * np.mean([v for _, v in run.curve[:5]])
    last = dict(network.state_dict())
    assert any(not torch.equal(run.average[k], last[k]) for k in last)
    assert all(torch.allclose(run.average[k], last[k], atol=0.05) for k in last)


def test_the_average_is_that_of_the_weights_after_each_step(tmp_path):
    """a <- d a + (1 - d) w, d = min(decay, (1 + step) / (10 + step))."""
    network, seen = linear(), []

    def loss(batch, step):
        seen.append([value.detach().clone() for value in network.state_dict().values()])
        return sums(network).loss(batch, step)

    run = fit_network(network, Objective(draw, loss), fit(40, ema_decay=0.7), tmp_path / "state.st", "run")
    average, *after = [*seen[1:], list(network.state_dict().values())]  # the first call is the memory estimate's
    for step, weights in enumerate(after):
        decay = min(0.7, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    for a, b in zip(average, run.average.values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_judge_learns_in_its_turn_and_not_before(tmp_path):
    network = linear()
    objective = against(network)
    judge = objective.adversary.network
    before = {k: v.clone() for k, v in judge.state_dict().items()}
    fit_network(network, objective, fit(2), tmp_path / "a.st", "run")
    assert all(torch.equal(v, judge.state_dict()[k]) for k, v in before.items())
    fit_network(linear(), objective, fit(3), tmp_path / "b.st", "run")
    assert not torch.equal(before["weight"], judge.weight)


def test_a_loss_that_is_no_number_is_one_clear_line(tmp_path):
    network = linear()
    objective = Objective(draw, lambda batch, step: network(batch[0]).mean() / 0)
    with pytest.raises(ParamsError, match="lower max_learning_rate"):
        fit_network(network, objective, fit(), tmp_path / "state.st", "run")


def test_a_loss_that_is_no_number_behind_the_last_mean_is_refused_too(tmp_path):
    """101 steps have 50 means, of 2 steps each."""
    network = linear()
    objective = Objective(draw, lambda batch, step: network(batch[0]).mean() / (step < 100))
    with pytest.raises(ParamsError, match="step 101: a loss of"):
        fit_network(network, objective, fit(101), tmp_path / "state.st", "run")


def test_the_last_step_is_told_whatever_the_number_of_steps(tmp_path, caplog):
    caplog.set_level("INFO", "rawmill")
    network = linear()
    run = fit_network(network, sums(network), fit(101), tmp_path / "state.st", "run")
    assert "run: step 101 of 101, loss " in caplog.records[-1].getMessage() and run.curve[-1][0] == 100


def test_a_broken_checkpoint_is_one_clear_line(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"\x00" * 40)
    network = linear()
    with pytest.raises(StoreError, match="remove it to train from the start"):
        fit_network(network, sums(network), fit(3), path, "run")


def test_a_checkpoint_of_another_network_is_one_clear_line(tmp_path):
    path = tmp_path / "state.safetensors"
    network, other = linear(), linear(2)
    fit_network(network, sums(network), fit(3), path, "run")
    with pytest.raises(StoreError, match="size mismatch"):
        fit_network(other, sums(other), fit(), path, "run")


def test_more_parts_than_tiles_are_refused():
    with pytest.raises(ValueError, match="more than the batch's 4"):
        fit(accumulate=2, processes=3)


def test_initialisation_reads_no_global_state_and_keeps_zeros():
    networks_made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 1))
        torch.nn.init.zeros_(network[1].weight)
        torch.nn.init.zeros_(network[1].bias)
        networks.initialise(network, 5)
        networks_made.append(network.state_dict())
    assert all(torch.equal(networks_made[0][k], networks_made[1][k]) for k in networks_made[0])
    assert not networks_made[0]["1.weight"].any() and networks_made[0]["0.weight"].abs().max() <= 27**-0.5
