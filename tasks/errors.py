"""The exceptions of rawmill, and which one to raise when.

| exception      | raise it when                                                        | exit code |
|----------------|----------------------------------------------------------------------|-----------|
| `InputError`   | a file that a user brought is bad, missing or not allowed             | 3         |
| `BatchError`   | some inputs of many were bad and the others are done                  | 3         |
| `ParamsError`  | params.yaml or an option has an unknown key or an impossible value    | 2         |
| `LineageError` | what is stored is not what a recipe says                              | 4         |
| `StoreError`   | writing or reading back our own output failed (disk full, bad medium) | 5         |

Every message is one line with four parts: the file, what is wrong, what was expected, what to do.
Use `fault(...)` to write it. A plain bug is not one of these: let it surface with its traceback.
"""

from collections.abc import Sequence
from pathlib import Path


class RawmillError(Exception):
    """Base of all errors that a user can act on."""

    exit_code = 1


class ParamsError(RawmillError):
    """A params section or a command-line option cannot be used."""

    exit_code = 2


class InputError(RawmillError):
    """A user's file cannot be used."""

    exit_code = 3


class BatchError(InputError):
    """Some inputs failed and the others are done; `faults` lists one line each."""

    def __init__(self, faults: Sequence[str], done: int) -> None:
        self.faults = tuple(faults)
        self.done = done
        super().__init__("\n".join([*self.faults, f"{len(self.faults)} bad, {done} done"]))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...], int]]:
        return type(self), (self.faults, self.done)


class LineageError(RawmillError):
    """Stored data disagree with their recipe."""

    exit_code = 4


class StoreError(RawmillError):
    """Our own output could not be written, or read back as written."""

    exit_code = 5


def fault(where: str | Path, wrong: object, expected: object, remedy: str) -> str:
    """One line: `where: wrong; expected …; remedy`, with line breaks and control characters made visible."""
    text = f"{where}: {wrong}; expected {expected}; {remedy}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
