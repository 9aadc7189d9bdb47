"""Momentum contrast by hand: the loss, the queue, the following network, and the two measures of features."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from tasks.evaluation.moco import NOBODY, Moco, contrast, label_agreement, retrieval
from tests.unit.evaluation.conftest import ENCODER, TILE, tissue

TILES = np.stack([tissue(f"moco {i}", TILE, TILE)[0] for i in range(20)])


def test_contrast_of_orthogonal_keys_has_the_closed_form() -> None:
    unit = torch.eye(4)
    value = contrast(unit[:2], unit[:2], unit[2:], torch.zeros(2, 2, dtype=torch.bool), 0.5)
    assert float(value) == pytest.approx(math.log(1 + 3 * math.exp(-2.0)), rel=1e-6)


def test_queue_entries_of_the_own_tile_do_not_count() -> None:
    unit = torch.eye(3)
    same = torch.tensor([[True, False]])
    masked = contrast(unit[:1], unit[:1], torch.stack([unit[0], unit[1]]), same, 1.0)
    alone = contrast(unit[:1], unit[:1], unit[1:2], torch.zeros(1, 1, dtype=torch.bool), 1.0)
    assert float(masked) == pytest.approx(float(alone))


def test_the_queue_takes_keys_in_turn_and_wraps() -> None:
    params = ENCODER.model_copy(update={"queue_keys": 6})
    model = Moco(params)
    first = model.queue.clone()
    model.loss(TILES[:4], np.arange(4), 0)
    assert model.owners.tolist() == [0, 1, 2, 3, NOBODY, NOBODY]
    assert torch.equal(model.queue[4:], first[4:]) and not torch.equal(model.queue[:4], first[:4])
    model.loss(TILES[4:8], np.arange(4, 8), 1)
    assert model.owners.tolist() == [6, 7, 2, 3, 4, 5]
    assert torch.allclose(model.queue.norm(dim=1), torch.ones(6), atol=1e-6)


def test_no_gradient_reaches_the_key_network_and_it_follows_by_the_momentum() -> None:
    model = Moco(ENCODER)
    model.loss(TILES[:8], np.arange(8), 0).backward()
    assert all(w.grad is None for w in model.follower.parameters())
    assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in model.encoder.parameters())
    fast, slow = next(model.encoder.parameters()), next(model.follower.parameters())
    before = slow.clone()
    with torch.no_grad():
        fast += 1.0
    model.follow()
    assert torch.allclose(slow, before + (1 - ENCODER.momentum) * (fast - before), atol=1e-6)


def test_a_step_depends_on_its_number_alone() -> None:
    def value(step: int) -> float:
        return float(Moco(ENCODER).step_loss(TILES, step).detach())

    assert value(3) == value(3) != value(4)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Moco(ENCODER)
    assert torch.equal(torch.rand(3), expected)


def test_retrieval_counts_own_partners_whatever_the_common_offset() -> None:
    a = functional.one_hot(torch.arange(4)).double().numpy()
    assert retrieval(a + 100, a + 100) == 1.0
    assert retrieval(a, a[[1, 0, 2, 3]]) == 0.5
    assert retrieval(np.ones((3, 2)), np.ones((3, 2))) == 0.0


def test_label_agreement_is_the_mean_recall() -> None:
    references, known = np.array([[0.0], [10.0]]), np.array(["a", "b"])
    queries, names = np.array([[1.0], [2.0], [9.0], [1.0]]), np.array(["a", "a", "a", "b"])
    assert label_agreement(queries, names, references, known) == pytest.approx((2 / 3 + 0) / 2)
