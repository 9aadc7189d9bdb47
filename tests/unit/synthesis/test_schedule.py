"""Schedules and the DDIM step against closed forms and the papers' stated end points."""

import itertools
import math

import numpy as np
import pytest
import torch

from tasks.synthesis.schedule import Step, add_noise, at, betas, ddim, ddim_steps, epsilon_of, retained


@pytest.mark.parametrize("timesteps", [100, 1000])
@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine"])
def test_retained_power_falls_from_one_towards_zero(name, timesteps):
    a = retained(name, timesteps)
    assert (np.diff(a) < 0).all() and 0.99 < a[0] < 1 and 0 < a[-1] < 0.01


def test_betas_at_the_ends_are_the_papers():
    assert betas("linear", 1000)[[0, -1]] == pytest.approx([1e-4, 0.02])
    assert betas("scaled_linear", 1000)[[0, -1]] == pytest.approx([8.5e-4, 0.012])
    assert betas("cosine", 1000).max() == 0.999
    with pytest.raises(ValueError, match="unknown schedule"):
        betas("quadratic", 10)


def test_cosine_is_nichol_and_dhariwals_curve():
    t = np.arange(1, 900)
    curve = np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 / math.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert retained("cosine", 1000)[t - 1] == pytest.approx(curve, rel=1e-9)


def test_steps_start_at_the_last_timestep_and_end_without_noise():
    a = retained("cosine", 100)
    steps = ddim_steps(a, 9)
    assert len(steps) == 9 and steps[0].t == 99 and steps[-1].a_next == 1.0
    assert all(before.a_next == after.a for before, after in itertools.pairwise(steps))
    assert [s.t for s in ddim_steps(a, 3)] == [99, 66, 33]
    for count in (0, 101):
        with pytest.raises(ValueError, match="sampling steps"):
            ddim_steps(a, count)


def test_the_true_noise_leads_back_to_the_data_in_one_step():
    z0, noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, 4, 4)
    z = add_noise(z0, noise, torch.tensor([0.3, 0.3]))
    assert torch.allclose(ddim(z, noise, Step(5, 0.3, 1.0)), z0, atol=1e-6)
    halfway = ddim(z, noise, Step(5, 0.3, 0.6))
    assert torch.allclose(halfway, add_noise(z0, noise, torch.tensor([0.6, 0.6])), atol=1e-6)


def test_velocity_and_epsilon_agree_on_the_truth():
    z0, noise = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)), torch.full((2, 1, 3, 3), 0.5)
    a = at(np.array([0.9, 0.4]), np.array([0, 1]))
    z = add_noise(z0, noise, a)
    powers = a.view(-1, 1, 1, 1)
    velocity = powers.sqrt() * noise - (1 - powers).sqrt() * z0
    assert torch.allclose(epsilon_of(velocity, z, a, "velocity"), noise, atol=1e-6)
    assert torch.equal(epsilon_of(noise, z, a, "epsilon"), noise)
