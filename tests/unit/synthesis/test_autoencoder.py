"""Autoencoder kernels: ranges, the loss's closed forms, unit-variance latents, reproducible batches."""

import math

import numpy as np
import pytest
import torch

from tasks.rng import generator
from tasks.synthesis import autoencoder, networks


@pytest.fixture
def network(autoencoder_params):
    made = networks.autoencoder(autoencoder_params.architecture)
    networks.initialise(made, 1)
    return made.eval()


def pictures(count):
    return generator(1, "pictures", "values").integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_ranges_are_inverse_to_each_other():
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    seen = autoencoder.to_network(values)
    assert float(seen.min()) == -1 and float(seen.max()) == 1
    assert np.array_equal(autoencoder.to_pictures(seen.numpy()), values)
    assert autoencoder.to_pictures(np.array([-2.0, 2.0], np.float32)).tolist() == [0, 255]


def test_shapes_follow_the_factor(network, autoencoder_params):
    assert autoencoder_params.architecture.factor == 4
    mean, sigma = network.encode(autoencoder.to_network(pictures(2)))
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
    mean, basis, deviation = autoencoder.principal(tiles, 4, 5)
    rows = blocks(tiles, 4) - mean.ravel()
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    assert np.allclose(deviation, values[:5] / np.sqrt(len(rows)), rtol=1e-4)
    assert np.allclose(np.abs(basis.reshape(5, -1) @ vectors[:5].T), np.eye(5), atol=1e-3)
    assert (np.ptp(mean, axis=(1, 2)) == 0).all()
    assert mean[:, 0, 0] == pytest.approx(blocks(tiles, 4).reshape(-1, 3, 16).mean(axis=(0, 2)), abs=1e-5)


def test_a_linear_path_starts_as_the_projection_on_its_components(autoencoder_params):
    tiles = pictures(6)
    made = networks.autoencoder(autoencoder_params.architecture)
    autoencoder.begin(made, tiles, autoencoder_params)
    mean, basis, _ = autoencoder.principal(tiles, 4, 3)
    flat = basis.reshape(3, -1).astype(np.float64)
    expected = (blocks(tiles, 4) - mean.ravel()) @ flat.T @ flat + mean.ravel()
    latent, sigma = made.encode(autoencoder.to_network(tiles))
    assert latent.detach().numpy().std(axis=(0, 2, 3)) == pytest.approx(1, abs=0.2)
    assert torch.allclose(sigma, torch.full_like(sigma, 0.05))
    found = blocks(127.5 * (made.decode(latent).detach().numpy() + 1), 4)
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize(("whitening", "left"), [(0.0, [4, 1]), (0.5, [2, 1]), (1.0, [1, 1])])
def test_whitening_sets_the_proportions_of_the_components(whitening, left):
    deviation = np.array([4, 1], np.float32)
    found = deviation / autoencoder.component_scale(deviation, whitening)
    assert found / found[1] == pytest.approx(left) and np.mean(found**2) == pytest.approx(1)


def test_without_a_linear_path_the_convolutions_stand_alone(autoencoder_params):
    plain = autoencoder_params.architecture.model_copy(update={"linear_path": False})
    made = networks.autoencoder(plain)
    autoencoder.begin(made, pictures(2), autoencoder_params.model_copy(update={"architecture": plain}))
    assert not any(name.startswith(("up", "down")) for name in made.state_dict())
    assert made.decode(made.encode(autoencoder.to_network(pictures(2)))[0]).shape == (2, 3, 32, 32)


class Fixed(torch.nn.Module):
    """An encoder and decoder with known answers."""

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
    kl = 0.5 * (0.5**2 + 0.2**2 - 1 - 2 * math.log(0.2))
    assert float(autoencoder.loss(fixed, ramp, noise, 0, 0)) == pytest.approx(1.5)
    assert float(autoencoder.loss(fixed, ramp, noise, 0, 2)) == pytest.approx(1.5 + 2 * 1.0)
    assert float(autoencoder.loss(fixed, ramp, noise, 3, 0)) == pytest.approx(1.5 + 3 * kl)
    assert torch.allclose(fixed.seen, torch.full((1, 1, 2, 2), 0.7))


def test_scaled_latents_have_zero_mean_and_unit_variance(network, autoencoder_params):
    tiles = pictures(20)
    mean, std = autoencoder.latent_scale(network, tiles)
    codec = autoencoder.Codec(network, 4, 3, mean, std)
    latents = codec.encode(tiles)
    assert latents.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-4)
    assert np.mean(latents.var(axis=(0, 2, 3))) == pytest.approx(1, abs=1e-4)
    direct = network.decode(network.encode(autoencoder.to_network(tiles[:2]))[0]).detach().numpy()
    assert np.abs(codec.decode(latents[:2]) - direct).max() < 1e-4


def test_batches_depend_on_seed_and_step_only(autoencoder_params):
    tiles = pictures(6)
    first, noise = autoencoder.batch(tiles, autoencoder_params, 5)
    again, same = autoencoder.batch(tiles, autoencoder_params, 5)
    other, _ = autoencoder.batch(tiles, autoencoder_params, 6)
    assert torch.equal(first, again) and torch.equal(noise, same) and not torch.equal(first, other)
    assert noise.shape == (4, 3, 8, 8)
