"""Schedules and steps against MONAI's, an independent implementation, and DPM-Solver++ as its paper writes it."""

import math

import numpy as np
import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, RFlowScheduler

from tasks.rng import normal
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.schedule import Process, advance, clean_of, forward_process, plan_steps, retained

ENDS = {"linear": (1e-4, 0.02), "scaled_linear": (8.5e-4, 0.012)}
SHAPE = (2, 3, 4, 4)


def monai(schedule: str, prediction: str) -> DDIMScheduler:
    start, end = ENDS[schedule]
    name, kind = f"{schedule}_beta", {"epsilon": "epsilon", "velocity": "v_prediction"}[prediction]
    args = {"schedule": name, "beta_start": start, "beta_end": end, "prediction_type": kind}
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=True, **args)
    scheduler.set_timesteps(10)
    return scheduler


def ours(schedule: str, prediction: str) -> Process:
    return forward_process(DiffusionParams(timesteps=1000, schedule=schedule, prediction=prediction))  # type: ignore[arg-type]


def output(t: int) -> torch.Tensor:
    return torch.from_numpy(normal(SHAPE, 1, "chain", f"output/{t}"))


def clean(process: Process, z: torch.Tensor, t: int) -> torch.Tensor:
    return clean_of(output(t), z, *process.at(np.full(2, t)), process.prediction)


@pytest.mark.parametrize("schedule", list(ENDS))
def test_retained_power_is_monais(schedule: str) -> None:
    assert np.allclose(retained(schedule, 1000), monai(schedule, "epsilon").alphas_cumprod.numpy(), rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
@pytest.mark.parametrize("schedule", list(ENDS))
def test_a_whole_chain_is_monais_the_last_step_included(schedule: str, prediction: str) -> None:
    scheduler, process = monai(schedule, prediction), ours(schedule, prediction)
    kept = process.signal**2
    steps = scheduler.timesteps.tolist()
    mine = theirs = torch.from_numpy(normal(SHAPE, 1, "chain", "start"))
    for t in steps:
        theirs, _ = scheduler.step(output(t), t, theirs)
        here = Process(process.signal[t % 100 : t + 1 : 100], process.noise[t % 100 : t + 1 : 100], prediction)
        step = plan_steps(here, len(here.signal), "ddim", 0.0)[0]  # from t to t - 100, or to no noise at all
        mine = advance(mine, clean(process, mine, t), None, None, step)
        assert torch.allclose(mine, theirs, rtol=2e-4, atol=2e-4)
    assert steps[-1] == 0 and kept[0] < 1


def test_ddim_of_a_flow_is_eulers_step_of_monais_rectified_flow() -> None:
    scheduler = RFlowScheduler(num_train_timesteps=1000, use_discrete_timesteps=False)
    scheduler.set_timesteps(5)
    process = ours("flow", "flow")
    mine = theirs = torch.from_numpy(normal(SHAPE, 1, "chain", "start"))
    steps = plan_steps(process, 5, "ddim", 0.0)
    times = [1000 * float(process.noise[s.t]) for s in steps] + [0.0]
    for k, step in enumerate(steps):
        # MONAI's layer is the velocity towards the data, z_0 - eps.
        theirs, _ = scheduler.step(-output(step.t), times[k], theirs, times[k + 1])
        mine = advance(mine, clean(process, mine, step.t), None, None, step)
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_dpm_solver_is_algorithm_2_of_its_paper() -> None:
    """Lu et al. 2022, "DPM-Solver++", algorithm 2, in float64 and in lambda; first order in the last step."""
    process = ours("cosine", "velocity")
    steps = plan_steps(process, 6, "dpm_solver_pp", 0.0)
    alpha = [float(process.signal[s.t]) for s in steps] + [1.0]
    sigma = [float(process.noise[s.t]) for s in steps] + [0.0]
    lam = [math.log(a / s) for a, s in zip(alpha[:-1], sigma[:-1], strict=True)]
    mine = torch.from_numpy(normal(SHAPE, 1, "chain", "start"))
    theirs, before, mine_before = mine.double(), None, None
    for i, step in enumerate(steps):
        x0 = clean(process, theirs.float(), step.t).double()
        if i + 1 < len(steps):
            h = lam[i + 1] - lam[i]
            d = x0
            if before is not None:
                r = (lam[i] - lam[i - 1]) / h
                d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before
            theirs = sigma[i + 1] / sigma[i] * theirs - alpha[i + 1] * math.expm1(-h) * d
        else:
            theirs = x0
        found = clean(process, mine, step.t)
        mine, mine_before, before = advance(mine, found, mine_before, None, step), found, x0
        assert torch.allclose(mine.double(), theirs, rtol=1e-3, atol=1e-3)
