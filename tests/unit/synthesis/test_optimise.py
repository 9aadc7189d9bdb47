"""The training loop: PyTorch's own one-cycle law, exact resume, the average of the weights."""

import numpy as np
import pytest
import torch

from tasks.errors import StoreError
from tasks.rng import normal
from tasks.synthesis import networks
from tasks.synthesis.optimise import fit_network, one_cycle
from tasks.synthesis.params import FitParams

FIT = {"batch": 4, "max_learning_rate": 1e-2, "warmup_fraction": 0.3, "ema_decay": 0.9, "checkpoint_every_steps": 3}


def fit(steps):
    return FitParams(steps=steps, **FIT)


@pytest.mark.parametrize("steps", [10, 100])
def test_one_cycle_is_pytorchs(steps):
    params = torch.nn.Linear(1, 1).parameters()
    adam = torch.optim.SGD(params, lr=1.0)
    law = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=1e-2, total_steps=steps, pct_start=0.3)
    for step in range(steps):
        assert one_cycle(step, fit(steps)) == pytest.approx(law.get_last_lr()[0], rel=1e-6)
        adam.step()
        law.step()


def linear():
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1))
    networks.initialise(network, 3)
    return network


def loss_of(network, stop=None):
    def loss(step):
        if step == stop:
            raise KeyboardInterrupt
        x = torch.from_numpy(normal((4, 5), 1, f"step/{step}", "x"))
        return (network(x) - x.sum(1, keepdim=True)).pow(2).mean()

    return loss


@pytest.mark.parametrize("stop", [2, 3, 8])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, stop):
    first = linear()
    whole = fit_network(first, loss_of(first), fit(12), tmp_path / "a" / "state.safetensors", "whole")
    killed = linear()
    with pytest.raises(KeyboardInterrupt):
        fit_network(killed, loss_of(killed, stop), fit(12), tmp_path / "b" / "state.safetensors", "killed")
    assert (tmp_path / "b" / "state.safetensors").exists() == (stop >= 3)
    again = linear()
    resumed = fit_network(again, loss_of(again), fit(12), tmp_path / "b" / "state.safetensors", "resumed")
    assert (tmp_path / "a" / "state.safetensors").read_bytes() == (tmp_path / "b" / "state.safetensors").read_bytes()
    assert resumed.curve == whole.curve and len(whole.curve) == 12
    assert all(torch.equal(resumed.average[k], whole.average[k]) for k in whole.average)


def test_it_learns_and_the_average_follows(tmp_path):
    network = linear()
    run = fit_network(network, loss_of(network), fit(300), tmp_path / "state.safetensors", "run")
    assert np.mean([v for _, v in run.curve[-5:]]) < 0.1 * np.mean([v for _, v in run.curve[:5]])
    last = dict(network.state_dict())
    assert any(not torch.equal(run.average[k], last[k]) for k in last)
    assert all(torch.allclose(run.average[k], last[k], atol=0.05) for k in last)


def test_a_broken_checkpoint_is_one_clear_line(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"\x00" * 40)
    network = linear()
    with pytest.raises(StoreError, match="remove it to train from the start"):
        fit_network(network, loss_of(network), fit(3), path, "run")


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
