"""What drift forensics measures: the metric, its intervals, and which ranges they support."""

import numpy as np
import pytest
from scipy import stats

from tasks.drift.forensics import summarise
from tasks.drift.forensics.measure import Judge, Tally, main_value, parts_of, tally_of
from tasks.learn import scores
from tests.unit.drift.forensics_data import BRIGHT, RED


def test_the_main_metric_is_the_stages() -> None:
    counts = np.random.default_rng(4).integers(0, 9, (5, 2, 2))
    for task in (RED, BRIGHT):
        wanted = scores.headline(counts, task)[scores.main_metric(task)]
        assert float(main_value(parts_of(counts.sum(axis=0), task), task)) == pytest.approx(wanted)
    assert float(main_value(parts_of(np.array([[9, 0], [0, 0]]), BRIGHT), BRIGHT)) == 1


def tally(right: list[int], wrong: list[int]) -> Tally:
    """Of a classifier with all truth in the first class, by group."""
    parts = np.array([[[r, 0, w], [0, w, 0]] for r, w in zip(right, wrong, strict=True)])
    sizes = np.array(right) + np.array(wrong)
    return Tally(tuple(f"g{i}" for i in range(len(right))), parts, 0.5 * sizes, sizes)


JUDGE = Judge(RED, 0.9)


def test_one_models_interval_is_students_of_its_groups() -> None:
    shares = [0.1, 0.4, 0.5, 0.6, 0.9, 0.3, 0.8, 0.2]
    cell = JUDGE.metric({"given": tally([round(100 * s) for s in shares], [round(100 - 100 * s) for s in shares])})
    assert cell["mean"] == pytest.approx(np.mean(shares)) and cell["n"] == 8
    half = stats.t.ppf(0.95, 7) * np.std(shares, ddof=1) / 8**0.5
    assert [cell["low"], cell["high"]] == pytest.approx([cell["mean"] - half, cell["mean"] + half])
    moved = JUDGE.l2({"given": tally([3, 2], [1, 2])})
    assert [moved[k] for k in ("mean", "low", "high")] == pytest.approx([0.5, 0.5, 0.5])


def test_one_group_has_no_interval() -> None:
    cell = JUDGE.metric({"given": tally([3], [1])})
    assert cell["mean"] == 0.75 and cell["low"] is None and cell["sd"] is None


def test_the_loss_of_several_models_is_paired() -> None:
    before = {f"fold{k}": tally([10 - k], [k]) for k in range(3)}
    after = {f"fold{k}": tally([9 - k], [k + 1]) for k in range(3)}
    same = JUDGE.loss(before, after)
    assert [same[k] for k in ("value", "low", "high")] == pytest.approx([0.1, 0.1, 0.1])
    gained = {**after, "fold0": tally([10], [0])}
    found, values = JUDGE.loss(before, gained), [0.0, 0.1, 0.1]
    half = stats.t.ppf(0.95, 2) * np.std(values, ddof=1) * (1 / 3 + 1 / 2) ** 0.5
    assert found["low"] == pytest.approx(np.mean(values) - half) and found["low"] < 0


def test_the_loss_of_one_model_is_paired_by_group() -> None:
    before, after = tally([10, 4, 7], [0, 6, 3]), tally([9, 3, 6], [1, 7, 4])
    assert [JUDGE.loss({"given": before}, {"given": after})[k] for k in ("low", "high")] == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(
    ("confirmed", "groups", "low", "high", "supported"),
    [
        (True, 2, -0.02, 0.05, True),
        (True, 1, -0.02, 0.05, False),
        (True, 2, 0.0, 0.0, False),
        (True, 2, None, None, False),
        (True, 2, -0.02, 0.06, False),
        (False, 2, -0.02, 0.05, False),
    ],
)
def test_a_range_is_supported_by_the_interval_of_several_groups(
    confirmed: bool, groups: int, low: float | None, high: float | None, supported: bool
) -> None:
    entry = {"confirmed": confirmed, "supported": True, "at_limit": {"loss": {"value": 0.0, "low": low, "high": high}}}
    assert summarise.ranged(entry, groups, 0.05) == {**entry, "supported": supported}


def test_a_tally_survives_its_document() -> None:
    one = tally([3, 2], [1, 0])
    back = tally_of(one.document())
    assert back.groups == one.groups and np.array_equal(back.parts, one.parts) and np.array_equal(back.tiles, one.tiles)
