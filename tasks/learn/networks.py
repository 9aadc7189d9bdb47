"""Networks by name. All take views (n, 3, y, x) float32 in [0, 1] and give logits, class axis second.

A network carries its own input standardisation as buffers, so that weights alone say what it computes.
"""

import importlib
import itertools
from collections.abc import Sequence

import torch
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from tasks.errors import ParamsError, fault
from tasks.learn.determinism import device_of, seeded
from tasks.learn.params import ArchitectureParams, ModuleParams, ResNet18Params, TaskParams, UNetPlusPlusParams

CHANNELS = 3


class Standardised(nn.Module):
    """`network` on views whose channels are shifted and scaled by the buffers `mean` and `sd` (1, c, 1, 1)."""

    mean: Tensor
    sd: Tensor

    def __init__(self, network: nn.Module, channels: int = CHANNELS, own: bool = False) -> None:
        super().__init__()
        self.network = network
        self.own = own
        """Whether it is the user's: it may draw random numbers in training, which rawmill's networks do not."""
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("sd", torch.ones(1, channels, 1, 1))

    def measure(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        """Set the standardisation from a training set's channel means and standard deviations.

        A channel without variation is only shifted.
        """
        self.mean.copy_(torch.tensor(mean, dtype=torch.float32).view_as(self.mean))
        self.sd.copy_(torch.tensor([s if s > 0 else 1.0 for s in sd], dtype=torch.float32).view_as(self.sd))

    def forward(self, views: Tensor) -> Tensor:
        """Logits of `views`; of a network with several heads, the last one's."""
        out = self.network((views - self.mean) / self.sd)
        logits: Tensor = out[-1] if isinstance(out, list) else out
        return logits


def _resnet18(params: ResNet18Params, classes: int) -> nn.Module:
    """With 64..512 planes and 9 classes: 11,181,129 weights, the "approximately 11.2 million" of thesis A, 3.2.3."""
    return ResNet(
        "basic",
        [2, 2, 2, 2],
        list(params.inplanes),
        spatial_dims=2,
        n_input_channels=CHANNELS,
        conv1_t_size=7,
        conv1_t_stride=2,
        num_classes=classes,
        bias_downsample=False,
    )


def _unet_plus_plus(params: UNetPlusPlusParams, classes: int) -> nn.Module:
    return BasicUNetPlusPlus(spatial_dims=2, in_channels=CHANNELS, out_channels=classes, features=params.features)


def _own(params: ModuleParams) -> nn.Module:
    """The network that a user's callable returns. Raises `ParamsError` where there is none."""
    place, _, name = params.path.partition(":")
    try:
        made = getattr(importlib.import_module(place), name)(**params.arguments)
    except Exception as error:  # whatever a user's own code may raise
        remedy = "mend the path (is its folder on PYTHONPATH?), the arguments or the code"
        wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ParamsError(fault(params.path, wrong, "a callable that returns a torch module", remedy)) from None
    if not isinstance(made, nn.Module):
        raise ParamsError(fault(params.path, f"gave a {type(made).__name__}", "a torch module", "return one"))
    return made


def where(model: nn.Module) -> torch.device:
    """The device that `model` lies on; the CPU of one without parameters or buffers."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def network_of(params: TaskParams) -> Standardised:
    """The network of a task model, with initial weights, on its device. Raises as `build` and `device_of`."""
    return build(params.architecture, len(params.classes), params.train.seed).to(device_of(params.device))


def build(architecture: ArchitectureParams, classes: int, seed: int) -> Standardised:
    """The network that `architecture` names, with initial weights that depend on `seed` alone.

    Logits are (n, classes) for a classifier and (n, classes, y, x) for a segmenter, whose sides must be
    multiples of 16. Torch's global generator is left as it was. Raises `ParamsError` where a user's own network
    cannot be had.
    """
    with seeded(seed):
        if isinstance(architecture, ModuleParams):
            return Standardised(_own(architecture), own=True)
        if isinstance(architecture, ResNet18Params):
            return Standardised(_resnet18(architecture, classes))
        return Standardised(_unet_plus_plus(architecture, classes))
