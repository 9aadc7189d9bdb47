"""What long work logs is seen: rows on a terminal, lines where there is none."""

import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress

from flows import _progress
from tasks.progress import at

log = logging.getLogger("rawmill")


class Clock:
    """Two seconds pass from one look to the next."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        self.now += 2
        return self.now


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> tuple[str, int]:
    """What is seen of a training of four steps from step 1 on, and the logger's level inside."""
    monkeypatch.setattr(_progress, "time", Clock())
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=terminal, width=120)
    with Progress(console=console, disable=not terminal, auto_refresh=False) as progress, _progress.told(progress):
        log.debug("net: step 1 of 4", extra=at("net", 1, 4))
        log.debug("net: step 2 of 4, loss 0.5", extra=at("net", 2, 4))
        log.info("net: step 3 of 4, loss 0.25", extra=at("net", 3, 4))
        log.warning("too [little] memory")
        level = log.level
        progress.refresh()
    return seen.getvalue(), level


def test_without_a_terminal_each_report_is_a_line_with_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (log.level, list(log.handlers))
    text, _ = shown(monkeypatch, terminal=False)
    assert text == "net: step 3 of 4, loss 0.25, 2 s a step, 0:00:02 left\ntoo [little] memory\n"
    assert (log.level, list(log.handlers)) == before


def test_on_a_terminal_work_is_a_row_that_moves_and_other_lines_stand_above(monkeypatch: pytest.MonkeyPatch) -> None:
    text, level = shown(monkeypatch, terminal=True)
    assert level == logging.DEBUG
    assert "net: step 3 of 4, loss 0.25, 2 s a step" in text and " 75%" in text
    assert "too [little] memory\n" in text
    assert "net: step 1 of 4\n" not in text
