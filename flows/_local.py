"""Run a step right here, without Prefect or DVC: for the `rawmill` command on a user's own files."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial

from rich.console import Console
from rich.progress import Progress

from flows._progress import told
from flows._workers import workers
from tasks.contracts import Record
from tasks.lineage.damage import damage_named
from tasks.output import Job, Step, abandon, alone, complain, finished, todo, waves


def carry_out(step: Step, make_job: Callable[[], Job]) -> Record:
    """Prepare, process what is not done yet on all cores with a progress bar on stderr, finish.

    An output that stands there already, whole and from the same plan, is returned as it is. Raises `BatchError`
    where some inputs were bad (the good ones are in the output then), `StoreError` where another process makes it.
    """
    job = make_job()
    with alone(job):
        ready = finished(job)
        if ready is not None:
            abandon(job)
            return complain(ready)
        _process(step, job)
        with damage_named(job.out, job.plan):
            return complain(step.finish(job))


def _item(step: Step, job: Job, item: str) -> None:
    with damage_named(job.out, job.plan):
        step.process(job, item)


def _process(step: Step, job: Job) -> None:
    """Wave by wave what is not done yet; a wave that fails is the last."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not sys.stderr.isatty()) as progress, told(progress):
        total = len(job.items) + len(job.closing)
        bar = progress.add_task(job.out.name, total=total, visible=total > 1)  # one item tells its own steps
        for wave in waves(job):
            waiting = todo(job, wave)
            progress.advance(bar, len(wave) - len(waiting))
            _carry_out_all([partial(_item, step, job, item) for item in waiting], lambda: progress.advance(bar))


def _carry_out_all(pieces: Sequence[Callable[[], None]], advance: Callable[[], None]) -> None:
    """Side by side. One alone in this thread, where Ctrl-C ends it in the midst: it may be hours of training."""
    if len(pieces) == 1:
        pieces[0]()
        advance()
        return
    with ThreadPoolExecutor(workers()) as pool:
        _await_all([pool.submit(piece) for piece in pieces], advance)


def _await_all(futures: list[Future[None]], advance: Callable[[], None]) -> None:
    """Wait for all; the first error is raised when the others are done, Ctrl-C or an exit when what has begun is."""
    errors = []
    try:
        for future in as_completed(futures):
            error = future.exception()
            if error is not None:
                errors.append(error)
            advance()
    except (KeyboardInterrupt, SystemExit):
        for future in futures:
            future.cancel()
        raise
    if errors:
        raise errors[0]
