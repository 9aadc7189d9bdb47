"""The judge of patches: closed forms of its losses, no state beside its weights, gradients where they belong."""

import pytest
import torch

from tasks.rng import normal
from tasks.synthesis import adversarial
from tasks.synthesis.params import AdversarialParams

PARAMS = AdversarialParams(
    weight=1.0, feature_weight=0.0, start_step=0, learning_rate=1e-4, channels=4, layers=2
)  # fmt: skip


def pictures(count=2, item="a"):
    return torch.from_numpy(normal((count, 3, 32, 32), 1, item, "pictures"))


class Judge(torch.nn.Module):
    """Says the mean of a picture, once a feature and once the verdict."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        return [3 * mean, mean]


@pytest.mark.parametrize(
    ("real", "made", "expected"), [(2.0, -2.0, 0.0), (0.0, 0.0, 1.0), (0.5, -0.5, 0.5), (-1.0, 1.0, 2.0)]
)
def test_hinge_loss_has_its_closed_form(real, made, expected):
    shown = [torch.full((2, 3, 4, 4), value) for value in (made, real)]
    assert float(adversarial.loss(Judge(), *shown)) == pytest.approx(expected)


def test_the_score_is_the_verdict_and_the_distance_of_features():
    back, shown = torch.full((2, 3, 4, 4), 0.25), torch.full((2, 3, 4, 4), 1.0)
    assert float(adversarial.score(Judge(), back, shown, PARAMS)) == pytest.approx(-0.25)
    matched = PARAMS.model_copy(update={"feature_weight": 2.0})
    assert float(adversarial.score(Judge(), back, shown, matched)) == pytest.approx(-0.25 + 2 * 3 * 0.75)


def test_a_picture_is_judged_alone_and_training_leaves_no_statistics():
    """No batch statistics: a verdict does not change with the batch or with what was seen before."""
    judge = adversarial.discriminator(PARAMS, 5).train()
    both = judge(pictures())[-1].detach()
    for _ in range(3):
        judge(pictures(4, "others"))
    assert torch.allclose(judge(pictures()[1:])[-1], both[1:], atol=1e-5)
    assert not list(judge.buffers()) and both.shape[1] == 1 and both.shape[2] > 1


def test_its_first_weights_depend_on_the_seed_alone():
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(adversarial.discriminator(PARAMS, 5).state_dict())
    other = adversarial.discriminator(PARAMS, 6).state_dict()
    assert all(torch.equal(found[0][k], found[1][k]) for k in other)
    assert not torch.equal(found[0]["final_conv.conv.weight"], other["final_conv.conv.weight"])


def test_the_judges_loss_gives_the_autoencoder_no_gradient():
    judge, back = adversarial.discriminator(PARAMS, 5), pictures(item="b").requires_grad_(True)
    adversarial.loss(judge, back, pictures()).backward()
    assert back.grad is None and all(w.grad is not None for w in judge.parameters())
    adversarial.score(judge, back, pictures(), PARAMS).backward()
    assert bool(back.grad.abs().max() > 0)
