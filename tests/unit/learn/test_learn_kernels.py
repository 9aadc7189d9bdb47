"""Augmentation, resizing, losses, checkpoints, batches and networks by analytic truth."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import LineageError, ParamsError
from tasks.learn import augment, checkpoint, data, losses, metrics, scores, train
from tasks.learn.augment import Augmentation
from tasks.learn.determinism import one_thread, seeded
from tasks.learn.networks import Standardised, build
from tasks.learn.params import AugmentParams, LearnParams, LossParams, ResNet18Params, TrainParams, UNetPlusPlusParams
from tasks.params import parse

STILL = Augmentation(False, False, 0, 1.0, 1.0)
RESNET = ResNet18Params(name="resnet18", inplanes=(4, 4, 4, 4))


def test_the_published_resnet18_has_its_published_number_of_weights() -> None:
    model = build(ResNet18Params(name="resnet18", inplanes=(64, 128, 256, 512)), 9, 0)
    assert sum(p.numel() for p in model.parameters()) == 11_181_129


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build(RESNET, 3, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["network.conv1.weight"], other["network.conv1.weight"])


def test_a_segmenter_gives_logits_of_its_inputs_size() -> None:
    model = build(UNetPlusPlusParams(name="unet_plus_plus", features=(4, 4, 4, 4, 4, 4)), 3, 0)
    assert model(torch.zeros(1, 3, 32, 48)).shape == (1, 3, 32, 48)


def test_standardisation_undoes_the_training_sets_statistics() -> None:
    views = np.random.default_rng(0).normal([[[[0.2]], [[0.5]], [[0.9]]]], 0.1, (5, 3, 8, 8)).astype(np.float32)
    views[:, 2] = 0.9
    mean, sd = data.channel_statistics(views)
    np.testing.assert_allclose(mean, views.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(sd[:2], views.std(axis=(0, 2, 3), dtype=np.float64)[:2], rtol=1e-6)
    layer = Standardised(nn.Identity())
    layer.measure(mean, [*sd[:2], 0.0])
    out = layer(torch.from_numpy(views)).numpy()
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=(0, 2, 3)), [1, 1, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        (STILL, [[1, 2], [3, 4]]),
        (Augmentation(True, False, 0, 1, 1), [[3, 4], [1, 2]]),
        (Augmentation(False, True, 0, 1, 1), [[2, 1], [4, 3]]),
        (Augmentation(False, False, 1, 1, 1), [[2, 4], [1, 3]]),
        (Augmentation(True, True, 2, 1, 1), [[1, 2], [3, 4]]),
    ],
)
def test_views_and_masks_turn_alike(how: Augmentation, wanted: list[list[int]]) -> None:
    mask = np.array([[1, 2], [3, 4]])
    assert augment.turn(mask, how).tolist() == wanted
    assert augment.turn(np.stack([mask, mask]), how).tolist() == [wanted, wanted]


def test_light_scales_about_the_mean_and_clips() -> None:
    view = np.array([[[0.2, 0.4, 0.6]]], dtype=np.float32)
    assert np.array_equal(augment.light(view, STILL), view)
    np.testing.assert_allclose(augment.light(view, Augmentation(False, False, 0, 0.5, 1.0))[0, 0], [0.3, 0.4, 0.5])
    np.testing.assert_allclose(augment.light(view, Augmentation(False, False, 0, 1.0, 2.0))[0, 0], [0.4, 0.8, 1.0])
    assert augment.light(view, Augmentation(False, False, 0, 1.0, 2.0)).dtype == np.float32


def test_augmentations_are_drawn_per_tile_and_epoch_and_stay_in_range() -> None:
    params = AugmentParams(flips=True, quarter_turns=True, brightness_fraction=0.2, contrast_fraction=0.1)
    drawn = [augment.draw(params, 1, f"t{i}", e) for i in range(40) for e in range(5)]
    assert drawn[7] == augment.draw(params, 1, "t1", 2)
    assert len(set(drawn)) == 200 and {d.quarter_turns for d in drawn} == {0, 1, 2, 3}
    assert all(0.8 <= d.brightness <= 1.2 and 0.9 <= d.contrast <= 1.1 for d in drawn)
    assert 70 < sum(d.flip_x for d in drawn) < 130
    off = AugmentParams(flips=False, quarter_turns=False, brightness_fraction=0, contrast_fraction=0)
    assert augment.draw(off, 1, "t1", 2) == STILL


def test_views_are_resized_by_area_and_masks_by_majority() -> None:
    view = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert data.resize_views(view, 2)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert data.resize_views(view, 4) is view
    mask = np.array([[[0, 1, 2, 2], [1, 1, 2, 0], [0, 0, 0, 1], [0, 0, 1, 0]]])
    assert data.resize_masks(mask, 2, 3).tolist() == [[[1, 2], [0, 0]]]
    assert data.resize_masks(np.array([[[0, 1], [1, 0]]]), 1, 2).tolist() == [[[0]]], "a tie goes to the lower"


def test_cross_entropy_of_known_logits() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    assert losses.cross_entropy(logits, torch.tensor([1, 0])).item() == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2
    )


def test_soft_dice_of_right_wrong_undecided_and_empty() -> None:
    truth = torch.tensor([[[0, 1], [1, 0]]])
    right = 100.0 * nn.functional.one_hot(truth, 2).movedim(-1, 1).float()
    assert losses.soft_dice(right, truth).item() == pytest.approx(0, abs=1e-6)
    assert losses.soft_dice(right, 1 - truth).item() == pytest.approx(1, abs=1e-6)
    half = torch.zeros(1, 2, 2, 2)
    assert losses.soft_dice(half, truth).item() == pytest.approx(1 - 2 / 3), "2*2*.5 / (4*.25 + 2)"
    empty = torch.tensor([[[100.0]], [[0.0]]])[None]
    assert losses.soft_dice(empty, torch.zeros(1, 1, 1, dtype=torch.int64)).item() == pytest.approx(0, abs=1e-6)


def test_losses_add_up_by_their_weights() -> None:
    logits, truth = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)), torch.ones(2, 4, 4).long()
    ce, dice = losses.cross_entropy(logits, truth), losses.soft_dice(logits, truth)
    both = losses.loss(LossParams(cross_entropy=2.0, dice=0.5), logits, truth)
    torch.testing.assert_close(both, 2 * ce + 0.5 * dice)


def test_batches_are_a_permutation_of_even_sizes() -> None:
    parts = list(train.batches(13, 4, 1, "fold0", 0))
    assert sorted(np.concatenate(parts)) == list(range(13))
    assert [len(p) for p in parts] == [4, 3, 3, 3]
    again, other = list(train.batches(13, 4, 1, "fold0", 0)), list(train.batches(13, 4, 1, "fold0", 1))
    assert np.array_equal(np.concatenate(parts), np.concatenate(again))
    assert not np.array_equal(np.concatenate(parts), np.concatenate(other))


class Line:
    """A source whose truth is a known linear map of the views."""

    views = torch.linspace(-1, 1, 12).reshape(12, 1)

    def __len__(self) -> int:
        return 12

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.views[indices], 3 * self.views[indices] - 1


PARAMS = TrainParams(seed=1, learning_rate=0.1, weight_decay=0.0, batch_tiles=4, epochs=60)


def line() -> nn.Module:
    with seeded(4):
        return nn.Linear(1, 1)


def mse(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (logits - truth).square().mean()


def test_adam_finds_a_line(tmp_path: Path) -> None:
    model = line()
    history = train.fit(model, Line(), mse, PARAMS, "line", tmp_path)
    assert model.weight.item() == pytest.approx(3, abs=0.02) and model.bias.item() == pytest.approx(-1, abs=0.02)
    assert [step for step, _, _ in history] == list(range(1, 61))


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_resuming_after_any_epoch_gives_the_same_bits(tmp_path: Path, stop: int) -> None:
    params = PARAMS.model_copy(update={"epochs": 6})
    whole, part, rest = line(), line(), line()
    wanted = train.fit(whole, Line(), mse, params, "line", tmp_path / "whole")

    def killed(_: nn.Module, epoch: int) -> list[tuple[str, float]]:
        if epoch == stop + 1:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        train.fit(part, Line(), mse, params, "line", tmp_path / "part", killed)
    assert train.fit(rest, Line(), mse, params, "line", tmp_path / "part") == wanted
    assert torch.equal(whole.weight, rest.weight) and torch.equal(whole.bias, rest.bias)
    files = sorted(p.name for p in (tmp_path / "part").iterdir())
    assert files == ["epoch-00006.safetensors", "latest.json"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train.fit(line(), Line(), mse, PARAMS.model_copy(update={"epochs": 1}), "line", tmp_path)
    with pytest.raises(LineageError, match="a checkpoint of"):
        train.fit(line(), Line(), mse, PARAMS, "line", tmp_path)


def test_a_flipped_bit_in_a_checkpoint_is_caught(tmp_path: Path) -> None:
    model = line()
    train.fit(model, Line(), mse, PARAMS.model_copy(update={"epochs": 1}), "line", tmp_path)
    file = tmp_path / "epoch-00001.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(bytes(raw))
    with pytest.raises(LineageError, match="SHA-256"):
        checkpoint.resume(tmp_path, model, torch.optim.Adam(model.parameters()))


def test_one_thread_nests_and_puts_the_settings_back() -> None:
    torch.set_num_threads(2)
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)


def test_overlap_of_empty_masks_is_one_and_of_a_miss_nought() -> None:
    assert metrics.iou(0, 0, 0) == metrics.dice(0, 0, 0) == 1
    assert metrics.iou(0, 0, 5) == metrics.dice(0, 5, 0) == 0
    assert metrics.iou(2, 1, 1) == pytest.approx(0.5) and metrics.dice(2, 1, 1) == pytest.approx(2 / 3)


def test_rows_are_the_truth_and_strange_indices_are_refused() -> None:
    truth, guess = np.array([[0, 1], [2, 2]]), np.array([[0, 1], [1, 2]])
    assert metrics.confusion(truth, guess, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match=r"0\.\.1"):
        metrics.confusion(truth, guess, 2)


def test_spread_is_students_interval() -> None:
    found = metrics.spread([0.4, 0.5, 0.6], 0.95)
    half = 0.1 * 4.302652729911275 / math.sqrt(3)
    assert found == pytest.approx({"mean": 0.5, "sd": 0.1, "low": 0.5 - half, "high": 0.5 + half, "n": 3})
    assert metrics.spread([0.4], 0.95) == {"mean": 0.4, "sd": None, "low": None, "high": None, "n": 1.0}
    assert metrics.spread([], 0.95)["mean"] is None


def test_an_interval_stays_in_the_range_of_its_metric() -> None:
    fractions = metrics.spread([0.1, 1.0], 0.95)
    assert (fractions["low"], fractions["mean"], fractions["high"]) == (0.0, 0.55, 1.0)
    counts = metrics.summary([{"support": 30.0, "f1": 0.9}, {"support": 40.0, "f1": 1.0}], 0.95)
    assert counts["support"]["low"] == 0 and counts["support"]["high"] == pytest.approx(35 + 12.706204736 * 5)
    assert counts["f1"]["high"] == 1


def test_probabilities_are_brought_to_the_tiles_size_between_pixel_centres() -> None:
    one = np.array([[[0.0, 1.0]], [[1.0, 0.0]]], np.float32)
    assert scores.at_size(one, 1, 2) is one
    large = scores.at_size(one, 2, 4)
    assert large[0].tolist() == [[0.0, 0.25, 0.75, 1.0]] * 2
    assert np.all(large.sum(axis=0) == 1)
    flat = np.full((2, 8, 8), 0.5, np.float32)
    assert np.allclose(scores.at_size(flat, 3, 5), 0.5, atol=1e-6)


class Left(nn.Module):
    """Says `car` in the left half of views of 8 px, at the network's size."""

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        car = torch.where(torch.arange(8) < 4, 50.0, -50.0).expand(len(views), 8, 8)
        return torch.stack([torch.zeros_like(car), car], dim=1)


