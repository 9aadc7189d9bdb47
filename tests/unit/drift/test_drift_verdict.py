"""The findings: what the intervals allow is said, and what they do not is not."""

from typing import Any

import pytest

from tasks.drift.page.verdict import below, findings, harmed
from tasks.drift.page.words import listed
from tasks.drift.statistics import sign
from tests import drift_documents as made
from tests.drift_documents import cell


def found(**documents: Any) -> dict[str, dict[str, str]]:
    return {finding["title"]: finding for finding in findings(documents)}


def test_an_interval_that_leaves_out_0_is_told_and_one_that_does_not_is_open() -> None:
    assert [sign(cell(m, h)) for m, h in ((0.02, 0.01), (-0.02, 0.01), (0.02, 0.03), (0.02, None))] == [1, -1, 0, 0]
    assert below(cell(0.5, 0.1), cell(0.8, 0.1))
    assert not below(cell(0.65, 0.1), cell(0.8, 0.1))
    assert not below(cell(0.5, None), cell(0.8, 0.1))
    assert not below(None, cell(0.8))
    assert not below(cell(0.0, 0.0), cell(0.44, 0.4)), "a few equal values convict nothing"


@pytest.mark.parametrize(
    ("drop", "half", "stated", "tone", "words"),
    [
        (0.2, 0.01, None, "poor", "cost something"),
        (0.2, 0.01, 0.05, "poor", "cost something"),
        (0.02, 0.01, 0.05, "good", "at most the 0.05"),
        (0.02, 0.1, 0.05, "fair", "not told apart from no effect"),
        (0.0, 0.01, 0.05, "good", "at most the 0.05"),
        (0.0, 0.01, None, "fair", "not told apart from no effect"),
        (-0.1, 0.01, None, "good", "gain"),
        (0.2, None, 0.05, "fair", "0.200; one fold or group alone gives no interval"),
        (0.2, 0.0, 0.05, "plain", "all folds or groups are alike"),
        (0.0, 0.0, 0.05, "fair", "all folds or groups are alike"),
    ],
)
def test_a_drop_is_judged_by_its_interval_and_by_the_loss_stated(
    drop: float, half: float | None, stated: float | None, tone: str, words: str
) -> None:
    document = made.synthesis()
    document["drops"]["data_models"]["drop"] = cell(drop, half)
    documents = {"synthesis": document}
    if stated is not None:
        documents["forensics"] = {**made.forensics(), "loss_stated": stated}
    judged = found(**documents)["Other data models"]
    assert judged["tone"] == tone
    assert words in judged["text"]


def test_conditions_that_harm_are_counted_against_home() -> None:
    document = made.synthesis(drop=0.1, half=0.02)
    assert harmed(made.CORRUPTIONS, document["corrupted"]["3"], 0) == {"gaussian_noise": 12, "contrast": 0}
    assert harmed(made.MODELS, document["matrix"], None) == dict.fromkeys(made.MODELS, 11)
    judged = found(synthesis=document)["Single corruptions, severity 3"]
    assert judged["tone"] == "poor"
    assert "gaussian noise (12 of 12 models)" in judged["text"]
    assert "Not told apart: contrast" in judged["text"]


def test_nothing_is_claimed_where_all_intervals_overlap() -> None:
    document = made.synthesis(drop=0.01, half=0.05, noise=0.79)
    document["drops"]["corruptions"]["3"]["drop"] = cell(0.01, 0.05)
    document["drops"]["ratio"]["3"] = {"value": 1.0, "low": 0.2, "high": 5.0}
    for star in document["stars"]["data_models"].values():
        star["told_apart"] = False
    first, *rest = findings({"synthesis": document})
    assert (first["title"], first["tone"]) == ("Score at home", "plain")
    assert {finding["tone"] for finding in rest} == {"fair"}


def test_the_ratio_of_drops_is_claimed_by_its_interval_alone() -> None:
    document = made.synthesis()
    title = "Corruptions of severity 3 against data models"
    for ratio, words in (((10.0, 5.0, 20.0), "told to be more"), ((0.5, 0.2, 0.9), "told to be less")):
        document["drops"]["ratio"]["3"] = dict(zip(("value", "low", "high"), ratio, strict=True))
        assert words in found(synthesis=document)[title]["text"]
    document["drops"]["ratio"]["3"] = {"value": None, "low": None, "high": None}
    assert "not defined" in found(synthesis=document)[title]["text"]


