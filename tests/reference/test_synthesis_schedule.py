"""Schedules and the DDIM step against MONAI's, an independent implementation."""

import numpy as np
import pytest
import torch
from monai.networks.schedulers import DDIMScheduler

from tasks.rng import normal
from tasks.synthesis.schedule import Step, at, ddim, epsilon_of, retained

ENDS = {"linear": (1e-4, 0.02), "scaled_linear": (8.5e-4, 0.012)}


def monai(schedule: str, prediction: str) -> DDIMScheduler:
    start, end = ENDS[schedule]
    name, kind = f"{schedule}_beta", {"epsilon": "epsilon", "velocity": "v_prediction"}[prediction]
    args = {"schedule": name, "beta_start": start, "beta_end": end, "prediction_type": kind}
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=True, **args)
    scheduler.set_timesteps(10)
    return scheduler


@pytest.mark.parametrize("schedule", list(ENDS))
def test_retained_power_is_monais(schedule: str) -> None:
    assert np.allclose(retained(schedule, 1000), monai(schedule, "epsilon").alphas_cumprod.numpy(), rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
@pytest.mark.parametrize("schedule", list(ENDS))
def test_a_whole_chain_is_monais_the_last_step_included(schedule: str, prediction: str) -> None:
    scheduler, a = monai(schedule, prediction), retained(schedule, 1000)
    ours = theirs = torch.from_numpy(normal((2, 3, 4, 4), 1, "chain", "start"))
    for t in (int(t) for t in scheduler.timesteps):
        output = torch.from_numpy(normal((2, 3, 4, 4), 1, "chain", f"output/{t}"))
        theirs, _ = scheduler.step(output, t, theirs)
        predicted = epsilon_of(output, ours, at(a, np.full(2, t)), prediction)
        ours = ddim(ours, predicted, Step(t, float(a[t]), float(a[t - 100]) if t >= 100 else 1.0))
        assert torch.allclose(ours, theirs, rtol=2e-4, atol=2e-4)
