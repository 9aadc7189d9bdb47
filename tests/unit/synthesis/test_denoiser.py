"""Algorithm 1's draw, its loss, and what the condition is worth."""

import numpy as np
import pytest
import torch

from tasks.rng import normal
from tasks.synthesis import conditioning, denoiser, networks
from tasks.synthesis.params import DiffusionParams
from tasks.synthesis.schedule import forward_process
from tasks.synthesis.tiles import oriented


@pytest.fixture
def data():
    latents = normal((10, 2, 3, 8, 8), 1, "tiles", "latents")
    labels = np.zeros((10, 4, 8, 8), np.float32)
    labels[:, 1, :4], labels[:, 2, 4:] = 1, 1
    labels[:, 1, 0] = np.arange(10)[:, None]
    return denoiser.Data(latents, labels, np.arange(10), np.array([2, 5, 7]))


def forward(prediction="epsilon"):
    schedule = "flow" if prediction == "flow" else "cosine"
    return forward_process(DiffusionParams(timesteps=100, schedule=schedule, prediction=prediction))


def with_batch(params, size, p):
    fit = params.fit.model_copy(update={"batch": size})
    return params.model_copy(update={"fit": fit, "p_unconditional": p})


def tile_and_turn(data, z):
    """Which stored latent `z` is."""
    return next((k, o) for k in range(10) for o in range(2) if np.array_equal(data.latents[k, o], z))


def test_unlabelled_tiles_come_with_null_and_labelled_ones_with_their_turned_mask(data, denoiser_params):
    batch = denoiser.draw_batch(data, with_batch(denoiser_params, 200, 0.5), 3)
    null = conditioning.null(2, 8, 8)
    free = [np.array_equal(c, null) for c in batch.condition.numpy()]
    assert 70 < sum(free) < 130
    seen = set()
    for z, c, is_free in zip(batch.z0.numpy(), batch.condition.numpy(), free, strict=True):
        tile, turn = tile_and_turn(data, z)
        if is_free:
            seen.add(tile)
        else:
            assert tile in (2, 5, 7) and np.array_equal(c, oriented(data.conditions[tile], turn))
    assert seen == set(range(10))


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_probability_is_that_of_the_null_condition(data, denoiser_params, p, share):
    batch = denoiser.draw_batch(data, with_batch(denoiser_params, 16, p), 3)
    assert float(batch.condition[:, -1].mean()) == share


def test_a_step_is_its_number_alone(data, denoiser_params):
    first, again, other = (denoiser.draw_batch(data, denoiser_params, k) for k in (3, 3, 4))
    assert torch.equal(first.z0, again.z0) and torch.equal(first.noise, again.noise)
    assert torch.equal(first.t, again.t) and not torch.equal(first.noise, other.noise)


def test_timesteps_are_uniform(data, denoiser_params):
    batch = denoiser.draw_batch(data, with_batch(denoiser_params, 2000, 0.5), 1)
    counts = np.bincount(batch.t.numpy() // 10, minlength=10)
    assert batch.t.min() >= 0 and batch.t.max() <= 99 and counts.min() > 140 and counts.max() < 260


class Constant(torch.nn.Module):
    def forward(self, z, condition, t):
        return torch.full_like(z, 0.25)


def test_loss_is_the_mean_square_of_the_missed_noise(data, denoiser_params):
    batch = denoiser.draw_batch(data, denoiser_params, 1)
    found = float(denoiser.loss(Constant(), batch, forward("epsilon")))
    assert found == pytest.approx(float((batch.noise - 0.25).pow(2).mean()), rel=1e-6)


def test_an_untrained_network_has_unit_loss_and_the_velocity_head_a_lower_one(data, denoiser_params):
    """The last layer starts at zero: epsilon = 0 costs E[eps^2] = 1; velocity = 0 costs E[a] < 1."""
    network = networks.denoiser(denoiser_params.architecture, 3, 4)
    networks.initialise(network, 1)
    batch = denoiser.draw_batch(data, with_batch(denoiser_params, 400, 0.5), 1)
    assert float(denoiser.loss(network, batch, forward("epsilon")).detach()) == pytest.approx(1, abs=0.03)
    assert float(denoiser.loss(network, batch, forward("velocity")).detach()) == pytest.approx(0.5, abs=0.06)


def test_held_out_losses_tell_own_masks_from_others(data, denoiser_params):
    class Listener(torch.nn.Module):
        """Knows the noise only where the mask's first row names the tile."""

        def forward(self, z, condition, t):
            truth = torch.from_numpy(normal((10, 3, 8, 8), denoiser_params.seed, "held-out", "noise"))
            right = condition[:, 1, 0, 0] == torch.arange(10)
            return truth * right.view(-1, 1, 1, 1)

    found = denoiser.held_out_losses(Listener(), data, denoiser_params, forward())
    assert found["held_out_loss_own_mask"] == 0
    assert found["held_out_loss_other_mask"] > 0.9 and found["held_out_loss_null"] > 0.8


def test_held_out_losses_are_means_over_all_tiles_and_say_null_alone_without_labels(denoiser_params):
    """37 tiles go through in three parts, the last smaller; a constant's loss is a mean over all elements."""
    latents = normal((37, 1, 3, 8, 8), 1, "tiles", "latents")
    unknown = np.zeros((37, 4, 8, 8), np.float32)
    unknown[:, 0] = 1
    bare = denoiser.Data(latents, unknown, np.arange(37), np.arange(0))
    found = denoiser.held_out_losses(Constant(), bare, denoiser_params, forward())
    noise = normal((37, 3, 8, 8), denoiser_params.seed, "held-out", "noise")
    assert found == {"held_out_loss_null": pytest.approx(float(np.mean((noise - 0.25) ** 2)), rel=1e-5)}
