"""Forward processes and linear steps against closed forms and the papers' stated end points."""

import itertools
import math

import numpy as np
import pytest
import torch

from tasks.errors import ParamsError
from tasks.params import parse
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.schedule import (
    Process,
    add_noise,
    advance,
    betas,
    clean_of,
    forward_process,
    noise_of,
    plan_steps,
    retained,
)


def forward(schedule, timesteps=100):
    prediction = "flow" if schedule == "flow" else "epsilon"
    return forward_process(DiffusionParams(timesteps=timesteps, schedule=schedule, prediction=prediction))


@pytest.mark.parametrize("timesteps", [100, 1000])
@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine"])
def test_retained_power_falls_from_one_towards_zero(name, timesteps):
    a = retained(name, timesteps)
    assert (np.diff(a) < 0).all() and 0.99 < a[0] < 1 and 0 < a[-1] < 0.01
    process = forward(name, timesteps)
    assert np.allclose(process.signal**2 + process.noise**2, 1) and np.allclose(process.signal**2, a)


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


def test_a_flow_is_the_straight_line_from_data_to_noise():
    process = forward("flow", 4)
    assert process.noise.tolist() == [0.25, 0.5, 0.75, 1.0] and process.signal.tolist() == [0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize(("schedule", "prediction"), [("flow", "epsilon"), ("cosine", "flow")])
def test_a_flow_has_its_own_prediction(schedule, prediction):
    values = {"timesteps": 10, "schedule": schedule, "prediction": prediction}
    with pytest.raises(ParamsError, match="flow goes with"):
        parse(DiffusionParams, values, "here")


@pytest.mark.parametrize("solver", ["ddim", "dpm_solver_pp"])
@pytest.mark.parametrize("schedule", ["cosine", "flow"])
def test_steps_start_at_the_last_timestep_and_end_without_noise(schedule, solver):
    process = forward(schedule)
    steps = plan_steps(process, 9, solver, 0.0)
    assert len(steps) == 9 and steps[0].t == 99 and (steps[-1].keep, steps[-1].clean) == (0, 1)
    assert steps[0].extrapolate == steps[-1].extrapolate == 0
    assert any(s.extrapolate for s in steps) == (solver == "dpm_solver_pp")
    assert [s.t for s in plan_steps(process, 3, solver, 0.0)] == [99, 66, 32]
    for count in (0, 101):
        with pytest.raises(ValueError, match="sampling steps"):
            plan_steps(process, count, solver, 0.0)


@pytest.mark.parametrize("schedule", ["linear", "flow"])
def test_the_true_data_lead_along_the_forward_process_to_themselves(schedule):
    process = forward(schedule)
    z0, noise = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1, 3, 4, 4)
    steps = plan_steps(process, 5, "ddim", 0.0)
    z = add_noise(z0, noise, *process.at(np.array([99])))
    for step, then in itertools.pairwise(steps):
        z = advance(z, z0, None, None, step)
        assert torch.allclose(z, add_noise(z0, noise, *process.at(np.array([then.t]))), atol=1e-5)
    assert torch.equal(advance(z, z0, None, None, steps[-1]), z0)


def test_full_eta_is_the_posterior_of_ddpm():
    """beta-tilde of Ho et al. 2020, eq. 7, between neighbouring timesteps."""
    process = forward("linear")
    a, b = retained("linear", 100), betas("linear", 100)
    steps = plan_steps(process, 100, "ddim", 1.0)
    for step in steps[:-1]:
        variance = (1 - a[step.t - 1]) / (1 - a[step.t]) * b[step.t]
        assert step.fresh == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert steps[-1].fresh == 0 and all(s.fresh == 0 for s in plan_steps(process, 10, "ddim", 0.0))


@pytest.mark.parametrize(
    ("prediction", "schedule", "layer"),
    [
        ("epsilon", "linear", lambda a, s, z0, n: n),
        ("velocity", "linear", lambda a, s, z0, n: a * n - s * z0),
        ("flow", "flow", lambda a, s, z0, n: n - z0),
    ],
)
def test_every_prediction_gives_back_data_and_noise(prediction, schedule, layer):
    z0, noise = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)), torch.full((2, 1, 3, 3), 0.5)
    alpha, sigma = forward(schedule).at(np.array([10, 60]))
    z = add_noise(z0, noise, alpha, sigma)
    output = layer(alpha, sigma, z0, noise)
    assert torch.allclose(clean_of(output, z, alpha, sigma, prediction), z0, atol=1e-4)
    assert torch.allclose(noise_of(output, z, alpha, sigma, prediction), noise, atol=1e-6)


def test_a_process_is_looked_up_by_timestep():
    alpha, sigma = Process(np.array([0.8, 0.6]), np.array([0.6, 0.8]), "epsilon").at(np.array([1, 0, 1]))
    assert alpha.shape == (3, 1, 1, 1) and alpha.dtype == torch.float32
    assert alpha.flatten().tolist() == pytest.approx([0.6, 0.8, 0.6])
    assert sigma.flatten().tolist() == pytest.approx([0.8, 0.6, 0.8])
