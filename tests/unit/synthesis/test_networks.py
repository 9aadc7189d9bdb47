"""Attention is PyTorch's fused one, with the heads that the params say."""

from pathlib import Path

import pytest
import torch
from monai.networks.blocks.selfattention import SABlock
from torch.nn import functional

from tasks.params import load
from tasks.rng import normal
from tasks.synthesis import networks
from tasks.synthesis.params import DenoiserArchitecture, DenoiserParams


def denoiser(heads):
    shape = DenoiserArchitecture(
        channels=(16, 32, 64), attention=(False, True, True), blocks_per_level=1, norm_groups=4, head_channels=8,
        heads=heads,
    )  # fmt: skip
    made = networks.denoiser(shape, 3, 2)
    networks.initialise(made, 1)
    return made.eval()


def passed(made):
    z, condition = (torch.from_numpy(normal((2, c, 16, 16), 1, "z", "x")) for c in (3, 2))
    return made(z, condition, torch.tensor([3, 50]))


@pytest.mark.parametrize(("heads", "expected"), [(4, {64: 4, 16: 4}), (None, {64: 4, 16: 8})])
def test_every_attention_layer_calls_the_fused_kernel_with_its_heads(monkeypatch, heads, expected):
    """Two levels with one block down and two up, and the middle: 7 layers, at 8 x 8 and 4 x 4."""
    made, calls = denoiser(heads), []
    fused = functional.scaled_dot_product_attention

    def counted(query, *rest, **options):
        calls.append(tuple(query.shape))
        return fused(query, *rest, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    assert passed(made).shape == (2, 3, 16, 16)
    assert len(calls) == 7 and {shape[-1] for shape in calls} == {8}
    assert {shape[2]: shape[1] for shape in calls} == expected


def test_at_paper_scale_attention_has_four_heads_of_32_at_sides_32_16_and_8():
    """Thesis A, table 5.1; built on the meta device, without memory."""
    params = load(Path(__file__).parents[3] / "params" / "paper.yaml", "train.denoiser", DenoiserParams)
    with torch.device("meta"):
        made = networks.denoiser(params.architecture, 4, 7)
        sides = []
        for block in made.modules():
            if isinstance(block, SABlock):
                assert (block.num_heads, block.dim_head, block.use_flash_attention) == (4, 32, True)
                block.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[1] ** 0.5))
        z, condition = (torch.zeros(1, channels, 64, 64) for channels in (4, 7))
        assert made(z, condition, torch.zeros(1, dtype=torch.long)).shape == (1, 4, 64, 64)
    assert set(sides) == {32, 16, 8}
    assert (params.fit.batch, params.fit.steps, params.diffusion.timesteps, params.p_unconditional) == (
        128, 250000, 1000, 0.5,
    )  # fmt: skip


def test_the_fused_kernel_is_attention():
    """softmax(q k^T / sqrt(d)) v, written out, in the place of the kernel."""
    made = denoiser(4)
    with torch.no_grad():
        made.net.out[-1].conv.weight.fill_(0.01)
    fused = passed(made).detach()

    def written_out(query, key, value, attn_mask, scale, dropout_p, is_causal):
        assert attn_mask is None and not dropout_p and not is_causal
        return torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, -1) @ value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "scaled_dot_product_attention", written_out)
        plain = passed(made).detach()
    assert bool(fused.abs().max() > 1e-3) and torch.allclose(fused, plain, atol=1e-5)


def test_the_autoencoders_forward_pass_is_its_two_halves(autoencoder_params):
    made = networks.autoencoder(autoencoder_params.architecture)
    networks.initialise(made, 1)
    shown, noise = (torch.from_numpy(normal(s, 1, "p", "x")) for s in ((2, 3, 16, 16), (2, 3, 4, 4)))
    back, mean, sigma = made(shown, noise)
    assert torch.equal(mean, made.encode(shown)[0]) and torch.equal(sigma, made.encode(shown)[1])
    assert torch.equal(back, made.decode(mean + sigma * noise))
