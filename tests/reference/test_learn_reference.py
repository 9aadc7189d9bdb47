"""Metrics and losses against scikit-learn and MONAI."""

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceLoss
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from sklearn import metrics as sk

from tasks.learn import losses, metrics
from tasks.learn.metrics import counts_of

CLASSES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(5))
def test_classification_metrics_are_scikit_learns(seed: int) -> None:
    g = np.random.default_rng(seed)
    truth = g.choice(4, 60, p=[0.5, 0.3, 0.2, 0.0] if seed == 0 else [0.4, 0.3, 0.2, 0.1])
    guess = np.where(g.random(60) < 0.6, truth, g.integers(0, 3 + (seed > 1), 60))
    matrix = metrics.confusion(truth, guess, 4)
    assert np.array_equal(matrix, sk.confusion_matrix(truth, guess, labels=range(4)))
    assert metrics.accuracy(matrix) == pytest.approx(sk.accuracy_score(truth, guess))
    assert metrics.balanced_accuracy(matrix) == pytest.approx(
        sk.recall_score(truth, guess, average=None)[np.isin(np.union1d(truth, guess), truth)].mean()
    )
    wanted = sk.precision_recall_fscore_support(truth, guess, labels=range(4), zero_division=np.nan)
    jaccard = sk.jaccard_score(truth, guess, labels=range(4), average=None, zero_division=1)
    for k, (name, found) in enumerate(metrics.per_class(matrix, CLASSES).items()):
        ours = [found["precision"], found["recall"], found["f1"], found["support"]]
        np.testing.assert_allclose([np.nan if v is None else v for v in ours], [w[k] for w in wanted], err_msg=name)
        assert found["iou"] == pytest.approx(jaccard[k])


def test_overlap_is_monais_also_on_empty_masks() -> None:
    g = np.random.default_rng(1)
    truth, guess = g.random((6, 1, 16, 16)) < 0.3, g.random((6, 1, 16, 16)) < 0.4
    truth[0] = guess[0] = False
    truth[1], guess[2] = False, False
    t, p = torch.from_numpy(truth).float(), torch.from_numpy(guess).float()
    dices, ious = compute_dice(p, t, ignore_empty=False), compute_iou(p, t, ignore_empty=False)
    for i in range(6):
        counts = counts_of(metrics.confusion(truth[i].astype(int), guess[i].astype(int), 2), 1)
        assert metrics.dice(*counts) == pytest.approx(dices[i].item())
        assert metrics.iou(*counts) == pytest.approx(ious[i].item())


def test_soft_dice_is_monais() -> None:
    g = torch.Generator().manual_seed(1)
    logits, truth = torch.randn(3, 4, 8, 8, generator=g), torch.randint(0, 4, (3, 8, 8), generator=g)
    peer = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        squared_pred=True,
        batch=True,
        smooth_nr=0,
        smooth_dr=0,
    )
    torch.testing.assert_close(losses.soft_dice(logits, truth), peer(logits, truth[:, None]))
