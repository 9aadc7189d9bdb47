"""Autoencoder kernels: ranges, the loss's closed forms, unit-variance latents, reproducible batches."""

import math

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import autoencoder, linear, networks
from tasks.synthesis.pictures import to_network, to_pictures


@pytest.fixture
def network(autoencoder_params):
    made = networks.autoencoder(autoencoder_params.architecture)
    networks.initialise(made, 1)
    return made.eval()


def pictures(count):
    return generator(1, "pictures", "values").integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_ranges_are_inverse_to_each_other():
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    seen = to_network(values)
    assert float(seen.min()) == -1 and float(seen.max()) == 1
    assert np.array_equal(to_pictures(seen.numpy()), values)
    assert to_pictures(np.array([-2.0, 2.0], np.float32)).tolist() == [0, 255]


def test_shapes_follow_the_factor(network, autoencoder_params):
    assert autoencoder_params.architecture.factor == 4
    mean, sigma = network.encode(to_network(pictures(2)))
    assert mean.shape == sigma.shape == (2, 3, 8, 8) and bool((sigma > 0).all())
    assert network.decode(mean).shape == (2, 3, 32, 32)


def blocks(tiles, factor):
    """Rows of flattened (3, f, f) blocks in network range, by plain slicing."""
    x = tiles.astype(np.float64) / 127.5 - 1
    side = range(0, x.shape[-1], factor)
    return np.stack(
        [x[n, :, y : y + factor, c : c + factor].ravel() for n in range(len(x)) for y in side for c in side]
    )


