"""Views, baselines, tiles, the segmenter's loss, steering counts, comparisons and verdicts, each by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.evaluation import baselines, verdict
from tasks.evaluation.augment import labelled_view, place, recolour, scaled
from tasks.evaluation.compare import Sample, contrasts, equal_sets, normalised, principal
from tasks.evaluation.figures import principal_plane
from tasks.evaluation.intervals import permutation_test
from tasks.evaluation.overlap import confusion
from tasks.evaluation.params import Augmentation
from tasks.evaluation.segment import class_weights, loss
from tasks.evaluation.steering import ceiling_share, pair_counts, steering, strata
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


def test_pair_counts_compare_what_has_one_shape() -> None:
    big, small = np.ones((3, 4), np.uint8), np.full((3, 4), 2, np.uint8)
    counts = pair_counts([big, small, big[:2]], [big, small, big[:2]], 2)
    assert counts[0, 0].tolist() == [[12, 0], [0, 0]]
    assert np.array_equal(counts[1, 0], confusion(big, small, 2))
    assert counts[2, :2].sum() == counts[:2, 2].sum() == 0 and counts[2, 2, 0, 0] == 8
    assert strata([(3, 4), (2, 4), (3, 4), (1, 1)]).tolist() == [2, -1, 2, -1]


def test_own_and_shuffled_masks_count_the_same_pixels() -> None:
    masks = [tissue(f"size {i}", side, 64)[1] for i, side in enumerate((32, 64, 32, 64, 32))]
    counts, groups = pair_counts(masks, masks, 4), strata([m.shape for m in masks])
    pixels: list[int] = []
    permutation_test(lambda o: float(pixels.append(counts[np.arange(5), o].sum()) or 0), groups, 20, 0.9, 1, "x")
    assert set(pixels) == {sum(m.size for m in masks)}


def test_steering_is_perfect_on_own_and_chance_on_shuffled_masks() -> None:
    masks = [tissue(f"mask {i}", 64, 64)[1] for i in range(8)]
    one = np.zeros(8, np.int64)
    found = steering(pair_counts(masks, masks, 4), one, 50, 99, 0.9, 1, "x")
    assert (found.own.value, found.own.low, found.own_iou) == (1.0, 1.0, (1.0,) * 4)
    assert found.shuffled.high < 0.5 and found.shuffled.p_value == 0.01
    assert found.gain == pytest.approx(1 - np.mean(found.shuffled_iou))
    turned = steering(pair_counts(masks, masks[1:] + masks[:1], 4), one, 50, 99, 0.9, 1, "x")
    assert turned.own.value < 0.5 and turned.shuffled.p_value > 0.05 and abs(turned.gain) < 0.2


def test_the_share_of_the_ceiling_by_hand() -> None:
    share = ceiling_share(0.2, [0.1, 0.2, 0.3], 0.8, [0.8, 0.8, 0.8], 0.999)
    assert share.value == pytest.approx(0.25)
    assert (share.low, share.high) == pytest.approx((0.125, 0.375), abs=1e-3)
    assert math.isnan(ceiling_share(0.2, [0.2], 0.1, [-0.1, 0.1, 0.3], 0.9).value)


def cloud(name: str, n: int, shift: float = 0.0) -> Sample:
    return Sample(generator(2, name, "cloud").standard_normal((n, 3)) * 4 + 5 + shift, np.arange(n))


def test_all_sets_share_one_scale_and_one_size_and_the_halves_do_not_meet() -> None:
    sets = normalised({"real_train": cloud("a", 50), "synthetic": cloud("b", 21), "x": cloud("c", 99)}, "real_train")
    assert np.allclose(sets["real_train"].features.mean(axis=0), 0)
    assert sets["real_train"].features.var(axis=0).mean() == pytest.approx(1)
    equal = equal_sets(sets, EVALUATE)
    assert {len(s.groups) for s in equal.values()} == {21}
    assert not set(equal["real_train_half"].groups) & set(equal["real_train_other_half"].groups)


def test_the_halves_keep_groups_whole_and_frechet_sees_the_longest_directions() -> None:
    train = Sample(cloud("a", 64).features, np.arange(64) // 4)
    equal = equal_sets({"real_train": train, "synthetic": cloud("b", 21)}, EVALUATE)
    halves = [set(equal[n].groups) for n in ("real_train_half", "real_train_other_half")]
    assert not halves[0] & halves[1]
    stretched = cloud("a", 50).features * [1.0, 9.0, 3.0]
    assert np.allclose(np.abs(principal(stretched, 2)), [[0, 0], [1, 0], [0, 1]], atol=0.1)


def test_a_difference_is_told_where_two_intervals_overlap() -> None:
    """The held-out tiles are common to both distances: their chance cancels."""
    sets = {name: cloud(name, 60) for name in ("real_train", "real_test", "gaussian_noise", "blurred")}
    sets["synthetic"] = Sample(sets["real_train"].features, sets["real_train"].groups)
    sets["gaussian_noise"] = cloud("noise", 60, 9.0)
    found = {(c["candidate"], c["other"]): c["frechet"] for c in contrasts(sets, np.eye(3), EVALUATE)}
    assert found["synthetic", "real_train"]["value"] == 0
    assert found["synthetic", "real_train"]["low"] < 0 < found["synthetic", "real_train"]["high"]
    assert found["gaussian_noise", "real_train"]["low"] > 0 > found["synthetic", "gaussian_noise"]["high"]


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


def differences(real: float, noise: float, over_noise: float, over_blurred: float) -> list[dict[str, Any]]:
    """Contrasts with intervals of +- 1 about these values."""
    names = [("synthetic", "real_train"), ("gaussian_noise", "real_train")]
    names += [("synthetic", "gaussian_noise"), ("synthetic", "blurred")]
    values = (real, noise, over_noise, over_blurred)
    return [
        {"candidate": c, "other": o, "frechet": {"value": v, "low": v - 1, "high": v + 1}}
        for (c, o), v in zip(names, values, strict=True)
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.5, 40, -40, -9), "not told from real training tiles at this sample size"),
        ((1.5, 40, -40, -9), "told from real tissue, and nearer to it than noise and blurred"),
        ((0.5, 40, -40, -0.5), "not told to be nearer than blurred"),
        ((0.5, 40, -0.5, -9), "not told to be nearer to real tissue than noise"),
        ((0.5, 0.5, -40, -9), "judge nothing"),
    ],
)
def test_the_fidelity_verdict_follows_the_differences(values: tuple[float, ...], words: str) -> None:
    pairs = [entry("synthetic", 10), entry("real_train", 9.5), entry("gaussian_noise", 50)]
    assert words in verdict.fidelity(pairs, differences(*values))
    assert "not told from" in verdict.manifold(pairs)
    assert "above" in verdict.manifold([entry("synthetic", 30), *pairs[1:]])


@pytest.mark.parametrize(
    ("p", "low", "words"),
    [
        (0.001, 0.3, "the masks steer"),
        (0.001, 0.2, "some effect"),
        (0.001, None, "the segmenter does not see"),
        (0.2, 0.3, "no evidence"),
    ],
)
def test_the_steering_verdict_needs_p_and_a_share_of_the_ceiling(p: float, low: float | None, words: str) -> None:
    own = {"value": 0.4, "low": 0.3, "high": 0.5}
    side = {"own": own, "shuffled": {"mean": 0.2, "low": 0.1, "high": 0.3, "p_value": p}}
    share = {"value": None if low is None else 0.5, "low": low, "high": 0.7, "least": 0.25}
    block = {"synthetic": side, "real": side, "share": share}
    assert words in verdict.steering(block, 0.95)
    assert ("the masks steer the images" in verdict.steering(block, 0.95).split(": ")[-1]) == (
        words in ("the masks steer", "no evidence")
    )
    nothing = {**side, "own": {**own, "value": None}}
    assert "undefined" in verdict.steering({**block, "synthetic": nothing}, 0.95)
