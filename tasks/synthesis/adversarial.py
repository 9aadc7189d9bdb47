"""A discriminator of patches for the autoencoder: hinge losses and feature matching.

MONAI's `PatchDiscriminator` (Isola et al., CVPR 2017; Wang et al., "pix2pixHD", CVPR 2018) with instance
normalisation, which keeps no running statistics: what it says of a picture depends on its weights and that picture
alone, so that parts of a batch, processes and resumed runs agree. Hinge losses as in Lim and Ye 2017.
"""

import torch
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
from torch import Tensor, nn
from torch.nn import functional

from tasks.learn.determinism import seeded
from tasks.synthesis import networks
from tasks.synthesis.params import AdversarialParams


def discriminator(params: AdversarialParams, seed: int) -> nn.Module:
    """A network that gives its layers' outputs for pictures (n, 3, y, x); the last, (n, 1, ...), is high for real."""
    with seeded(0):
        made = PatchDiscriminator(2, params.channels, 3, num_layers_d=params.layers, norm="INSTANCE")
    networks.initialise(made, seed)
    return made


def score(network: nn.Module, back: Tensor, pictures: Tensor, params: AdversarialParams) -> Tensor:
    """What the autoencoder minimises, a scalar: -mean D(back) + feature_weight * L1 between D's features.

    Features are compared layer by layer, each by its mean, with those of `pictures`, which give no gradient.
    """
    *features, verdict = network(back)
    found: Tensor = -verdict.float().mean()
    if params.feature_weight:
        with torch.no_grad():
            wanted = network(pictures)[:-1]
        apart = [functional.l1_loss(a.float(), b.float()) for a, b in zip(features, wanted, strict=True)]
        found = found + params.feature_weight * torch.stack(apart).mean()
    return found


def loss(network: nn.Module, back: Tensor, pictures: Tensor) -> Tensor:
    """What the discriminator minimises, a scalar: (mean max(0, 1 - D(pictures)) + mean max(0, 1 + D(back))) / 2."""
    real, made = (network(shown)[-1].float() for shown in (pictures, back.detach()))
    found: Tensor = (functional.relu(1 - real).mean() + functional.relu(1 + made).mean()) / 2
    return found
