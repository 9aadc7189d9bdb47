"""The matrices' arithmetic against numbers made by hand, and resampling against the law it must follow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.params import ScoringParams
from tasks.drift.synthesis import alone, figures, matrix, summary
from tasks.drift.synthesis.chance import chance, constant
from tasks.drift.synthesis.score import Condition, corruptions, data_models
from tasks.drift.synthesis.tally import Tally, best_shares, tally
from tasks.drift.synthesis.worst import worst
from tasks.learn.params import TaskParams
from tests.unit.drift.conftest import classification, segmentation

HOMES = ("p", "q", "r")
TILES = 100
Rates = Mapping[tuple[str, str], Mapping[str, float]]
"""(row, condition): group to share of hits."""


def scoring(**changes: Any) -> ScoringParams:
    own = {"corruptions": ("contrast", "elastic"), "severities": (2, 4), "shown_severity": 2, "resamples": 300}
    return ScoringParams.model_validate({"data_models": HOMES, **own, **changes})


def counted(hits: np.ndarray, params: ScoringParams, members: tuple[tuple[int, ...], ...]) -> Tally:
    """A tally of accuracy from hits of `TILES` (rows, conditions, groups); each member was scored on its groups."""
    seen = np.array([[g in own for g in range(hits.shape[2])] for own in members])
    below = np.broadcast_to(seen[None, :, None, :, None] * TILES, (len(hits), len(members), *hits.shape[1:], 1))
    above = hits[:, None, :, :, None] * seen[None, :, None, :, None]
    conditions = (*data_models(params), *corruptions(params))[: hits.shape[1]]
    named = tuple(f"fold{k}" for k in range(len(members))), tuple(f"g{k}" for k in range(hits.shape[2]))
    rows = HOMES[: len(hits)]
    return Tally(rows, named[0], conditions, named[1], 0, above.astype(float), below.astype(float), seen, float("nan"))


def flat(rates: list[list[float]], folds: int = 3) -> np.ndarray:
    """Hits (rows, conditions, groups) that are the same in each of `folds` groups."""
    return np.repeat(np.array(rates)[:, :, None] * TILES, folds, axis=2)


ONE_EACH = ((0,), (1,), (2,))
EASY = [
    [0.9, 0.8, 0.5, 0.9, 0.6, 0.4, 0.3, 0.2],
    [0.7, 0.8, 0.6, 0.8, 0.5, 0.7, 0.3, 0.1],
    [0.9, 0.5, 0.7, 0.7, 0.1, 0.1, 0.1, 0.1],
]
"""Under p, q, r; identity; contrast 2, 4; elastic 2, 4."""


def test_a_cell_is_mean_deviation_and_corrected_student_t() -> None:
    hits = np.array([[[80.0, 60.0, 70.0]]])
    (cell,) = matrix.cells(counted(hits, scoring(), ONE_EACH), 0.9)[0]
    half = stats.t.ppf(0.95, 2) * 0.1 * np.sqrt(1 / 3 + 1 / 2)
    assert [cell[k] for k in ("mean", "sd", "low", "high", "n")] == pytest.approx([0.7, 0.1, 0.7 - half, 0.7 + half, 3])


def test_rankings_drops_and_shared_names() -> None:
    found = matrix.document(counted(flat(EASY), scoring(), ONE_EACH), None, scoring(), 0.95, 1)
    ranked = found["rankings"]["data_models"]
    assert [(e["rank"], e["data_model"]) for e in ranked] == [(1, "p"), (2, "q"), (3, "r")]
    assert [e["mean"] for e in ranked] == pytest.approx([2.2 / 3, 2.1 / 3, 2.1 / 3])
    assert [e["best_share"] for e in ranked] == [1, 0, 0]
    severe = found["rankings"]["corruptions"]["4"]
    assert [e["data_model"] for e in severe] == ["q", "p", "r"]
    assert severe[0]["mean"] == pytest.approx((0.8 + 0.7 + 0.1) / 3), "identity, contrast 4, elastic 4"
    drops = found["drops"]
    assert drops["data_models"]["same"]["mean"] == pytest.approx(0.8)
    assert drops["data_models"]["other"]["mean"] == pytest.approx((0.8 + 0.5 + 0.7 + 0.6 + 0.9 + 0.5) / 6)
    mild = drops["data_models"]["drop"]["mean"]
    assert drops["corruptions"]["4"]["drop"]["mean"] == pytest.approx(0.8 - (0.4 + 0.2 + 0.7 + 0.1 + 0.1 + 0.1) / 6)
    assert drops["ratio"]["4"]["value"] == pytest.approx(drops["corruptions"]["4"]["drop"]["mean"] / mild)
    assert drops["ratio"]["4"]["low"] == pytest.approx(drops["ratio"]["4"]["value"]), "all groups are alike"
    assert drops["top3_shared"] == {"2": ["p", "q", "r"], "4": ["p", "q", "r"]}
    columns = found["rankings"]["columns"]
    assert columns["data_models"] == {"p": ["p", "r", "q"], "q": ["p", "q", "r"], "r": ["r", "q", "p"]}
    assert columns["corruptions"]["2"]["identity"] == ["p", "q", "r"]


def test_a_star_is_told_apart_only_from_all_rivals() -> None:
    """And not by differences that are equal, whose interval has no width."""
    steady, noisy = np.array([0.9, 0.91, 0.89]), np.array([0.2, 0.85, 0.7])
    near, equal = steady - [0.1, 0.11, 0.09], steady - 0.1
    for second, third, apart in ((near, near - 0.1, True), (near, noisy, False), (equal, near - 0.1, False)):
        hits = TILES * np.array([[steady], [second], [third]])
        star = matrix.stars_of(counted(hits, scoring(), ONE_EACH), scoring(), 0.95, 1)["p"]
        assert (star["train"], star["runner_up"], star["told_apart"]) == ("p", "q", apart)
        assert star["difference"]["mean"] == pytest.approx(0.1) and 0.06 < star["difference"]["low"] <= 0.1
        assert star["best_share"] == 1


def test_nothing_is_told_apart_of_chance() -> None:
    """Rows alike in truth: over many tables the share of false claims stays below 1 - confidence."""
    g = np.random.default_rng(5)
    claims = 0
    for _ in range(200):
        hits = g.binomial(TILES, 0.8, (3, 1, 3)).astype(float)
        claims += matrix.stars_of(counted(hits, scoring(resamples=20), ONE_EACH), scoring(resamples=20), 0.9, 1)["p"][
            "told_apart"
        ]
    assert claims <= 200 * 0.1


def test_resamples_follow_the_law_of_two_groups() -> None:
    """Of two groups each pair of draws has probability 1/4; a fold without a drawn group has no say."""
    hits = TILES * np.array([[[0.9, 0.5]], [[0.6, 0.7]]])
    for members in (((0, 1),), ((0,), (1,))):
        counts = counted(hits, scoring(), members)
        draws = counts.resampled(4000, 3)[:, 0, 0]
        shares = [np.isclose(draws, v).mean() for v in (0.9, 0.7, 0.5)]
        np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)
        assert sum(shares) == 1
        # p is better in g0, and where each group is drawn once; q where g1 is drawn twice.
        np.testing.assert_allclose(best_shares(counts.resampled(4000, 3))[:, 0], [0.75, 0.25], atol=0.03)


def test_resamples_of_many_groups_have_the_standard_error() -> None:
    g = np.random.default_rng(2)
    hits = g.integers(40, 100, (1, 1, 60)).astype(float)
    draws = counted(hits, scoring(), (tuple(range(60)),)).resampled(4000, 1)[:, 0, 0]
    assert draws.std() == pytest.approx(hits.std() / TILES / np.sqrt(60), rel=0.06)
    assert draws.mean() == pytest.approx(hits.mean() / TILES, abs=0.003)


def test_cells_see_the_same_draws() -> None:
    g = np.random.default_rng(2)
    hits = g.integers(40, 60, (1, 2, 5)).astype(float)
    hits[0, 1] = hits[0, 0] + 10
    draws = counted(hits, scoring(), ((0, 1), (2, 3), (4,))).resampled(50, 1)
    np.testing.assert_allclose(draws[:, 0, 1] - draws[:, 0, 0], 0.1)
    assert draws[:, 0, 0].std() > 0


def test_equal_rows_share_the_resamples() -> None:
    assert best_shares(np.array([[[0.5], [0.5], [0.4]], [[0.5], [0.6], [0.6]]]))[:, 0].tolist() == [0.25, 0.5, 0.25]


def test_the_groups_are_left_out_in_turn() -> None:
    """Of a fold with one group and one with two; without its one group a fold has no say."""
    counts = counted(TILES * np.array([[[0.9, 0.5, 0.8]]]), scoring(), ((0,), (1, 2)))
    without = counts.without_each()[:, 0, 0]
    np.testing.assert_allclose(without, [(0.5 + 0.8) / 2, (0.9 + 0.8) / 2, (0.9 + 0.5) / 2])
    assert counts.mean().item() == pytest.approx((0.9 + 0.65) / 2)
    assert np.isnan(counted(TILES * np.array([[[0.9]]]), scoring(), ((0,),)).without_each()).all()


def test_held_out_scores_have_intervals_over_groups_and_one_group_none() -> None:
    """Two models on the same test groups: Student's t of the groups' means, by hand."""
    hits = TILES * np.array([[[0.9, 0.7, 0.8]]])
    (cell,) = matrix.held_out(counted(hits, scoring(), ((0, 1, 2), (0, 1, 2))), 0.9)["matrix"][0]
    half = stats.t.ppf(0.95, 2) * 0.1 / np.sqrt(3)
    assert [cell[k] for k in ("mean", "low", "high", "n")] == pytest.approx([0.8, 0.8 - half, min(0.8 + half, 1), 3])
    (one,) = matrix.held_out(counted(hits[:, :, :1], scoring(), ((0,), (0,))), 0.9)["matrix"][0]
    assert one == {"mean": 0.9, "sd": None, "low": None, "high": None, "n": 1.0}


def table(params: TaskParams, entries: list[tuple[str, str, str, str, list[tuple[int, int, int]]]]) -> pd.DataFrame:
    """Rows (member, tile, group, condition) of the model trained on p, with (hit, false alarm, miss) by class."""
    classes = params.classes if params.task == "classification" else params.classes[1:]
    rows = []
    for member, tile, group, name, counts in entries:
        row = {"data_model": "p", "member": member, "tile_id": tile, "group": group, "kind": "data_model"}
        row |= {"condition": name, "severity": 0, "role": "validation"}
        for c, three in zip(classes, counts, strict=True):
            row |= dict(zip((f"hit_{c}", f"false_alarm_{c}", f"miss_{c}"), three, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


P, Q = Condition("data_model", "p", 0), Condition("data_model", "q", 0)


def test_iou_is_pooled_within_folds_and_1_of_nothing() -> None:
    params = TaskParams.model_validate(segmentation())
    rows = [
        ("fold0", "a", "g1", "p", [(30, 10, 10)]),
        ("fold0", "b", "g1", "p", [(0, 50, 0)]),
        ("fold1", "c", "g2", "p", [(0, 0, 0)]),
    ]
    counts = tally(table(params, rows), params, ("p",), (P,))
    assert counts.of_members()[0, :, 0].tolist() == [0.3, 1.0]
    assert counts.tiles == 3 and counts.seen.tolist() == [[True, False], [False, True]]


def test_accuracy_counts_each_tile_once() -> None:
    params = TaskParams.model_validate(classification())
    right, wrong = [(1, 0, 0), (0, 0, 0)], [(0, 0, 1), (0, 1, 0)]
    rows = [("fold0", t, "g1", "p", right if t != "b" else wrong) for t in "abcd"]
    assert tally(table(params, rows), params, ("p",), (P,)).of_members().item() == 0.75


def test_the_worst_tile_is_the_one_that_drops_most() -> None:
    params = TaskParams.model_validate(segmentation())
    after = {"a": (5, 0, 5), "b": (2, 0, 8), "c": (10, 0, 0)}
    rows = [("fold0", t, "g1", "p", [(10, 0, 0)]) for t in after]
    rows += [("fold0", t, "g1", "q", [counts]) for t, counts in after.items()]
    scores = table(params, rows)
    counts = tally(scores, params, ("p",), (P, Q))
    found = worst(scores, counts, counts, params, None, 0.9)
    assert found is not None
    assert found == {
        "train": "p",
        "test": "q",
        "tile": "b",
        "drop": pytest.approx(1 - 17 / 30),
        "low": None,
        "high": None,
    }
    assert worst(scores, counts, counts.pick((P,)), params, None, 0.9) is None


def test_a_given_model_has_intervals_over_groups() -> None:
    hits = TILES * np.array(
        [[[0.9, 0.7], [0.5, 0.3], [0.8, 0.8], [0.9, 0.7], [0.4, 0.4], [0.2, 0.2], [0.2, 0], [0, 0]]]
    )
    found = alone.document(counted(hits, scoring(), ((0, 1),)), scoring(), 0.95)
    assert found["matrix"][0][0] == {"mean": pytest.approx(0.8), "sd": None, "low": 0.0, "high": 1.0, "n": 2.0}, (
        "two groups"
    )
    assert found["matrix"][0][2]["low"] == found["matrix"][0][2]["high"] == 0.8
    drops = found["drops"]
    assert drops["data_models"]["drop"]["mean"] == pytest.approx(0.8 - 0.6)
    half = stats.t.ppf(0.975, 1) * 0.1 / np.sqrt(2) / np.sqrt(2)
    wide = drops["data_models"]["drop"]
    assert [wide["low"], wide["high"]] == pytest.approx([0.2 - half, 0.2 + half]), "0.25 and 0.15, paired"
    assert drops["corruptions"]["2"]["drop"]["mean"] == pytest.approx(0.8 - (0.4 + 0.1) / 2)
    assert drops["ratio"]["2"]["value"] == pytest.approx(0.55 / 0.2)
    assert found["stars"] is None and found["rankings"] is None


def test_without_corruptions_there_are_data_models_alone() -> None:
    params = scoring(corruptions=())
    found = matrix.document(counted(flat([r[:4] for r in EASY]), params, ONE_EACH), None, params, 0.95, 1)
    assert found["corrupted"] == {} and found["drops"]["ratio"] == {} and found["drops"]["top3_shared"] == {}


def test_numbers_to_follow_and_figures_of_the_same_bytes(tmp_path: Any) -> None:
    params = scoring()
    found = matrix.document(counted(flat(EASY), params, ONE_EACH), None, params, 0.95, 1)
    heading = {"main": "accuracy", "confidence": 0.95, "seed": 1, "folds": [0, 1, 2], "groups": 3, "tiles": 9}
    names = {"rows": HOMES, "data_models": HOMES, "corruptions": ("identity", "contrast", "elastic")}
    found |= {**heading, **names, "severities": [2, 4]}
    assert summary.scalars(found)["corruptions_4_same_accuracy"] == pytest.approx(0.8)
    drawn = [figures.matrices(tmp_path / f"{k}.png", found, 4).read_bytes() for k in range(2)]
    assert drawn[0] == drawn[1] and drawn[0][:4] == b"\x89PNG"
    assert figures.matrices(tmp_path / "2.png", found, 2).read_bytes() != drawn[0]


def scored_by_truth(params: TaskParams, truth: np.ndarray, guess: np.ndarray, members: list[str]) -> pd.DataFrame:
    """A score table of two models under two conditions each, from class indices (n, pixels)."""
    first = 1 if params.task == "segmentation" else 0
    rows = []
    for row, name in ((r, c) for r in ("p", "q") for c in ("p", "q")):
        for i, (t, g) in enumerate(zip(truth, guess, strict=True)):
            own = {"data_model": row, "member": members[i], "role": "validation", "tile_id": f"t{i}"}
            entry: dict[str, Any] = {**own, "kind": "data_model", "condition": name, "severity": 0}
            for k, called in enumerate(params.classes[first:], first):
                counts = (t == k) & (g == k), (t != k) & (g == k), (t == k) & (g != k)
                for what, found in zip(("hit", "false_alarm", "miss"), counts, strict=True):
                    entry[f"{what}_{called}"] = int(found.sum())
            rows.append(entry)
    return pd.DataFrame(rows)


def test_chance_is_the_score_of_the_best_constant_answer() -> None:
    """By scoring every constant answer on the truth; what the models guessed has no say."""
    g, members = np.random.default_rng(8), ["fold0"] * 5 + ["fold1"] * 7
    params = TaskParams.model_validate(classification())
    truth, guess = (g.integers(0, len(params.classes), (12, 1)) for _ in range(2))
    tiles = pd.DataFrame({"tile_id": [f"t{i}" for i in range(12)], "height_px": 4, "width_px": 4})
    right = [np.mean([(truth[:5] == k).mean(), (truth[5:] == k).mean()]) for k in range(len(params.classes))]
    assert chance(scored_by_truth(params, truth, guess, members), tiles, params) == pytest.approx(max(right))


def test_chance_of_a_segmentation_is_the_iou_of_a_class_everywhere() -> None:
    g, members = np.random.default_rng(9), ["fold0"] * 5 + ["fold1"] * 7
    params = TaskParams.model_validate(segmentation())
    assert len(params.classes) == 2
    truth, guess = g.integers(0, 4, (12, 16)) == 0, g.integers(0, 2, (12, 16)) == 1
    tiles = pd.DataFrame({"tile_id": [f"t{i}" for i in range(12)], "height_px": 4, "width_px": 4})
    wanted = np.mean([truth[:5].mean(), truth[5:].mean()])
    table = scored_by_truth(params, truth.astype(int), guess.astype(int), members)
    assert chance(table, tiles, params) == pytest.approx(wanted)


def test_constant_answers_of_several_classes_and_of_none() -> None:
    """An absent class that is not named counts as 1, as in any score."""
    params = TaskParams.model_validate({**segmentation(), "classes": ("other", "car", "road")})
    assert constant(np.array([25, 10]), 100, params) == pytest.approx([0.125, 0.05, 0.0])
    assert constant(np.array([0, 10]), 100, params) == pytest.approx([0.0, 0.55, 0.5])
