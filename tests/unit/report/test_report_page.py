"""The page over a planted project: whole, self-contained, escaped, the same each time, and never silently poorer."""

import copy
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from tasks import output
from tasks.errors import InputError, LineageError, StoreError
from tasks.lineage.audit import audit
from tasks.report import headline, learnt, step
from tasks.report.inputs import inputs_of, view
from tasks.report.page import render
from tasks.report.params import ReportParams
from tasks.report.text import interval, number, percent
from tests.report_project import NAUGHTY, REPORT, evaluation_metrics, learn_metrics, plant

VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("project"))


def job_of(data: Path, **changes: Any) -> output.Job:
    params = ReportParams.model_validate({**REPORT, **changes})
    return step.prepare(data, data / "reports" / "html", params, "rawmill repro report")


def make(data: Path) -> str:
    job = job_of(data)
    for item in output.todo(job):
        step.process(job, item)
    return (step.finish(job).path / step.INDEX).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return make(project)


class Reader(HTMLParser):
    """Collects what a page asks for and the ids it has, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.wanted += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "poster")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_it_needs_nothing_from_outside(page: str) -> None:
    reader = read(page)
    pictures = [w for w in reader.wanted if w.startswith("data:image/")]
    links = [w for w in reader.wanted if not w.startswith("data:")]
    assert len(pictures) == reader.tags.count("img") > 40
    assert all(not re.match(r"[a-z]+:|//", link) for link in links)
    assert "script" not in reader.tags
    assert "@import" not in page
    assert "url(" not in page
    assert {link[1:] for link in links if link.startswith("#")} <= set(reader.ids)


def test_its_links_lead_somewhere(page: str, project: Path) -> None:
    links = [w for w in read(page).wanted if not w.startswith(("data:", "#"))]
    there = [link for link in links if "runs" not in link]
    assert len(there) >= 4
    for link in there:
        assert (project / "reports" / link).exists(), link


def test_values_are_escaped(page: str) -> None:
    assert NAUGHTY not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    "words",
    [
        "<b>0.90 <small>± 0.05</small></b>", "<b>0.70 <small>± 0.05</small></b>", "0.02 without looking",
        "BAS 50 %, EOS 50 % of tiles", "car 50 % of pixels", "<b>ma,s,me</b>", "tumour",
        "<b>s0</b>, 64 x 64 px, seed 5", "Drone: IoU",
        "fidelity in words.", "data/synthetic/tissue.zarr#s0", "ratio <b>0.40</b>", "25 %",
        "held-out SSIM <b>0.810</b>", "trained on 2 tiles", 'class="lg"',
    ],
)  # fmt: skip
def test_it_says_what_was_planted(page: str, words: str) -> None:
    assert words in page


def test_it_is_the_same_in_another_folder_and_beside_itself(page: str, project: Path, tmp_path: Path) -> None:
    assert (project / "reports" / "index.html").read_text(encoding="utf-8") == page
    assert make(plant(tmp_path)) == page
    assert str(tmp_path) not in page


def test_it_is_sealed_and_can_be_audited(page: str, project: Path) -> None:
    found = audit(project / "reports" / "html")
    assert {"data/lineage/audit", "data/sources/drone"} <= {n.path.split("project0/")[-1] for n in found.nodes}


def test_a_missing_output_is_an_error_and_no_poorer_page(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project.parent, tmp_path / "copy")
    data = tmp_path / "copy" / "data"
    shutil.rmtree(data / "variants" / "drone" / "bi,s,me.zarr")
    with pytest.raises(LineageError, match=r"bi,s,me\.zarr"):
        job_of(data)


def test_a_page_is_not_finished_before_all_sections(project: Path) -> None:
    job = job_of(project, samples=1)
    step.process(job, "fidelity")
    with pytest.raises(StoreError, match="not made"):
        step.finish(job)
    output.abandon(job)


def test_a_value_that_is_missing_is_an_error(project: Path, page: str) -> None:
    job = job_of(project, samples=1)
    for item in output.todo(job):
        step.process(job, item)
    sections = {item: (output.receipt(job, item) or {})["facts"] for item in job.items}
    assert "<h1>" in render(sections, job.content / "pictures")
    del sections["went_in"]["slides"]
    with pytest.raises(UndefinedError):
        render(sections, job.content / "pictures")
    output.abandon(job)


def test_a_tile_that_a_variant_lacks_is_an_error(project: Path) -> None:
    job = job_of(project, samples=1)
    place = inputs_of(job).path("variants/drone/ma,s,me")
    assert view(place, "drone0_0_32").shape == (3, 32, 32)
    with pytest.raises(InputError, match="has no tile x"):
        view(place, "x")
    output.abandon(job)


def task(**test: float) -> dict[str, Any]:
    found = copy.deepcopy(learn_metrics("microscopy"))
    found["roles"]["test"]["summary"]["accuracy"].update(test)
    return {"name": "microscopy", "trivial": learnt.trivial(found), **found}


@pytest.mark.parametrize(
    ("low", "mean", "high", "tone"), [(0.6, 0.7, 0.8, "good"), (0.4, 0.6, 0.8, "fair"), (0.2, 0.3, 0.4, "poor")]
)
def test_a_task_is_held_against_not_looking(low: float, mean: float, high: float, tone: str) -> None:
    assert headline.of_task(task(low=low, mean=mean, high=high))["tone"] == tone


def test_a_model_without_its_baseline_is_refused() -> None:
    found = learn_metrics("microscopy")
    del found["roles"]["test"]["summary"]["accuracy_of_majority"]
    with pytest.raises(InputError, match="no baseline of accuracy"):
        learnt.trivial(found)


@pytest.mark.parametrize(("value", "tone"), [(1.0, "good"), (10.0, "fair"), (30.0, "poor")])
def test_distance_is_held_against_real_tiles_and_noise(value: float, tone: str) -> None:
    pairs = evaluation_metrics()["comparisons"]
    pairs[0]["frechet"] = {"value": value, "low": value - 0.1, "high": value + 0.1}
    assert headline.of_distance(pairs)["tone"] == tone


@pytest.mark.parametrize(
    ("p", "steering", "copies"), [(0.01, "good", "poor"), (0.5, "poor", "good"), (None, "fair", None)]
)
def test_tests_decide_by_their_p_value(p: float | None, steering: str, copies: str | None) -> None:
    found = evaluation_metrics()
    found["steering"]["synthetic"]["shuffled"]["p_value"] = p
    assert headline.of_steering(found["steering"]["synthetic"], 0.95)["tone"] == steering
    if p is not None:
        assert headline.of_copies({**found["copies"], "p_value": p}, 0.95)["tone"] == copies


def test_numbers_read_well() -> None:
    assert (number(None), number(1.005, 1)) == ("–", "1.0")
    assert interval({"low": None, "high": 1.0}) == ""
    assert interval({"low": 0.1, "high": 1.0}) == "[0.10, 1.00]"
    assert [percent(v) for v in (0, 0.05, 0.114, 1)] == ["0 %", "5.0 %", "11 %", "100 %"]
