"""The distance in a frozen encoder's features: closed form, blindness to scale, gradients, what is refused."""

import pytest
import torch

from tasks.errors import InputError, LineageError
from tasks.evaluation import models
from tasks.evaluation.networks import encoder
from tasks.evaluation.params import Network
from tasks.learn.determinism import seeded
from tasks.rng import normal
from tasks.synthesis import perceptual


class Two(torch.nn.Module):
    """A stem that passes on and one block that turns colours round."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Identity()
        self.blocks = torch.nn.Sequential(torch.nn.ChannelShuffle(3))

    def forward(self, x):
        return self.blocks(self.stem(x)).mean((2, 3))


def colour(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1).expand(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((1, 0, 0), (1, 0, 0), 0.0), ((1, 0, 0), (0, 1, 0), 2.0), ((1, 0, 0), (-1, 0, 0), 4.0), ((2, 0, 0), (5, 0, 0), 0)],
)
def test_it_is_the_squared_distance_of_unit_vectors(first, second, expected):
    distance = perceptual.Perceptual(Two())
    assert float(distance(colour(*first), colour(*second))) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(params=["residual", "resnet18"])
def folder(request, tmp_path):
    about = {"residual": [4, 8, 8], "resnet18": [4, 4, 8, 8]}[request.param]
    network = Network(name=request.param, widths=tuple(about))
    with seeded(1):
        made = encoder(network)[0]
    models.save(tmp_path, made, {"kind": "encoder", "name": "own", "network": network.model_dump(mode="json")})
    return tmp_path


def test_an_encoder_on_disk_is_frozen_and_its_stages_are_compared(folder):
    distance = perceptual.load(folder).train()
    distance.encoder.eval()
    shown, back = (torch.from_numpy(normal((2, 3, 64, 64), 1, item, "p")) for item in "ab")
    before = {k: v.clone() for k, v in distance.state_dict().items()}
    sides = [f.shape[-1] for f in distance.features(shown)]
    assert len(sides) >= 3 and sides == sorted(sides, reverse=True)
    back.requires_grad_(True)
    value = distance(back, shown)
    value.backward()
    assert 0 < float(value.detach()) < 4 and bool(back.grad.abs().max() > 0) and shown.grad is None
    assert all(torch.equal(v, before[k]) for k, v in distance.state_dict().items())
    assert not any(w.requires_grad for w in distance.parameters()) and distance.kept == []
    assert float(distance(shown, shown)) == 0


def test_what_is_no_encoder_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="unreadable"):
        perceptual.load(tmp_path / "none")
    (folder / "weights.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(LineageError, match="safetensors"):
        perceptual.load(folder)
