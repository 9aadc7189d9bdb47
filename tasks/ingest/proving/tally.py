"""What a verification has found so far: faults, counts, and what was proved of each source."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tasks.errors import RawmillError, fault

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Proved:
    """What was proved of one source. `how` is "source" (compared with it), "store" (it is gone) or "rejected"."""

    id: str
    how: str
    pixels: int
    """Values that were compared with the source's."""
    line: str


@dataclass
class Tally:
    """Faults and counts as they come; `progress` is told after each piece of `total`."""

    progress: Progress
    total: int = 0
    done: int = 0
    chunks: int = 0
    faults: list[str] = field(default_factory=list)

    def step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """What is wrong with a user's data becomes a line among the faults."""
        try:
            yield
        except RawmillError as error:
            self.faults += str(error).splitlines()
        except OSError as error:
            wrong = (error.strerror or str(error)).lower()
            self.faults.append(fault(str(error.filename), wrong, "a readable file", "mend it or its permissions"))
