"""Views, baselines, tiles, the segmenter's loss, steering counts, comparisons and verdicts, each by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.evaluation import baselines, verdict
from tasks.evaluation.augment import labelled_view, place, recolour, scaled
from tasks.evaluation.compare import Sample, copy_ratios, copy_test, equal_sets, normalised
from tasks.evaluation.figures import principal_plane
from tasks.evaluation.overlap import confusion
from tasks.evaluation.params import Augmentation
from tasks.evaluation.segment import class_weights, loss
from tasks.evaluation.steering import pair_counts, steering
from tasks.evaluation.tiles import corners, cut, join, table
from tasks.evaluation.training import batch_rows, learning_rate
from tasks.rng import generator
from tests.unit.evaluation.conftest import EVALUATE, TILE, tissue, training

STILL = Augmentation(crop_px=16, brightness=0, contrast=0, stain=0)
PICTURE, LABELS = tissue("parts", TILE, TILE)


def test_scaled_spans_minus_one_to_one() -> None:
    assert scaled(np.array([0, 255], np.uint8)).tolist() == [-1, 1]


def test_a_view_without_changes_is_a_moved_crop_and_its_mask_moves_along() -> None:
    mask = PICTURE[0]
    for step in range(20):
        view, moved = labelled_view(PICTURE, mask, STILL, generator(1, str(step), "x"))
        assert view.shape == (3, 16, 16) and moved.shape == (16, 16)
        assert np.array_equal(np.rint((view[0] + 1) * 127.5).clip(1).astype(np.uint8), moved.clip(1))


def test_place_reaches_all_eight_ways() -> None:
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    seen = {place(square, 3, generator(1, str(i), "x")).tobytes() for i in range(200)}
    assert len(seen) == 8


def test_recolour_stays_in_range_and_changes_stain_by_optical_density() -> None:
    view = np.full((3, 2, 2), 2 * 0.5 - 1, np.float32)
    changed = recolour(view, STILL.model_copy(update={"stain": 0.5}), generator(1, "a", "x"))
    power = np.log((changed[:, 0, 0] + 1) / 2) / math.log(0.5)
    assert (np.abs(power - 1) <= 0.5 + 1e-5).all() and np.ptp(power) > 0.01
    wild = recolour(scaled(PICTURE), Augmentation(crop_px=8, brightness=1, contrast=1, stain=1), generator(1, "b", "x"))
    assert wild.min() >= -1 and wild.max() <= 1


def test_baselines_keep_what_they_say() -> None:
    noise = baselines.gaussian_noise(PICTURE, 1, "t")
    big = np.broadcast_to(PICTURE[:, :1, :1] // 2 + 64, (3, 64, 64))
    assert noise.shape == PICTURE.shape and np.array_equal(baselines.gaussian_noise(big, 1, "t"), big)
    assert np.abs(noise.mean((1, 2)) - PICTURE.mean((1, 2))).max() < 6
    moved = baselines.shuffled_pixels(PICTURE, 1, "t")
    assert sorted(map(tuple, moved.reshape(3, -1).T)) == sorted(map(tuple, PICTURE.reshape(3, -1).T))
    assert not np.array_equal(moved, PICTURE)
    assert np.array_equal(baselines.blurred(big, 2.0), big)
    assert baselines.blurred(PICTURE, 3.0).std() < PICTURE.std()
    uniform = baselines.uniform_noise(PICTURE, 1, "t")
    assert abs(uniform.mean() - 127.5) < 6 and np.array_equal(uniform, baselines.uniform_noise(PICTURE * 0, 1, "t"))
    assert not np.array_equal(uniform, baselines.uniform_noise(PICTURE, 1, "u"))


def test_cut_and_join_undo_each_other_and_leave_the_border_out() -> None:
    canvas = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9)
    parts = cut(canvas, 3, 4)
    assert corners(7, 9, 3, 4).tolist() == [[0, 0], [0, 4], [3, 0], [3, 4]]
    assert np.array_equal(join(np.stack(parts), 7, 9), canvas[:6, :8])
    assert cut(canvas, 8, 4) == []


def test_a_split_without_tiles_is_an_error(slides: Any) -> None:
    with pytest.raises(InputError, match="no tile of split"):
        table(slides, "validation")


def test_class_weights_and_loss_by_hand() -> None:
    masks = np.array([[[1, 1, 1, 1, 0, 3]]], np.uint8)
    weights = class_weights(masks, 3)
    assert weights.tolist() == pytest.approx([2 / 3, 0, 4 / 3])
    scores = torch.zeros(1, 3, 1, 6, requires_grad=True)
    value = loss(scores, torch.from_numpy(masks.astype(np.int64)), weights)
    assert value.item() == pytest.approx(math.log(3))
    value.backward()
    assert scores.grad is not None and scores.grad[..., 4].abs().sum() == 0 and scores.grad[..., 5].abs().sum() > 0


def test_loss_of_all_unknown_is_zero() -> None:
    assert float(loss(torch.ones(1, 2, 1, 2), torch.zeros(1, 1, 2, dtype=torch.int64), torch.ones(2))) == 0.0


def test_batches_are_distinct_rows_and_the_rate_falls_to_zero() -> None:
    assert sorted(batch_rows(5, 9, 1, 0)) == [0, 1, 2, 3, 4]
    rows = batch_rows(50, 8, 1, 3)
    assert len(set(rows)) == 8 and np.array_equal(rows, batch_rows(50, 8, 1, 3))
    assert not np.array_equal(rows, batch_rows(50, 8, 1, 4))
    ours = training(10, 0.5)
    assert learning_rate(ours, 0) == 0.5 and learning_rate(ours, 5) == pytest.approx(0.25)
    assert learning_rate(ours, 10) == pytest.approx(0)


def test_pair_counts_compare_what_overlaps() -> None:
    big, small = np.ones((3, 4), np.uint8), np.full((2, 5), 2, np.uint8)
    counts = pair_counts([big, small], [big, small], 2)
    assert counts[0, 0].tolist() == [[12, 0], [0, 0]]
    assert counts[0, 1].tolist() == [[0, 0], [8, 0]]
    assert np.array_equal(counts[1, 0], confusion(big[:2], small[:, :4], 2))


def test_steering_is_perfect_on_own_and_chance_on_shuffled_masks() -> None:
    masks = [tissue(f"mask {i}", 64, 64)[1] for i in range(8)]
    found = steering(pair_counts(masks, masks, 4), 50, 99, 0.9, 1, "x")
    assert (found.own.value, found.own.low, found.own_iou) == (1.0, 1.0, (1.0,) * 4)
    assert found.shuffled.high < 0.5 and found.shuffled.p_value == 0.01
    turned = steering(pair_counts(masks, masks[1:] + masks[:1], 4), 50, 99, 0.9, 1, "x")
    assert turned.own.value < 0.5 and turned.shuffled.p_value > 0.05


def cloud(name: str, n: int, shift: float = 0.0) -> Sample:
    return Sample(generator(2, name, "cloud").standard_normal((n, 3)) * 4 + 5 + shift, np.arange(n))


def test_all_sets_share_one_scale_and_one_size_and_the_halves_do_not_meet() -> None:
    sets = normalised({"real_train": cloud("a", 50), "synthetic": cloud("b", 21), "x": cloud("c", 99)}, "real_train")
    assert np.allclose(sets["real_train"].features.mean(axis=0), 0)
    assert sets["real_train"].features.var(axis=0).mean() == pytest.approx(1)
    equal = equal_sets(sets, EVALUATE)
    assert {len(s.groups) for s in equal.values()} == {21}
    assert not set(equal["real_train_half"].groups) & set(equal["real_train_other_half"].groups)


def test_copies_are_flagged_and_independent_draws_are_not() -> None:
    train, held, fresh = (cloud(n, 80).features for n in ("train", "held", "fresh"))
    assert copy_ratios(train[:5], train, 3).tolist() == [0] * 5
    assert 0.5 < np.median(copy_ratios(held, train, 3)) < 2
    copied = copy_test(np.concatenate([fresh[:60], train[:20] + 1e-6]), held, train, EVALUATE)
    assert copied["flagged"] >= 20 and copied["p_value"] < 0.01
    assert copy_test(fresh, held, train, EVALUATE)["p_value"] > 0.05


def test_coinciding_originals_give_zero_or_infinity() -> None:
    originals = np.zeros((4, 2))
    assert copy_ratios(np.array([[0.0, 0.0], [1.0, 0.0]]), originals, 2).tolist() == [0.0, math.inf]


def test_principal_plane_finds_the_longest_direction() -> None:
    points = np.array([[-3.0, 0, 0], [3, 0, 0], [0, 1, 0], [0, -1, 0]]) + 5
    mean, axes = principal_plane(points)
    assert mean.tolist() == [5, 5, 5]
    assert np.allclose(axes, [[1, 0, 0], [0, 1, 0]])


def entry(candidate: str, value: float, half: float = 1.0) -> dict[str, Any]:
    estimate = {"value": value, "low": value - half, "high": value + half}
    return {
        "candidate": candidate,
        "reference": "real_test",
        **dict.fromkeys(("frechet", "precision", "recall"), estimate),
    }


@pytest.mark.parametrize(
    ("synthetic", "real", "noise", "words"),
    [
        (10, 9, 50, "not told from real"),
        (30, 9, 50, "nearer to it than noise"),
        (60, 9, 50, "no nearer to real tissue than noise"),
        (10, 9, 10, "judge nothing"),
    ],
)
def test_the_fidelity_verdict_follows_the_numbers(synthetic: float, real: float, noise: float, words: str) -> None:
    pairs = [entry("synthetic", synthetic), entry("real_train", real), entry("gaussian_noise", noise)]
    assert words in verdict.fidelity(pairs)
    assert ("above" if synthetic > real + 2 else "level with") in verdict.manifold(pairs)


@pytest.mark.parametrize(("p", "words"), [(0.001, "the masks steer"), (0.2, "no evidence")])
def test_the_steering_verdict_follows_the_p_value(p: float, words: str) -> None:
    own = {"value": 0.4, "low": 0.3, "high": 0.5}
    block = {"own": own, "shuffled": {"mean": 0.2, "low": 0.1, "high": 0.3, "p_value": p}}
    assert words in verdict.steering(block, block, 0.95)
    nothing = {**block, "own": {**own, "value": None}}
    assert "undefined" in verdict.steering(nothing, block, 0.95)
