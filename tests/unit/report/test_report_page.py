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
from tasks.contracts import Record
from tasks.errors import InputError, LineageError, StoreError
from tasks.evaluation.figures import PALETTE
from tasks.lineage import ledger
from tasks.lineage.audit import audit
from tasks.lineage.recipe import digest_of
from tasks.lineage.recipe import read as read_recipe
from tasks.report import figures, headline, instruments, learnt, runs, step
from tasks.report.frames import same_scene
from tasks.report.inputs import inputs_of, view
from tasks.report.page import render
from tasks.report.params import ReportParams
from tasks.report.text import interval, number, percent
from tasks.report.went_in import texture
from tasks.tracking.mlflow_store import _tags
from tests.report_project import NAUGHTY, REPORT, evaluation_metrics, instrument_metrics, learn_metrics, plant

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
        "no interval for other groups", "same held-out groups", "IoU, mean of tiles, of predicting nothing",
        "columns 0 to 100, 220 to 320, held-out slides (slides0) on columns 340 to 512",
        "slides0 also served to choose",
        "trained on 2 tiles", 'class="lg"', "Cells under another camera", "the best of two is not told apart.",
        "data/drift/microscopy/report/index.html",
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
    sections["went_in"]["textures"][0]["columns"] = None
    assert "(slides0) draw on the same pixels of it" in render(sections, job.content / "pictures")
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


@pytest.mark.parametrize(
    ("found", "tone"),
    [("real", "good"), ("between", "fair"), ("blurred", "fair"), ("blind", "fair"), ("noise", "poor"), ("?", "fair")],
)
def test_distance_is_held_against_real_tiles_noise_and_blurred_ones(found: str, tone: str) -> None:
    assert headline.of_distance(evaluation_metrics()["comparisons"], found)["tone"] == tone


@pytest.mark.parametrize(("found", "tone"), [("yes", "good"), ("weakly", "fair"), ("no", "poor"), ("?", "fair")])
def test_steering_is_good_only_where_the_evaluation_says_so_and_states_its_share(found: str, tone: str) -> None:
    block = evaluation_metrics()["steering"]
    share = {"value": 0.5, "low": 0.3, "high": 0.7, "least": 0.25}
    tile = headline.of_steering({**block, "share": share}, found)
    assert tile["tone"] == tone and "share of the ceiling 0.50 [0.30, 0.70]" in tile["note"]
    assert "share of the ceiling undefined" in headline.of_steering(block, found)["note"]
    block["synthetic"]["shuffled"]["p_value"] = None
    assert headline.of_steering(block, "undefined")["value"] == "undefined"


@pytest.mark.parametrize(
    ("p", "share", "tone", "words"),
    [(0.01, 0.1, "poor", "10 % would"), (0.5, 0.1, "fair", "10 % would"), (0.5, None, "fair", "no share of copies")],
)
def test_a_copy_test_that_finds_nothing_is_fair_and_says_what_it_would_find(
    p: float, share: float | None, tone: str, words: str
) -> None:
    found = headline.of_copies({**evaluation_metrics()["copies"], "p_value": p, "detectable": share}, 0.95)
    assert found["tone"] == tone and words in found["note"]


def test_numbers_read_well() -> None:
    assert (number(None), number(1.005, 1)) == ("–", "1.0")
    assert interval({"low": None, "high": 1.0}) == ""
    assert interval({"low": 0.1, "high": 1.0}) == "[0.10, 1.00]"
    assert [percent(v) for v in (0, 0.05, 0.114, 1)] == ["0 %", "5.0 %", "11 %", "100 %"]


def test_runs_are_found_by_what_the_page_says(page: str, project: Path, tmp_path: Path) -> None:
    """The file pattern finds the ledger's line of that output alone; the search is on the tag that MLflow gets."""
    ledger_folder = tmp_path / runs.LEDGER
    digests = {}
    for name in ("models/drone", "models/microscopy", "lineage/audit"):
        out = project / name
        recipe = digest_of(read_recipe(out))
        plan = {"stage": read_recipe(out)["stage"], "name": out.name}
        digests[name] = recipe, ledger.append(ledger_folder, Record(out, "0" * 64, recipe), plan, began=1.0)
    for recipe, file in digests.values():
        pattern = f"{runs.LEDGER}/*-{recipe[:12]}.json"
        assert f"<code>ls {pattern}</code>" in page
        assert list(tmp_path.glob(pattern)) == [file]
        assert f"<code>tags.recipe = &#39;{recipe}&#39;</code>" in page
    assert "<code>ls data/lineage/runs/*-learn-*.json</code>" in page
    assert len(list(tmp_path.glob(f"{runs.LEDGER}/*-learn-*.json"))) == 2
    tags = _tags(output.Job(tmp_path, {"stage": "learn"}, ()), Record(tmp_path, "0" * 64, "d" * 64))
    assert tags["recipe"] == "d" * 64 and tags["stage"] == "learn"


