"""The drift report: what the intervals allow is said, what they do not is not, and the page holds all of it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.drift.page import step
from tasks.drift.page.params import DriftReportParams
from tasks.drift.page.verdict import below, findings, harmed, listed, sign
from tasks.errors import InputError, LineageError
from tasks.output import alone
from tests import drift_documents as made
from tests.drift_documents import cell


def found(**documents: Any) -> dict[str, dict[str, str]]:
    return {finding["title"]: finding for finding in findings(documents)}


def test_an_interval_that_leaves_out_0_is_told_and_one_that_does_not_is_open() -> None:
    assert [sign(cell(m, h)) for m, h in ((0.02, 0.01), (-0.02, 0.01), (0.02, 0.03), (0.02, None))] == [1, -1, 0, 0]
    assert sign(None) == 0
    assert below(cell(0.5, 0.1), cell(0.8, 0.1))
    assert not below(cell(0.65, 0.1), cell(0.8, 0.1))
    assert not below(cell(0.5, None), cell(0.8, 0.1))
    assert not below(None, cell(0.8))


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
        (0.2, None, 0.05, "fair", "not told apart from no effect"),
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
    assert {finding["tone"] for finding in findings({"synthesis": document})} == {"fair"}


def test_the_ratio_of_drops_is_claimed_by_its_interval_alone() -> None:
    document = made.synthesis()
    title = "Corruptions of severity 3 against data models"
    for ratio, words in (((10.0, 5.0, 20.0), "told to be more"), ((0.5, 0.2, 0.9), "told to be less")):
        document["drops"]["ratio"]["3"] = dict(zip(("value", "low", "high"), ratio, strict=True))
        assert words in found(synthesis=document)[title]["text"]
    document["drops"]["ratio"]["3"] = {"value": None, "low": None, "high": None}
    assert "not defined" in found(synthesis=document)[title]["text"]


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
        "over training 0.100 [0.050, 0.150], a gain; on test groups 0.020 [-0.030, 0.070], not told apart"
        in low["text"]
    )


def test_a_few_equal_values_give_no_evidence() -> None:
    """Their t interval has no width, and would tell anything apart."""
    assert sign(cell(0.2, 0.0)) == 0
    assert not below(cell(0.5, 0.0), cell(0.8, 0.0))
    assert below(cell(0.5, 0.1), cell(0.8, 0.0))
    document = made.forensics()
    for entry in document["sweep"]:
        entry["loss"] = {"value": 0.5, "low": 0.5, "high": 0.5}
    judged = found(forensics=document)["Adversarial search"]
    assert judged["tone"] == "plain"
    assert "0.500 by all parameters jointly" in judged["text"] and "no interval" in judged["text"]


def test_names_are_listed_as_people_do() -> None:
    assert [listed(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["none", "a", "a and b", "a, b and c"]


PARAMS = DriftReportParams(heading="Blood cells <b>", reference="raw-microscopy")


def page(parts: dict[str, Path], out: Path, params: DriftReportParams = PARAMS) -> Path:
    job = step.prepare(parts, out, params, "again")
    with alone(job):
        for item in job.items:
            step.process(job, item)
        return step.finish(job).path


class Page(HTMLParser):
    """What stands on a page: ids, links, pictures, what is loaded from elsewhere, and whether tags pair up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            self.links.append(str(found["href"]))
        if tag == "img":
            self.images.append(found)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return page(made.write_all(folder), folder / "page")


def test_the_page_stands_alone_and_holds_every_figure_once(whole: Path) -> None:
    text = (whole / "index.html").read_text(encoding="utf-8")
    read = Page(text)
    assert read.open == []
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert not read.tags & {"script", "link", "iframe"}
    assert len(read.images) == sum(map(len, made.FIGURES.values()))
    assert all(str(image["src"]).startswith("data:image/png") and image["alt"] for image in read.images)
    assert "Blood cells &lt;b&gt;" in text and "Counts of &lt;tiles&gt; &amp; groups." in text


def test_the_page_shows_the_tables_of_the_thesis_and_its_figures_as_the_thesis_s(whole: Path) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", (whole / "index.html").read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", text)
    for words in (
        "form of table A.1", "forms of tables A.2 to A.5", "Form of table 3.5", "as published", "0.82 → 0.80",
        "0.82 → 0.55", "more than thirteen times", "0.54 ± 0.21", "★ yes", "☆ no", "seed 43", "108 tiles", "none found",
    ):  # fmt: skip
        assert words in text, words


def test_the_findings_are_there_for_machines(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_bytes())
    assert (summary["main"], summary["parts"]) == ("accuracy", ["synthesis", "given", "forensics", "optimisation"])
    documents = {part: make() for part, make in made.ALL.items()}
    assert summary["findings"] == findings(documents)


@pytest.mark.parametrize("parts", [["synthesis"], ["given", "forensics"], ["optimisation"]])
def test_any_of_the_parts_make_a_page(tmp_path: Path, parts: list[str]) -> None:
    written = {part: made.write(tmp_path, part, made.ALL[part]()) for part in parts}
    params = DriftReportParams(heading="Cars", reference=None)
    text = (page(written, tmp_path / "page", params) / "index.html").read_text(encoding="utf-8")
    read = Page(text)
    assert [name for name in read.ids if name in made.ALL] == parts
    assert "as published" not in text


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        written = {"forensics": made.write(tmp_path / name, "forensics", made.forensics())}
        out = page(written, tmp_path / name / "page")
        pages.append({f.relative_to(out): f.read_bytes() for f in out.rglob("*") if f.is_file()})
    assert pages[0] == pages[1]


def test_parts_that_are_damaged_unknown_or_missing_are_refused(tmp_path: Path) -> None:
    written = made.write(tmp_path, "forensics", made.forensics())
    with pytest.raises(InputError, match="no part"):
        step.prepare({}, tmp_path / "page", PARAMS, "again")
    with pytest.raises(InputError, match="part other"):
        step.prepare({"other": written}, tmp_path / "page", PARAMS, "again")
    job = step.prepare({"forensics": written}, tmp_path / "page", PARAMS, "again")
    document = written / "signature.json"
    document.write_bytes(document.read_bytes().replace(b"0.05", b"0.06"))
    with alone(job), pytest.raises(LineageError):
        step.process(job, "forensics")
    with pytest.raises(LineageError):
        step.prepare({"forensics": written}, tmp_path / "page", PARAMS, "again")
