"""What was refused, with the entry that it was: a line may name the annotation or the manifest instead."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.ingest.bad import BadFile
from tasks.ingest.manifest import Entry


@dataclass(frozen=True)
class Refused:
    """`file` and `mask` (maybe empty) are relative to the dataset's folder; where no entry came of what the line is
    about, `id` is the file's name, with the number of the line in a table: `manifest.csv:7`."""

    line: str
    id: str
    file: str
    mask: str


def refused(entry: Entry, line: str) -> Refused:
    """The `entry`, refused with this line."""
    return Refused(line, entry.id, entry.file, entry.mask)


def refused_of(
    folder: Path, found: Sequence[Entry], kept: Collection[str], bad: Iterable[BadFile]
) -> tuple[Refused, ...]:
    """Each of `bad`, tied to that entry of `found`, not `kept` (ids), whose picture or annotation it names."""
    waiting = [entry for entry in found if entry.id not in kept]
    told = []
    for error in bad:
        name, line = _name(folder, error), error.line(folder)
        mine = [e for e in waiting if e.file == name] or [e for e in waiting if e.mask == name]
        if mine:
            waiting.remove(mine[0])
        told.append(refused(mine[0], line) if mine else Refused(line, _numbered(name, error), name, ""))
    return tuple(sorted(told, key=lambda one: (one.line, one.id)))


def _name(folder: Path, error: BadFile) -> str:
    """The file relative to `folder`; what is not UTF-8 cannot stand in a receipt, and is made visible."""
    return Path(os.path.relpath(error.path, folder)).as_posix().encode("utf-8", "backslashreplace").decode()


def _numbered(name: str, error: BadFile) -> str:
    line = re.match(r"line (\d+): ", error.wrong)
    return f"{name}:{line[1]}" if line else name
