"""What long work logs, on the user's terminal: how far it is, seconds a step, and the time left."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import Progress, TaskID

LOG = logging.getLogger("rawmill")


class Teller(logging.Handler):
    """Shows the records of the logger `rawmill`: a row for work that tells its step (`tasks.progress`), else a line.

    Where stderr is no terminal there are no rows; each record from INFO on is a line then.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.DEBUG)
        self.progress = progress
        self.begun: dict[str, tuple[int, float]] = {}
        self.rows: dict[str, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; the time is the handler's own, so that none reaches the work."""
        told: tuple[str, int, int] | None = getattr(record, "progress", None)
        seconds = None if told is None else self._seconds(*told[:2])
        text = record.getMessage() + ("" if seconds is None else f", {seconds:.3g} s a step")
        if told is not None and not self.progress.disable:
            self._row(*told, text=text)  # which shows the time left beside its bar
        elif record.levelno >= logging.INFO:
            left = "" if told is None or seconds is None else f", {_clock(seconds * (told[2] - told[1]))} left"
            self.progress.console.print(text + left, markup=False, highlight=False, soft_wrap=True)

    def _seconds(self, what: str, step: int) -> float | None:
        """A step, since the first record of `what` that this process has seen: a resumed run begins at its step."""
        now = time.monotonic()
        first, began = self.begun.setdefault(what, (step, now))
        return (now - began) / (step - first) if step > first else None

    def _row(self, what: str, step: int, steps: int, *, text: str) -> None:
        if what not in self.rows:
            self.rows[what] = self.progress.add_task(what, total=steps)
        self.progress.update(self.rows[what], completed=step, description=text)


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))


@contextmanager
def told(progress: Progress) -> Iterator[None]:
    """Show what is logged while the body runs."""
    teller, level = Teller(progress), LOG.level
    LOG.addHandler(teller)
    LOG.setLevel(logging.DEBUG)  # the first record of a run, from which seconds a step are counted, is one
    try:
        yield
    finally:
        LOG.setLevel(level)
        LOG.removeHandler(teller)
