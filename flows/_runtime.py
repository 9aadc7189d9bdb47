"""What every flow shares: the house `task`, the runner, one way to run a step, and the entry of a stage.

Only here and in the modules beside it does rawmill know Prefect. Between tasks travel a `Job` (paths, digests
and ids) and item ids, never arrays.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import prefect
from prefect import flow, get_run_logger, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows._workers import workers
from tasks import tracking
from tasks.contracts import Record
from tasks.errors import RawmillError
from tasks.lineage import ledger
from tasks.lineage.damage import damage_named
from tasks.output import Job, Step, alone, complain, todo, waves

DATA = Path("data")
PARAMS = Path("params.yaml")
BATCHES = 32
"""Most mapped tasks a stage makes: thousands of tiny ones destabilise a Prefect server."""

F = TypeVar("F", bound=Callable[..., Any])


def is_passing_fault(_task: Any, _run: Any, state: State) -> bool:
    """Retry what may pass by itself (network, storage), never what will fail again (bad input, a bug)."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and not isinstance(error, RawmillError | FileNotFoundError | PermissionError)


def task(function: F) -> F:
    """The house task: named after its function, retried on I/O faults, and never cached by Prefect.

    NO_CACHE because DVC alone owns reuse. Prefect's default key hashes a path's text, not the file behind it,
    and a task's own source, not that of its callees: it would return stale data after either changes.
    """
    return prefect.task(  # type: ignore[return-value, call-overload, no-any-return]
        function,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=[1, 5],
        retry_condition_fn=is_passing_fault,
    )


def runner() -> TaskRunner[Any]:
    """Threads here, or a Dask cluster where RAWMILL_DASK holds its scheduler's address."""
    address = os.environ.get("RAWMILL_DASK")
    if not address:
        return ThreadPoolTaskRunner(max_workers=workers())
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(address=address)


def stage_flow(name: str) -> Callable[[F], F]:
    """The house flow: small string arguments in, a digest out."""
    return flow(name=name, persist_result=False)  # type: ignore[return-value]


@task
def prepare(make_job: Callable[[], Job]) -> Job:
    """Check the inputs and open the staging place."""
    return make_job()


@task
def process(step: Step, job: Job, items: Sequence[str]) -> None:
    """Carry out some items of a job."""
    began = time.monotonic()
    for item in items:
        with damage_named(job.out, job.plan):
            step.process(job, item)
    text = items[0] if len(items) == 1 else f"{items[0]} to {items[-1]}"
    get_run_logger().info("%s: %s done in %.1f s", job.out.name, text, time.monotonic() - began)


@task
def finish(step: Step, job: Job) -> Record:
    """Verify all items and rename the output into place."""
    with damage_named(job.out, job.plan):
        return step.finish(job)


def run_stage(step: Step, make_job: Callable[[], Job]) -> str:
    """Prepare, map the items that are not done yet wave by wave, finish, record; returns the digest of the recipe.

    All items of a wave are tried before the first failure is raised, so that one bad item does not cost the
    others. Raises `StoreError` where another process makes the same output.
    """
    began = time.time()
    job = prepare(make_job)
    with alone(job):
        for wave in waves(job):
            run_wave(step, job, wave)
        record = finish(step, job)
    record_run(job, record, began)
    return complain(record).recipe


def run_wave(step: Step, job: Job, wave: Sequence[str]) -> None:
    """Map the items of `wave` that are not done yet over the runner, and wait for all."""
    waiting = todo(job, wave)
    batches = [waiting[i::BATCHES] for i in range(min(BATCHES, len(waiting)))]
    get_run_logger().info("%s: %d of %d items to do", job.out, len(waiting), len(wave))
    futures = process.map(unmapped(step), unmapped(job), batches)  # type: ignore[attr-defined]
    wait(futures)
    for future in futures:
        future.result()


def tracked(job: Job, record: Record) -> str | None:
    """The MLflow run of `record`; None, with a warning, where MLflow fails: the finished output must not suffer."""
    try:
        return tracking.track(job, record)
    except Exception as error:  # whatever a tracking server or its client can raise
        get_run_logger().warning("%s is not tracked in MLflow: %s", record.path, error)
        return None


def record_run(job: Job, record: Record, began: float) -> None:
    """Track the record and write the ledger: all that is volatile about this run."""
    context = FlowRunContext.get()
    flow_run = str(context.flow_run.id) if context and context.flow_run else None
    run = tracked(job, record)
    ledger.append(DATA / "lineage" / "runs", record, job.plan, began=began, flow_run=flow_run, mlflow_run=run)
    size = sum(f.stat().st_size for f in record.path.rglob("*") if f.is_file())
    get_run_logger().info(
        "%s: %.1f MB, recipe %s, %.1f s", record.path, size / 1e6, record.recipe[:12], time.time() - began
    )


def stage_main(stage: Any) -> None:
    """Entry of `python -m flows.<stage> ARGS`: one line on stderr and an exit code for what a user can mend."""
    logging.getLogger("rawmill").setLevel(logging.INFO)
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "rawmill")
    try:
        stage.with_options(task_runner=runner())(*sys.argv[1:])
    except RawmillError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted; run again to go on where it stopped", file=sys.stderr)
        raise SystemExit(130) from None
