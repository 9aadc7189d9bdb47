"""`dvc repro` with independent stages side by side: the DVC graph on Prefect.

DVC says which stages are stale and records what they made; Prefect runs each as soon as what it needs is
there. `dvc repro` alone gives the same result, one stage after another.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture, as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows._graph import Graph, read_graph
from flows._runtime import task
from flows._server import api_server, environment
from flows._workers import workers

LOCK_TRIES = 60
LOCKED = ("Unable to acquire lock", "is busy, it is being")
MOST_JOBS = 64
SIDE_BY_SIDE: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=MOST_JOBS)


class StageFailed(RuntimeError):
    """A stage of dvc.yaml ended with an error; `text` is all that it printed."""

    def __init__(self, stage: str, text: str) -> None:
        self.stage = stage
        self.text = text
        super().__init__(f"{stage}: {last_word(text)}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.stage, self.text)


class GraphFailed(RuntimeError):
    """Some stages failed; the message has one line each and a count."""


def last_word(text: str) -> str:
    """What a stage said last before DVC's own verdict: its lines on bad inputs, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith("ERROR: failed to re")]
    faults = [line for line in own if "; expected " in line and " | " not in line]
    return "\n".join(dict.fromkeys(faults)) or (own[-1] if own else "no output")


@task
def dvc_repro(stage: str, force: bool = False) -> float:
    """Run one stage by `dvc repro --single-item`, waiting while another holds DVC's lock; returns seconds."""
    options = ["--force"] if force else []
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *options, stage]
    binaries = Path(sys.executable).parent  # `python` in dvc.yaml is the one that runs here
    env = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
    began = time.monotonic()
    for _ in range(LOCK_TRIES):
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
        text = done.stdout + done.stderr
        if done.returncode == 0:
            return time.monotonic() - began
        if not any(mark in text for mark in LOCKED):
            raise StageFailed(stage, text)
        time.sleep(random.SystemRandom().uniform(0.2, 1.0))  # two stages that wait for one lock must not stay in step
    raise StageFailed(stage, f"DVC's lock was held for {LOCK_TRIES} tries; is another dvc running here?")


def side_by_side(graph: Graph, jobs: int) -> Iterator[tuple[str, float | StageFailed]]:
    """Run the stale stages, at most `jobs` at once, longest chain first; yields each one's seconds or failure.

    What needs a failed stage is never started.
    """
    waiting, failed = set(graph.stale), set[str]()
    running: dict[PrefectFuture[float], str] = {}
    while True:
        for name in graph.ready(waiting, waiting | failed | set(running.values()))[: jobs - len(running)]:
            waiting.remove(name)
            future = dvc_repro.with_options(task_run_name=name).submit(name)  # type: ignore[attr-defined]
            running[future] = name
        if not running:
            return
        future = next(iter(as_completed(list(running))))
        name = running.pop(future)
        try:
            yield name, future.result()
        except StageFailed as error:
            failed.add(name)
            yield name, error


@flow(name="repro", task_runner=SIDE_BY_SIDE, persist_result=False)
def repro(targets: list[str] | None = None, jobs: int | None = None) -> list[str]:
    """Bring `targets` (default: all stages) up to date; returns the stages that were run.

    Independent stages go on when one fails; then `GraphFailed` lists the failures.
    """
    log = get_run_logger()
    graph = read_graph(targets or ())
    done, faults = list[str](), list[str]()
    for name, result in side_by_side(graph, min(jobs or workers(), MOST_JOBS)):
        if isinstance(result, StageFailed):
            faults.append(str(result))
            log.error("%s failed\n%s", name, result.text)
        else:
            done.append(name)
            log.info("[%d/%d] %s, %.1f s", len(done), len(graph.stale), name, result)
    if faults:
        held = len(graph.stale) - len(done) - len(faults)
        raise GraphFailed("\n".join([*faults, f"{len(faults)} stages failed, {len(done)} done, {held} not started"]))
    return done


@flow(name="regenerate", task_runner=SIDE_BY_SIDE, persist_result=False)
def regenerate(dataset: str, variant: str) -> str:
    """Make one variant of one dataset again, from its raw store; returns the digest of its recipe."""
    from flows._runtime import DATA
    from tasks.lineage import recipe

    dvc_repro(f"develop@{dataset}-{variant}", force=True)
    return recipe.digest_of(recipe.read(DATA / "variants" / dataset / f"{variant}.zarr"))


def repro_here(targets: list[str], jobs: int | None) -> list[str]:
    """`repro` under a server of its own, or the user's; for the command line."""
    with api_server() as url:
        os.environ.update(environment(url))
        with temporary_settings({PREFECT_API_URL: url}):
            return repro(targets, jobs)
