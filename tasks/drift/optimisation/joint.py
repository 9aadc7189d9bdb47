"""The task model with the data model before it: what is trained together, and how theta is kept sane."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tasks.isp.parametrised import GROUPS, Parametrised
from tasks.learn.networks import CHANNELS, Standardised
from tasks.learn.params import TrainParams

EPS = 1e-12
"""Of the batch norm. PyTorch's 1e-5 would squash raw values at low intensity, whose variance is less than that."""

BOUNDS = {"gamma": (0.25, 8.0), "white_balance": (0.01, 100.0)}
"""Theta is clamped to these after each step: a gamma at 0 has no value, and a gain below 0 clips its channel to 0,
where no gradient brings it back. The other groups are linear and stay finite; Adam's steps bound their pace."""


class Joint(nn.Module):
    """Logits of views (n, 3, y, x); theta, where it is learned, is held in `data_model`.

    Between both stands a batch norm without weights, as in the published ParametrizedProcessing (thesis A, A.1); but
    it is settled before each look, for its running averages would lag behind a data model that moves.
    The source of the training tiles develops them with `data_model`, so that the views it gives carry gradients.
    """

    def __init__(self, task: Standardised, data_model: Parametrised | None) -> None:
        super().__init__()
        self.task = task
        self.data_model = data_model
        self.normalised = nn.BatchNorm2d(CHANNELS, eps=EPS, affine=False)

    def settle(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        """Set the statistics that evaluation mode goes by to those of the training views as they are now.

        Training is not touched: it goes by each batch's own.
        """
        for buffer, values in (
            (self.normalised.running_mean, mean),
            (self.normalised.running_var, [s * s for s in sd]),
        ):
            assert buffer is not None
            buffer.copy_(torch.tensor(values, dtype=buffer.dtype))

    def forward(self, views: Tensor) -> Tensor:
        logits: Tensor = self.task(self.normalised(views))
        return logits

    def task_state(self) -> dict[str, Tensor]:
        """Weights of the task model alone, the batch norm folded into its standardisation: a network of
        `tasks.learn.networks.build` with them gives these logits in evaluation mode."""
        norm, state = self.normalised, dict(self.task.state_dict())
        assert norm.running_mean is not None
        assert norm.running_var is not None
        sd = (norm.running_var + EPS).sqrt().view_as(self.task.sd)
        state["mean"] = norm.running_mean.view_as(self.task.mean) + sd * self.task.mean
        state["sd"] = sd * self.task.sd
        return state


def theta_of(data_model: Parametrised) -> dict[str, Tensor]:
    """All of theta by group, detached."""
    return {name: data_model.get_parameter(name).detach().clone() for name in GROUPS}


def adam(model: Joint, params: TrainParams, data_model_learning_rate: float) -> torch.optim.Adam:
    """Adam on the task model and, at a rate of its own and without weight decay, on what of theta is free.

    Decay would pull the colour matrix and the filters to 0, which means nothing there.
    """
    rate = {"lr": params.learning_rate, "weight_decay": params.weight_decay}
    groups: list[dict[str, Any]] = [{"params": list(model.task.parameters()), **rate}]
    free = [p for p in model.data_model.parameters() if p.requires_grad] if model.data_model is not None else []
    if free:
        groups.append({"params": free, "lr": data_model_learning_rate, "weight_decay": 0.0})
    optimiser = torch.optim.Adam(groups, lr=params.learning_rate)
    optimiser.register_step_post_hook(lambda *_: _keep_sane(model))
    return optimiser


def _keep_sane(model: Joint) -> None:
    if model.data_model is None:
        return
    with torch.no_grad():
        for name, (low, high) in BOUNDS.items():
            theta = model.data_model.get_parameter(name)
            if theta.requires_grad:
                theta.clamp_(low, high)
