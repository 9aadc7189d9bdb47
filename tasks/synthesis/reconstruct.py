"""What the autoencoder is trained to do: give pictures back; where params say so, also to an encoder and to a judge.

    loss = reconstruction (`autoencoder.loss`) + perceptual.weight * distance + adversarial.weight * score

The last term counts from its start step on, from which on the discriminator is trained in turn (Rombach et al., CVPR
2022, appendix G; their weights are those of params/paper.yaml, without their adaptive factor).
"""

from pathlib import Path

import torch
from torch import Tensor

from tasks.synthesis import adversarial, autoencoder, networks, perceptual
from tasks.synthesis.optimise import Adversary, Batch, Objective
from tasks.synthesis.params import AutoencoderParams
from tasks.synthesis.tiles import Windows


def objective(
    network: networks.Autoencoder,
    pictures: Windows,
    params: AutoencoderParams,
    encoder: Path | None,
    device: torch.device,
) -> Objective:
    """The loss of `network` on `pictures`; `encoder` is the folder of the perceptual term's, if it has a weight."""
    distance = perceptual.load(encoder).to(device) if encoder else None
    against = _adversary(network, params)

    def loss(batch: Batch, step: int) -> Tensor:
        shown, noise = batch
        back, mean, sigma = network(shown, noise)
        total = autoencoder.loss(back, mean, sigma, shown, params.kl_weight, params.gradient_weight)
        if distance:
            total = total + params.perceptual.weight * distance(back, shown)
        if against and step >= against.start:
            score = adversarial.score(against.network, back, shown, params.adversarial)
            total = total + params.adversarial.weight * score
        return total

    return Objective(
        lambda step, rows: autoencoder.batch(pictures, params, step, rows), loss, against, pictures.cache_bytes
    )


def _adversary(network: networks.Autoencoder, params: AutoencoderParams) -> Adversary | None:
    about = params.adversarial
    if not about.weight:
        return None
    judge = adversarial.discriminator(about, params.seed)

    def loss(batch: Batch, step: int) -> Tensor:
        shown, noise = batch
        with torch.no_grad():
            back = network(shown, noise)[0]
        return adversarial.loss(judge, back, shown)

    return Adversary(judge, loss, about.start_step, about.learning_rate)
