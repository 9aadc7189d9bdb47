"""The DVC graph on Prefect: what is stale, in what order, side by side, and what a failure holds back."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from flows import cli, repro
from flows._graph import Graph, read_graph
from flows._workers import workers
from flows.repro import GraphFailed, last_word, repro_here
from tasks.errors import ParamsError

PYTHON = sys.executable


def write_stages(seconds: float = 0.0, broken: str = "") -> None:
    """source -> left, right -> join; each stage writes the text of its param to its output."""
    needs = {"source": [], "left": ["source"], "right": ["source"], "join": ["left", "right"]}
    stages = {}
    for name, deps in needs.items():
        crash = "import sys; sys.exit('it broke here')" if name == broken else ""
        code = f"{crash}\nimport time, yaml; time.sleep({seconds}); v = yaml.safe_load(open('params.yaml'))['{name}']"
        Path(f"{name}.py").write_text(f"{code}\nopen('{name}.txt', 'w').write(str(v))\n")
        stages[name] = {
            "cmd": f"{PYTHON} {name}.py",
            "deps": [f"{d}.txt" for d in deps] + [f"{name}.py"],
            "params": [name],
            "outs": [f"{name}.txt"],
        }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    write_params()


def write_params(**changed: int) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"source": 1, "left": 1, "right": 1, "join": 1} | changed))


def test_the_longest_chain_starts_first_and_needs_come_before_users() -> None:
    needs = {"a": frozenset(), "b": frozenset(), "c": frozenset({"b"}), "d": frozenset({"c", "a"})}
    graph = Graph(needs, frozenset(needs))
    assert graph.heights() == {"a": 2, "b": 3, "c": 2, "d": 1}
    assert graph.ready(set(needs), set(needs)) == ["b", "a"]
    assert graph.ready({"c", "d"}, {"c", "d"}) == ["c"]
    assert graph.ready({"a", "c"}, set()) == ["c", "a"]


def test_a_changed_param_makes_its_stage_and_its_users_stale(project: Path, api: str) -> None:
    write_stages()
    assert read_graph().stale == {"source", "left", "right", "join"}
    assert sorted(repro_here([], 2)) == ["join", "left", "right", "source"]
    assert read_graph().stale == set()
    write_params(left=2)
    assert read_graph().stale == {"left", "join"}
    assert read_graph(["right"]).stale == set()
    assert sorted(repro_here([], 2)) == ["join", "left"]
    assert Path("left.txt").read_text() == "2"


def test_nothing_stale_starts_no_server(
    project: Path, api: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stages()
    repro_here([], 2)

    def never(*_args: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(repro, "api_server", never)
    cli.repro([], None, as_json=True)
    assert json.loads(capsys.readouterr().out)["stages"] == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_independent_stages_run_at_the_same_time_where_two_jobs_may(project: Path, api: str, jobs: int) -> None:
    """Recorded by the stages themselves: each writes when it began and ended."""
    write_stages(seconds=3.0)
    for name in ("left", "right"):
        file = Path(f"{name}.py")
        end = f"open('{name}.span', 'w').write(f'{{a}} {{time.time()}}')"
        file.write_text(f"import time; a = time.time()\n{file.read_text()}{end}\n")
    repro_here([], jobs)
    spans = [tuple(map(float, Path(f"{n}.span").read_text().split())) for n in ("left", "right")]
    assert (max(a for a, _ in spans) < min(b for _, b in spans)) == (jobs == 2)


def test_a_failed_stage_is_named_holds_back_its_users_only_and_the_rest_is_done(project: Path, api: str) -> None:
    write_stages(broken="left")
    with pytest.raises(GraphFailed) as caught:
        repro_here([], 2)
    assert str(caught.value).splitlines() == ["left: it broke here", "1 stages failed, 2 done, 1 not started"]
    assert Path("right.txt").exists()
    assert not Path("join.txt").exists()
    write_stages()
    assert sorted(repro_here([], 2)) == ["join", "left"]


def test_a_group_or_an_output_can_be_named(project: Path, api: str) -> None:
    write_stages()
    assert sorted(repro_here(["left.txt"], 2)) == ["left", "source"]
    with pytest.raises(ParamsError, match="nonsense"):
        read_graph(["nonsense"])


@pytest.mark.parametrize(("file", "text"), [("dvc.yaml", "stages: ["), (".dvc/config", None)])
def test_a_project_that_dvc_cannot_read_is_one_line(project: Path, file: str, text: str | None) -> None:
    write_stages()
    if text is None:
        shutil.rmtree(".dvc")
    else:
        Path(file).write_text(text)
    with pytest.raises(ParamsError) as caught:
        read_graph()
    assert len(str(caught.value).splitlines()) == 1


def test_no_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ("0", "-1", "abc"):
        monkeypatch.setenv("RAWMILL_WORKERS", asked)
        with pytest.raises(ParamsError, match="a whole number from 1 on"):
            workers()


def test_the_lines_on_bad_inputs_are_a_stages_last_words() -> None:
    text = "12:00 | INFO | x\na.dng: bad; expected good; mend it\n1 bad, 3 done\nERROR: failed to reproduce 'x'"
    assert last_word(text) == "a.dng: bad; expected good; mend it"
    assert last_word("Traceback\nKeyError: 'x'") == "KeyError: 'x'"
