"""The drift report holds every finding, table and figure, and stands alone."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.drift.page import step
from tasks.drift.page.params import DriftReportParams
from tasks.drift.page.verdict import findings
from tasks.errors import InputError, LineageError
from tasks.output import alone
from tests import drift_documents as made
from tests.drift_documents import cell

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


def test_a_ratio_stands_in_the_table_only_where_both_drops_were_told(tmp_path: Path) -> None:
    document = made.synthesis()
    for name, drop in (("told", cell(0.2)), ("open", cell(0.2, 0.3))):
        document["drops"]["corruptions"]["3"]["drop"] = drop
        written = {"synthesis": made.write(tmp_path / name, "synthesis", document)}
        text = (page(written, tmp_path / name / "page") / "index.html").read_text(encoding="utf-8")
        assert ("10.0 times the drop of data models" in text) == (name == "told")


def test_recommend_is_named_for_the_data_models_alone(whole: Path) -> None:
    """It knows no corruptions."""
    text = (whole / "index.html").read_text(encoding="utf-8")
    assert text.count("rawmill recommend") == 1
    places = [text.index(words) for words in ("Environments: data models", "rawmill recommend", "<summary>Under corr")]
    assert places == sorted(places)


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
