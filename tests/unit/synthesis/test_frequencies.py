"""Label frequencies: closed forms of shares, distance and intervals."""

import numpy as np
import pytest

from tasks.rng import generator
from tasks.synthesis.frequencies import compare, metrics, shares, table, total_variation


def test_shares_and_distance_have_their_closed_forms():
    masks = [np.zeros((2, 2), np.uint8), np.array([[1, 2], [2, 2]], np.uint8)]
    found = shares(masks, 2)
    assert found.tolist() == [[1, 0, 0], [0, 0.25, 0.75]]
    assert total_variation(found[0], found[1]) == 1
    assert total_variation(np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])) == pytest.approx(0.1)


def drawn(p: float, n: int, name: str) -> np.ndarray:
    ones = generator(1, name, "test").binomial(100, p, n) / 100
    return np.stack([1 - ones, ones], 1)


def test_sets_of_one_law_are_within_chance_about_as_often_as_stated():
    within = [
        (c := compare(drawn(0.4, 30, f"a{k}"), drawn(0.4, 30, f"b{k}"), 99, 0.9, k, "x")).distance <= c.chance
        for k in range(60)
    ]
    assert 0.78 < np.mean(within) <= 1.0


def test_sets_of_other_laws_are_told_apart_and_intervals_hold_the_truth():
    found = compare(drawn(0.3, 40, "a"), drawn(0.5, 40, "b"), 200, 0.95, 1, "x")
    assert found.distance == pytest.approx(0.2, abs=0.05) and found.distance > 2 * found.chance
    for interval, truth in ((found.real_interval, 0.3), (found.generated_interval, 0.5)):
        assert interval[0, 1] < truth + 0.02 and interval[1, 1] > truth - 0.02 and np.ptp(interval[:, 1]) < 0.06


def test_the_table_and_the_metrics_say_the_same():
    found = {"solid_64": compare(drawn(0.3, 5, "a"), drawn(0.5, 5, "b"), 20, 0.95, 1, "x")}
    rows, numbers = table(found, ["unknown", "red"]), metrics(found, ["unknown", "red"])
    assert rows["masks"].tolist() == ["solid_64"] * 2 and rows["label"].tolist() == ["unknown", "red"]
    assert numbers["label_fraction_solid_64_red_real"] == rows["real"][1]
    assert numbers["label_distance_solid_64"] == pytest.approx(abs(rows["real"][1] - rows["generated"][1]))
