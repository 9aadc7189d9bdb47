"""The audit as a stage, its graph, PROV and params map; the broken chains stand in tests/faults/test_tamper.py."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tasks import output
from tasks.errors import LineageError, ParamsError
from tasks.lineage import step
from tasks.lineage.audit import Audit, Checked, Edge, Node, audit, audit_all, join
from tasks.lineage.diagram import audit_svg, gather, size_text, story_svg
from tasks.lineage.params import AuditParams
from tasks.lineage.places import outputs_below, package_path, resolve
from tasks.lineage.prov import prov
from tasks.lineage.stale import first_difference, load_project, match
from tasks.lineage.trace import trace
from tasks.params import load


def run(data: Path) -> Path:
    params_file = data.parent / "params.yaml"
    params = load(params_file, "audit", AuditParams)
    job = step.prepare(data, data / "lineage" / "audit", params, params_file, "rawmill repro audit")
    for item in output.todo(job):
        step.process(job, item)
    return step.finish(job).path


@pytest.fixture(scope="module")
def audited(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("audited") / "copy"
    shutil.copytree(chain.parent, copy)
    return run(copy / "data")


def test_the_stage_finds_what_the_walk_finds(audited: Path) -> None:
    data = audited.parents[1]
    shutil.move(data / "lineage", data.parent / "lineage")
    whole = audit_all(data, load_project(data.parent / "params.yaml"), data.parent)
    shutil.move(data.parent / "lineage", data / "lineage")
    assert step.read_audit(audited) == whole
    assert set(whole.targets) == {n.path for n in whole.nodes if n.kind == "output"}


def test_its_own_output_can_be_audited_and_is_the_same_elsewhere(audited: Path, chain: Path, tmp_path: Path) -> None:
    assert any(node.path.endswith("lineage/audit") for node in audit(audited).nodes)
    shutil.copytree(chain.parent, tmp_path / "other")
    again = run(tmp_path / "other" / "data")
    assert (again / "recipe.json").read_bytes() == (audited / "recipe.json").read_bytes()


def test_the_stage_fails_on_a_changed_file(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain.parent, tmp_path / "copy")
    file = tmp_path / "copy" / "data" / "models" / "cells" / "weights.safetensors"
    file.write_bytes(b"\x01" + file.read_bytes()[1:])
    with pytest.raises(LineageError, match=r"weights\.safetensors: sha256"):
        run(tmp_path / "copy" / "data")
    assert not (tmp_path / "copy" / "data" / "lineage" / "audit").exists()


def test_outputs_that_no_pattern_names_are_not_the_projects(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain.parent, tmp_path / "copy")
    data = tmp_path / "copy" / "data"
    shutil.copytree(data / "models" / "cells", data / "elsewhere" / "cells")
    audited = step.read_audit(run(data))
    assert "data/elsewhere/cells" not in audited.targets
    assert "data/models/cells" in audited.targets


def test_an_edge_to_an_output_that_was_not_audited_is_refused() -> None:
    node = Node("b", "output", "d", 1, 1)
    with pytest.raises(LineageError, match="a: used by b but not audited"):
        join([Checked(node, (), (Edge("b", "a", "x"),), ())], ("b",))


def test_nothing_to_audit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no outputs"):
        audit_all(tmp_path)
    with pytest.raises(LineageError, match="not there"):
        audit(tmp_path / "none")


def test_staging_places_are_no_outputs(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain / "models" / "cells", tmp_path / ".cells.staging-0" / "content")
    shutil.copytree(chain / "models" / "cells", tmp_path / "deep" / "cells")
    assert outputs_below(tmp_path) == [tmp_path / "deep" / "cells"]


def test_a_package_file_cannot_lead_out_of_its_package(tmp_path: Path) -> None:
    assert package_path("skimage", "data/brick.png").is_file()
    with pytest.raises(LineageError, match="leaves the package"):
        package_path("skimage", "../../../../etc/hostname")
    with pytest.raises(LineageError, match="not installed"):
        resolve(tmp_path, {"kind": "package", "package": "no.such-package", "path": "x"})


def test_prov_says_each_thing_once(chain: Path) -> None:
    whole = audit_all(chain, base=chain.parent)
    document = json.loads(json.dumps(prov(whole)))
    outputs = [n for n in whole.nodes if n.kind == "output"]
    assert len(document["entity"]) == len(whole.nodes)
    assert len(document["activity"]) == len(document["wasGeneratedBy"]) == len(outputs)
    assert len(document["used"]) == len(document["wasDerivedFrom"]) == len(whole.edges)
    for relation in document["used"].values():
        assert relation["prov:activity"] in document["activity"]
        assert relation["prov:entity"] in document["entity"]


def test_pictures_are_valid_xml_and_name_what_they_show(chain: Path) -> None:
    story = story_svg(trace(chain / "synthetic/tissue.zarr", "x0", chain.parent))
    whole = audit_svg(audit_all(chain, base=chain.parent))
    for text, words in (
        (story, ("x0", "models/denoiser", "multipage_rgb.tif")),
        (whole, ("raw/cells", "3 mine files", "cells/plain")),
    ):
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg")
        shown = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
        assert all(word in shown for word in words)
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_only_what_stands_alike_is_gathered() -> None:
    names = [f"v{i}" for i in range(4)]
    nodes = [Node("raw", "output", "r", 1, 1, "ingest"), *(Node(n, "output", n, 1, 1, "develop") for n in names)]
    edges = [Edge(n, "raw", "raw") for n in names]
    model = Node("m", "output", "m", 1, 1, "learn")
    place = gather(Audit((*nodes, model), (*edges, Edge("m", "v2", "views"))))
    assert place["v0"] == place["v1"] == place["v3"] == "v0 …"
    assert place["v2"] == "v2"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (34_500_000, "34.5 MB"), (2 * 10**12, "2.0 TB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        ("data/raw/{name}.zarr", "data/raw/drone.zarr", {"name": "drone"}),
        ("data/variants/{d}/{v}.zarr", "data/variants/drone/bi,s,me.zarr", {"d": "drone", "v": "bi,s,me"}),
        ("data/raw/{name}.zarr", "data/raw/a/b.zarr", None),
        ("data/raw/{name}.zarr", "data/raw/dronexzarr", None),
        ("data/models/cells", "data/models/cells", {}),
    ],
)
def test_patterns_match_one_component(pattern: str, path: str, names: dict[str, str] | None) -> None:
    assert match(pattern, path) == names


@pytest.mark.parametrize(
    ("stored", "present", "where"),
    [
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1e-4}, {"a": "1e-4"}, None),
        ({"a": [1, 2]}, {"a": (1, 2)}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b[1]"),
        ({"a": 1}, {}, "a"),
        ({}, {"b": None}, "b"),
        ({"a": [1]}, {"a": [1, 2]}, "a"),
        ({"a": "x"}, {"a": "y"}, "a"),
        ({"a": 1e-4}, {"a": "many"}, "a"),
    ],
)
def test_differences_of_params_are_named(stored: object, present: object, where: str | None) -> None:
    found = first_difference(stored, present)
    assert (found[0] if found else None) == where


def test_a_params_file_without_the_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("learn: {}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="audit"):
        load_project(tmp_path / "params.yaml")
