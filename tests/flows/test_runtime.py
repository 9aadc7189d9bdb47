"""The house task and the one way to run a step, on a real Prefect API."""

import types
from pathlib import Path

import pytest
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId

from flows import _runtime
from flows._runtime import run_stage, stage_flow, task
from flows._workers import workers
from tasks import output
from tasks.errors import InputError, StoreError
from tasks.lineage import ledger
from tasks.lineage.recipe import Plan
from tasks.lock import locked

ITEMS = tuple("abcdefg")


CLOSING = ("whole",)


def step(faults: dict[str, list[Exception]]) -> types.ModuleType:
    """A step that writes a letter an item, after raising the item's planted faults one by one; its closing item
    writes what it finds."""
    module = types.ModuleType("toy")

    def process(job: output.Job, item: str) -> None:
        if faults.get(item):
            raise faults[item].pop(0)
        file = job.content / item
        found = "".join(sorted(p.name for p in job.content.iterdir()))
        file.write_text(found if item in job.closing else item)
        output.mark_done(job, item, [file])

    module.process = process  # type: ignore[attr-defined]
    module.finish = lambda job: output.publish(job, metrics={"letters": float(len(job.items))})  # type: ignore[attr-defined]
    return module


@pytest.fixture
def run(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the toy stage in an empty folder, with the given faults planted."""
    monkeypatch.chdir(tmp_path)

    def start(faults: dict[str, list[Exception]], closing: tuple[str, ...] = ()) -> str:
        @stage_flow("toy")
        def toy() -> str:
            plan = Plan("toy", "toy", [], {"x": 1}, "tasks.rng", "make toy")
            return run_stage(step(faults), lambda: output.start(Path("data/toy"), plan, ITEMS, lambda _: None, closing))

        return str(toy())

    return start


def test_the_house_task_never_lets_prefect_cache() -> None:
    assert task(lambda: None).cache_policy is NO_CACHE  # type: ignore[attr-defined]


def test_a_stage_maps_its_items_publishes_and_writes_the_ledger(run, tmp_path: Path) -> None:
    digest = run({})
    entry = ledger.read(Path("data/lineage/runs"))[0]
    assert entry.recipe == digest
    assert sorted(p.name for p in Path("data/toy").iterdir() if len(p.name) == 1) == list(ITEMS)
    with get_client(sync_client=True) as client:
        wanted = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[entry.flow_run]))
        names = [r.name.rsplit("-", 1)[0] for r in client.read_task_runs(task_run_filter=wanted)]
    assert sorted(names) == ["finish", "prepare", *["process"] * len(ITEMS)]


def test_a_passing_io_fault_is_retried(run, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: dict[str, list[Exception]] = {"c": [OSError(5, "Input/output error")]}
    assert run(faults)
    assert faults == {"c": []}


@pytest.mark.parametrize("error", [InputError("c.tif: bad"), ValueError("a bug"), StoreError("full")])
def test_what_will_fail_again_is_not_retried_and_the_other_items_go_on(run, error: Exception) -> None:
    with pytest.raises(type(error)):
        run({"c": [error]})
    staged = next(Path("data").glob(".toy.staging-*/content"))
    assert sorted(p.name for p in staged.iterdir()) == sorted(set(ITEMS) - {"c"})
    assert not Path("data/toy").exists()
    assert run({})
    assert not staged.exists()


def test_closing_items_begin_when_all_others_are_done_and_not_before(run) -> None:
    with pytest.raises(InputError):
        run({"c": [InputError("c.tif: bad")]}, CLOSING)
    staged = next(Path("data").glob(".toy.staging-*/content"))
    assert sorted(p.name for p in staged.iterdir()) == sorted(set(ITEMS) - {"c"}), "the second wave did not begin"
    with pytest.raises(StoreError):
        run({"whole": [StoreError("full")]}, CLOSING)
    assert run({}, CLOSING), "the first wave is all done and makes no task"
    assert Path("data/toy/whole").read_text() == "".join(ITEMS)


def test_an_output_that_another_process_makes_is_left_alone(run) -> None:
    Path("data").mkdir()
    with locked(Path("data/.toy.lock")), pytest.raises(StoreError, match="another process is making it"):
        run({})
    assert [p.name for p in Path("data").iterdir()] == []
    assert run({})


def test_many_items_make_few_tasks(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtime, "BATCHES", 2)
    seen: list[int] = []
    monkeypatch.setattr(_runtime, "wait", lambda futures: seen.append(len(futures)))
    assert run({})
    assert seen == [2]


def test_a_tracking_server_that_fails_costs_neither_output_nor_ledger(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> str:
        raise RuntimeError("no server")

    monkeypatch.setattr(_runtime.tracking, "track", down)
    digest = run({})
    entry = ledger.read(Path("data/lineage/runs"))[0]
    assert (entry.recipe, entry.mlflow_run) == (digest, None)


def test_the_runner_is_as_wide_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWMILL_WORKERS", "3")
    assert workers() == 3


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("x: bad"), 3), (StoreError("x: full"), 5), (KeyboardInterrupt(), 130)]
)
def test_the_entry_of_a_stage_ends_with_a_line_and_a_code(
    api: str, error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @stage_flow("broken")
    def stage() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        _runtime.stage_main(stage)
    assert ended.value.code == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == (str(error) or "interrupted; run again to go on where it stopped")
