"""IoU, Dice and confusion counts by hand, and their rules on what is empty or unknown."""

import numpy as np
import pytest

from tasks.evaluation.overlap import confusion, dice, iou, mean_iou

TRUTH = np.array([[1, 1, 2], [2, 0, 0]], np.uint8)
GUESS = np.array([[1, 2, 2], [2, 1, 3]], np.uint8)


def test_counts_leave_unknown_truth_out() -> None:
    assert confusion(TRUTH, GUESS, 3).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_iou_and_dice_by_hand_and_nan_for_an_absent_class() -> None:
    counts = confusion(TRUTH, GUESS, 3)
    assert iou(counts)[:2].tolist() == [0.5, 2 / 3]
    assert dice(counts)[:2].tolist() == [2 / 3, 0.8]
    assert np.isnan(iou(counts)[2]) and np.isnan(dice(counts)[2])
    assert mean_iou(counts) == pytest.approx((0.5 + 2 / 3) / 2)


def test_a_class_only_predicted_scores_zero_and_stays_out_of_the_mean() -> None:
    counts = confusion(np.array([1, 1], np.uint8), np.array([1, 2], np.uint8), 2)
    assert iou(counts).tolist() == [0.5, 0.0]
    assert mean_iou(counts) == 0.5


def test_a_class_that_is_missed_counts_as_zero() -> None:
    counts = confusion(np.array([1, 2], np.uint8), np.array([1, 1], np.uint8), 2)
    assert mean_iou(counts) == 0.25


def test_perfect_agreement_is_one_and_all_unknown_has_no_mean() -> None:
    assert mean_iou(confusion(TRUTH, np.where(TRUTH == 0, 1, TRUTH).astype(np.uint8), 3)) == 1.0
    empty = confusion(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), 3)
    assert empty.sum() == 0 and np.isnan(mean_iou(empty)) and np.isnan(iou(empty)).all()


@pytest.mark.parametrize(("truth", "guess"), [([4], [1]), ([1], [0]), ([1], [4])])
def test_labels_out_of_range_are_refused(truth: list[int], guess: list[int]) -> None:
    with pytest.raises(ValueError, match="beyond"):
        confusion(np.array(truth, np.uint8), np.array(guess, np.uint8), 3)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        confusion(TRUTH, GUESS[:1], 3)