@pytest.mark.parametrize(
    "row",
    [
        '<td>encoder</td><td>second view of a tile found among all</td><td class="n">0.900</td>'
        "<td>untrained 0.400</td>",
        '<td>encoder</td><td>nearest training tile has the same label</td><td class="n">0.850</td>'
        "<td>untrained 0.600</td>",
        '<td>segmenter</td><td>IoU of tumour</td><td class="n">0.512</td>',
        '<td>segmenter</td><td>IoU of stroma</td><td class="n">–</td>',
        '<td>autoencoder</td><td>PSNR in dB</td><td class="n">30.250</td>',
        '<td class="n">0.150</td><td>no prompt 0.160, another subtype 0.170</td>',
        '<td class="n">0.264</td><td>no mask 0.267, another tile&#39;s mask 0.297</td>',
    ],
)
def test_each_instrument_stands_beside_its_baseline(page: str, row: str) -> None:
    assert row in page


def test_an_encoder_that_was_not_measured_is_refused() -> None:
    found = instrument_metrics()
    del found["encoder"]["retrieval"]
    with pytest.raises(KeyError):
        instruments.rows(found)


def scene(tile: str, intensity: float, **changes: Any) -> dict[str, Any]:
    place = {"group": "g", "label": "BAS", "y_px": 0, "x_px": 0, "height_px": 8, "width_px": 8}
    return {"tile_id": tile, "item": "", "intensity": intensity, **place, **changes}


def test_fewer_photons_are_shown_of_the_same_scene_alone() -> None:
    row = scene("cell-0-i1000", 1.0)
    own = [scene("cell-0-i0050", 0.05), row, scene("cell-0-i0033", 0.0333)]
    others = [
        scene("cell-1-i0250", 0.25),
        scene("cell-0-i0250", 0.25, group="h"),
        scene("cell-0-i0100", 0.1, label="EOS"),
        scene("cell-0-i0500", 0.5, y_px=8),
        scene("cell-0-i0007", 0.7),
    ]
    found = [r["tile_id"] for r in same_scene([*others, *own], row)]
    assert found == ["cell-0-i1000", "cell-0-i0050", "cell-0-i0033"]
    assert same_scene([*others, row], row) == [], "no other exposure of it"
    plain = scene("cell-a", 1.0)
    assert same_scene([plain, scene("cell-b", 0.5)], plain) == [], "names that say nothing"
    counted = scene("cell-0", 1.0)
    assert same_scene([counted, scene("cell-1", 0.25)], counted) == [], "a number that is no intensity"


def test_frames_of_one_scene_are_told_by_the_frames_name() -> None:
    window = {"y_px": 8, "x_px": 0}
    row = scene("f-i1000_8_0", 1.0, item="f-i1000", **window)
    dim = scene("f-i0250_8_0", 0.25, item="f-i0250", **window)
    beside = scene("f-i0250_8_8", 0.25, item="f-i0250", y_px=8, x_px=8)
    assert same_scene([beside, dim, row], row) == [row, dim]


def test_the_texture_is_told_of_the_embedded_slides_alone(project: Path) -> None:
    job = job_of(project, samples=1)
    inputs = inputs_of(job)
    assert [texture(inputs, name) for name in ("drone", "microscopy")] == [None, None]
    found = texture(inputs, "slides")
    assert found is not None and found["apart"] and found["held_out"] == ["slides0"]
    output.abandon(job)


def test_classes_have_the_colours_that_the_evaluation_gives_them() -> None:
    ours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in figures.PALETTE]
    assert tuple(ours[: len(PALETTE)]) == PALETTE


def test_a_page_that_is_not_rawmills_is_not_overwritten(tmp_path):
    (tmp_path / "index.html").write_text("<p>my own page</p>")
    with pytest.raises(InputError, match="not a page of rawmill"):
        step.refuse_foreign_page(tmp_path / "index.html")
    (tmp_path / "index.html").write_bytes(step.GENERATOR)
    step.refuse_foreign_page(tmp_path / "index.html")