@pytest.mark.parametrize(
    ("data_models", "corruptions", "said"),
    [
        (cell(0.02), cell(0.01, 0.05), False),
        (cell(0.02), cell(-0.2), False),
        (cell(0.02, 0.05), cell(0.2), False),
        (cell(0.02, 0.0), cell(0.2), False),
        (cell(0.02), cell(0.2), True),
    ],
)
def test_a_ratio_of_drops_that_were_not_both_told_is_not_stated(data_models: Any, corruptions: Any, said: bool) -> None:
    document = made.synthesis()
    document["drops"]["data_models"]["drop"] = data_models
    document["drops"]["corruptions"]["3"]["drop"] = corruptions
    document["drops"]["ratio"]["3"] = {"value": 0.5, "low": 0.2, "high": 0.9}
    judged = found(synthesis=document)["Corruptions of severity 3 against data models"]
    assert ("told to be less" in judged["text"]) == said and ("not defined" in judged["text"]) != said


@pytest.mark.parametrize(
    ("home", "tone", "words"),
    [
        (
            cell(0.9, 0.05),
            "plain",
            "accuracy 0.900 [0.850, 0.950] under bi,s,me, the reference, told to be above the 0.250",
        ),
        (cell(0.0, 0.0), "poor", "not told to be above the 0.250 of the best constant answer. A model"),
        (cell(0.3, 0.1), "poor", "not told to be above"),
        (cell(0.2, None), "poor", "not told to be above"),
        (cell(0.25, 0.0), "poor", "not told to be above"),
        (cell(0.9, None), "fair", "one fold or group alone gives no interval."),
        (cell(0.9, 0.0), "fair", "all folds or groups are alike"),
    ],
)
def test_the_first_finding_holds_the_score_at_home_against_chance(home: Any, tone: str, words: str) -> None:
    document = made.given()
    document["drops"]["data_models"]["same"] = home
    first = findings({"given": document})[0]
    assert (first["title"], first["tone"]) == ("Your model: score at home", tone)
    assert words in first["text"] and ("--classes" in first["text"]) == (tone == "poor")
    trained = made.synthesis()
    trained["drops"]["data_models"]["same"] = home
    first = findings({"synthesis": trained})[0]
    assert (first["title"], first["tone"]) == ("Score at home", tone) and "--classes" not in first["text"]


@pytest.mark.parametrize("part", ["given", "synthesis"])
def test_nothing_of_a_worthless_model_is_good(part: str) -> None:
    """One whose classes are in a wrong order is never right, and loses nothing."""
    scored, searched = made.ALL[part](), made.forensics()
    searched["row"] = part if part == "given" else searched["data_model"]
    scored["drops"]["data_models"]["drop"] = cell(0.0, 0.01)
    tones = {one["tone"] for one in findings({part: scored, "forensics": searched})}
    assert "good" in tones
    scored["drops"]["data_models"]["same"] = searched["base"]["unseen"] = cell(0.0, 0.0)
    judged = findings({part: scored, "forensics": searched})
    assert "good" not in {one["tone"] for one in judged}
    assert [one["tone"] for one in judged if "score" in one["title"].lower()] == ["poor", "poor"]


def test_what_was_searched_is_held_against_the_chance_of_its_own_matrix() -> None:
    documents = {"given": {**made.given(), "chance": 0.85}, "synthesis": made.synthesis()}
    for row, tone in (("given", "poor"), ("bi,s,ga", "plain")):
        judged = found(**documents, forensics={**made.forensics(), "row": row})
        assert judged["Score before the search"]["tone"] == tone
        assert judged["No limit found"]["tone"] == ("fair" if tone == "poor" else "good")
    alone = findings({"forensics": made.forensics()})
    assert "chance is not known" in alone[0]["text"] and "good" not in {one["tone"] for one in alone}


def test_the_score_before_the_search_is_of_tiles_that_the_search_never_saw() -> None:
    """Of a given model nobody knows what it saw."""
    document = {**made.forensics(), "row": "given"}
    texts = [one["text"] for one in findings({"given": made.given(), "forensics": document})]
    assert sum("on tiles that the search never saw" in text for text in texts) == 2
    assert not any("it never saw" in text for text in texts)


def test_a_given_model_is_judged_from_its_first_data_model() -> None:
    judged = found(given=made.given())
    text = judged["Your model: single data models"]["text"]
    assert text.startswith(f"told to score below {made.MODELS[0]}, the reference: {made.MODELS[4]}. Not told apart: ")
    assert ": gaussian noise. Not" in judged["Your model: single corruptions, severity 3"]["text"]
    assert judged["Your model: other data models"]["tone"] == "poor"