def test_principal_components_are_those_of_a_singular_value_decomposition():
    tiles = (pictures(20) // 4 + pictures(1) // 2).astype(np.uint8)
    mean, basis, deviation = linear.principal(tiles, 4, 5)
    rows = blocks(tiles, 4) - mean.ravel()
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    assert np.allclose(deviation, values[:5] / np.sqrt(len(rows)), rtol=1e-4)
    assert np.allclose(np.abs(basis.reshape(5, -1) @ vectors[:5].T), np.eye(5), atol=1e-3)
    assert (np.ptp(mean, axis=(1, 2)) == 0).all()
    assert mean[:, 0, 0] == pytest.approx(blocks(tiles, 4).reshape(-1, 3, 16).mean(axis=(0, 2)), abs=1e-5)


def test_a_linear_path_starts_as_the_closed_form(autoencoder_params):
    tiles = pictures(6)
    made = networks.autoencoder(autoencoder_params.architecture)
    autoencoder.begin(made, tiles, autoencoder_params)
    mean, basis, deviation = linear.principal(tiles, 4, 3)
    latent, sigma = made.encode(to_network(tiles))
    whitened = (blocks(tiles, 4) - mean.ravel()) @ basis.reshape(3, -1).T / deviation
    found = latent.detach().numpy().transpose(0, 2, 3, 1).reshape(-1, 3)
    assert np.abs(found - whitened).max() < 1e-3
    assert torch.allclose(sigma, torch.full_like(sigma, 0.05))


def test_interpolation_is_the_least_squares_solution_given_the_noise(autoencoder_params):
    """The normal equations of ridge regression, against an augmented system solved by `lstsq`."""
    tiles = pictures(8)
    mean, basis, deviation = linear.principal(tiles, 8, 2)
    into = basis / deviation[:, None, None, None]
    bias = -(into * mean).sum((1, 2, 3))
    found = linear.interpolation(tiles, into, bias, mean, 0.3)
    targets = blocks(tiles, 8) - mean.ravel()
    latents = (targets @ into.reshape(2, -1).T).reshape(8, 4, 4, 2)
    padded = np.pad(latents, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    around = np.stack([
        padded[n, y : y + 3, x : x + 3].transpose(2, 0, 1).ravel() for n in range(8) for y in range(4) for x in range(4)
    ])  # fmt: skip
    ridge = 0.3 * np.sqrt(len(around)) * np.eye(18)
    expected = np.linalg.lstsq(np.vstack([around, ridge]), np.vstack([targets, np.zeros((18, 192))]), rcond=None)[0]
    assert np.allclose(found.reshape(192, 18).T, expected, atol=1e-3)


def test_smooth_pictures_come_back_without_block_edges(autoencoder_params):
    """A slow wave has almost no jump between blocks; projecting back alone leaves one."""
    x = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    waves = [np.clip(127 + 60 * np.sin(x[None] * k + x[:, None] + p), 0, 255) for k in (1, 2) for p in range(6)]
    tiles = np.repeat(np.stack(waves)[:, None], 3, 1).astype(np.uint8)
    shape = autoencoder_params.architecture.model_copy(update={"patch_px": 4, "latent_channels": 1})
    path = linear.fit_path(tiles, shape)
    made = networks.autoencoder(shape)
    networks.initialise(made, 1)
    made.begin_linear(path, 0.05)
    back = made.decode(made.encode(to_network(tiles))[0]).detach().numpy()
    jump = np.abs(np.diff(back, axis=-1))[..., 7::8].mean()
    inside = np.abs(np.diff(back, axis=-1))[..., 3::8].mean()
    flat = np.abs(np.diff(to_network(tiles).numpy().reshape(12, 3, 64, 8, 8).mean(-1), axis=-1)).mean()
    assert jump < 2 * inside and jump < 0.4 * flat


@pytest.mark.parametrize(("whitening", "left"), [(0.0, [4, 1]), (0.5, [2, 1]), (1.0, [1, 1])])
def test_whitening_sets_the_proportions_of_the_components(whitening, left):
    deviation = np.array([4, 1], np.float32)
    found = deviation / linear.component_scale(deviation, whitening)
    assert found / found[1] == pytest.approx(left) and np.mean(found**2) == pytest.approx(1)


def test_without_a_linear_path_the_convolutions_stand_alone(autoencoder_params):
    plain = autoencoder_params.architecture.model_copy(update={"linear_path": False})
    made = networks.autoencoder(plain)
    autoencoder.begin(made, pictures(2), autoencoder_params.model_copy(update={"architecture": plain}))
    assert not any(name.startswith(("up", "down")) for name in made.state_dict())
    assert made.decode(made.encode(to_network(pictures(2)))[0]).shape == (2, 3, 32, 32)


class Fixed(torch.nn.Module):
    """An encoder and decoder with known answers."""

    forward = networks.Autoencoder.forward

    def encode(self, x):
        shape = (len(x), 1, 2, 2)
        return torch.full(shape, 0.5), torch.full(shape, 0.2)

    def decode(self, z):
        self.seen = z
        return torch.zeros(len(z), 3, 4, 4)


def test_loss_terms_have_their_closed_forms():
    ramp = torch.arange(4.0).expand(1, 3, 4, 4)
    noise = torch.ones(1, 1, 2, 2)
    fixed = Fixed()
    found = fixed(ramp, noise)
    kl = 0.5 * (0.5**2 + 0.2**2 - 1 - 2 * math.log(0.2))
    assert float(autoencoder.loss(*found, ramp, 0, 0)) == pytest.approx(1.5)
    assert float(autoencoder.loss(*found, ramp, 0, 2)) == pytest.approx(1.5 + 2 * 1.0)
    assert float(autoencoder.loss(*found, ramp, 3, 0)) == pytest.approx(1.5 + 3 * kl)
    assert torch.allclose(fixed.seen, torch.full((1, 1, 2, 2), 0.7))


def test_scaled_latents_have_zero_mean_and_unit_variance(network, autoencoder_params):
    tiles = pictures(20)
    mean, std = autoencoder.latent_scale(network, tiles)
    codec = autoencoder.Codec(network, 4, 3, mean, std)
    latents = codec.encode(tiles)
    assert latents.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-4)
    assert np.mean(latents.var(axis=(0, 2, 3))) == pytest.approx(1, abs=1e-4)
    direct = network.decode(network.encode(to_network(tiles[:2]))[0]).detach().numpy()
    assert np.abs(codec.decode(latents[:2]) - direct).max() < 1e-4
    together = codec.decode(latents)
    assert all(np.array_equal(codec.decode(latents[k : k + 1])[0], one) for k, one in enumerate(together))


def test_batches_depend_on_seed_and_step_only(autoencoder_params):
    tiles = pictures(6)
    first, noise = autoencoder.batch(tiles, autoencoder_params, 5)
    again, same = autoencoder.batch(tiles, autoencoder_params, 5)
    other, _ = autoencoder.batch(tiles, autoencoder_params, 6)
    assert torch.equal(first, again) and torch.equal(noise, same) and not torch.equal(first, other)
    assert noise.shape == (4, 3, 8, 8)