def test_masks_are_counted_at_their_stored_size(
    tmp_path: Path, segmentation: LearnParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripes of one pixel vanish at the network's 8 px, where they would count as right; in the tile they do not."""
    mask = np.zeros((32, 32), np.int64)
    mask[:, :16] = 1
    mask[1::4, :16] = 0
    monkeypatch.setattr(data, "read_mask", lambda raw, row: mask)
    small = data.resize_masks(mask[None], 8, 2)
    assert small[0, :, :4].all(), "the network's size hides the stripes"
    views = data.Picked(np.zeros((1, 3, 8, 8), np.float32), np.array([0]))
    tiles = data.Examples(("a",), views, small, data.WholeMasks(tmp_path, ("row",)))
    counts, mean = scores.tile_counts(Left(), tiles, segmentation)
    wanted = [[16 * 32, 16 * 8], [0, 16 * 24]]
    assert counts[0].tolist() == wanted
    assert mean[0] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_predicting_nothing_is_right_on_empty_tiles_alone(segmentation: LearnParams) -> None:
    empty, missed, found = [[10, 0], [0, 0]], [[5, 0], [5, 0]], [[5, 0], [0, 5]]
    numbers = scores.headline(np.array([empty, empty, missed, found]), segmentation)
    assert numbers["iou_tile_mean"] == 0.75 and numbers["iou_tile_mean_of_nothing"] == 0.5
    assert set(numbers) == set(scores.headline(np.zeros((0, 2, 2), np.int64), segmentation))


def test_summary_counts_only_the_folds_that_define_a_metric() -> None:
    found = metrics.summary([{"f1": 0.5, "iou": 1.0}, {"f1": None, "iou": 0.0}], 0.9)
    assert found["f1"]["mean"] == 0.5 and found["f1"]["n"] == 1 and found["iou"]["mean"] == 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["a"]}, "two or more"),
        ({"classes": ["a", "a"]}, "different"),
        ({"loss": {"cross_entropy": 0, "dice": 0}}, "above 0"),
        ({"loss": {"cross_entropy": 1, "dice": 1}}, "for segmentation"),
        ({"task": "segmentation"}, "cannot do segmentation"),
        ({"dropout": 0.5}, "dropout"),
    ],
)
def test_impossible_params_are_refused(classification: LearnParams, change: dict, words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        parse(LearnParams, {**classification.model_dump(mode="json"), **change}, "params.yaml")