def test_the_signature_names_limits_what_has_none_and_what_is_not_supported() -> None:
    judged = found(forensics=made.forensics())
    search = judged["Adversarial search"]["text"]
    assert "0.400 [0.380, 0.420] by white balance and 0.500 [0.480, 0.520] by all parameters jointly" in search
    assert "gamma" not in search
    assert "white balance (±0.1 of its scale) and blur" in judged["Limits found"]["text"]
    assert judged["No limit found"]["text"].endswith("of accuracy: gamma.")
    assert judged["Not supported"]["text"].endswith("the interval: blur.")
    assert judged["No range kept"]["text"].endswith("of accuracy: sharpening.")


def test_the_settings_are_compared_by_their_paired_intervals() -> None:
    judged = found(optimisation=made.optimisation())
    low, high = (judged[f"Learned against frozen, {name} intensity"] for name in ("low", "high"))
    assert (low["tone"], high["tone"]) == ("good", "fair")
    assert (
        "over training 0.100 [0.050, 0.150], a gain; on the 2 test groups 0.020 [-0.030, 0.070], not told apart"
        in low["text"]
    )


def test_settings_without_an_interval_of_width_say_why() -> None:
    for half, why in ((0.0, "not told apart: all folds or groups are alike"), (None, "open: one fold or group alone")):
        document = made.optimisation()
        document["differences"] = [{**document["differences"][0], "value": cell(0.25, half), "told_apart": False}]
        judged = found(optimisation=document)["Learned against frozen, low intensity"]
        assert judged["tone"] == "fair" and why in judged["text"]


def test_one_group_supports_nothing() -> None:
    """Models that agree on one smear tell nothing of others, whatever their interval."""
    document = made.optimisation()
    entry = next(e for e in document["differences"] if e["on"] == "test")
    entry |= {"groups": 1, "value": cell(0.2, 0.01), "told_apart": False}
    document["differences"] = [entry]
    judged = found(optimisation=document)["Learned against frozen, low intensity"]
    assert judged["tone"] == "fair" and "on one test group 0.200 [0.190, 0.210], open" in judged["text"]
    signature = {**made.forensics(), "confirm_groups": 1}
    for group in signature["groups"].values():
        group["supported"] = False
    named = found(forensics=signature)
    assert "No limit found" not in named and named["One group"]["tone"] == "fair"
    assert named["One group"]["text"].endswith("which tells nothing of others: white balance, gamma and blur.")


def test_ranges_that_are_not_supported_say_why() -> None:
    document = made.forensics()
    gamma, balance = (document["groups"][name] for name in ("gamma", "white_balance"))
    gamma |= {"supported": False, "at_limit": {"loss": {"value": 0.0, "low": 0.0, "high": 0.0}}}
    gamma["at_limit"]["metric"] = cell(0.8)
    balance |= {"supported": False, "confirmed": False}
    judged = found(forensics=document)
    assert judged["No interval"]["text"].endswith("so that the loss has no interval: gamma.")
    assert judged["Not confirmed"]["text"].endswith("met on the tiles that confirm: white balance.")
    assert "No limit found" not in judged and judged["Not supported"]["text"].endswith("the interval: blur.")


def test_a_search_judged_on_one_group_is_open() -> None:
    document = made.forensics()
    for entry in document["sweep"]:
        entry["loss"] |= {"low": None, "high": None}
    judged = found(forensics=document)["Adversarial search"]
    assert judged["tone"] == "fair" and judged["text"].endswith("one fold or group alone gives no interval.")


def test_a_few_equal_values_give_no_evidence() -> None:
    """Their t interval has no width, and would tell anything apart."""
    assert sign(cell(0.2, 0.0)) == 0
    assert not below(cell(0.5, 0.0), cell(0.8, 0.0))
    assert not below(cell(0.5, 0.1), cell(0.8, 0.0)) and not below(cell(0.0, 0.0), cell(0.5, 0.4))
    ratio = made.synthesis()
    ratio["drops"]["ratio"]["3"] = {"value": 3.0, "low": 3.0, "high": 3.0}
    assert found(synthesis=ratio)["Corruptions of severity 3 against data models"]["tone"] == "fair"
    document = made.forensics()
    for entry in document["sweep"]:
        entry["loss"] = {"value": 0.5, "low": 0.5, "high": 0.5}
    judged = found(forensics=document)["Adversarial search"]
    assert judged["tone"] == "plain"
    assert "0.500 by all parameters jointly" in judged["text"] and "no interval" in judged["text"]


def test_names_are_listed_as_people_do() -> None:
    assert [listed(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["none", "a", "a and b", "a, b and c"]
