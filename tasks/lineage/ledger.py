"""The ledger: what is volatile about a run (when, where, on what, how long), one JSON file a run.

It lies outside the outputs of DVC, because a repeat must give equal digests but never an equal ledger. It names
no user. A line is written once and never changed.
"""

import functools
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.contracts import Record
from tasks.errors import LineageError, fault
from tasks.lineage.code import PROJECT
from tasks.lineage.digest import pretty


@dataclass(frozen=True)
class Entry:
    """One run of one stage."""

    began: str
    """UTC, ISO 8601 with microseconds."""
    duration_s: float
    stage: str
    name: str
    output: str
    recipe: str
    root: str
    commit: str | None
    """Git commit of the code, with `+` where the working tree differed; None outside a checkout."""
    host: str
    system: str
    cores: int
    device: str
    flow_run: str | None
    mlflow_run: str | None


def append(
    folder: Path,
    record: Record,
    plan: Mapping[str, Any],
    *,
    began: float,
    flow_run: str | None = None,
    mlflow_run: str | None = None,
) -> Path:
    """Write the line of the run that made `record` from `plan`; `began` is seconds since 1970. Returns its file."""
    entry = Entry(
        began=datetime.fromtimestamp(began, UTC).isoformat(timespec="microseconds"),
        duration_s=round(time.time() - began, 3),
        stage=str(plan["stage"]),
        name=str(plan["name"]),
        output=record.path.as_posix(),
        recipe=record.recipe,
        root=record.root,
        commit=commit(),
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        device=device(),
        flow_run=flow_run,
        mlflow_run=mlflow_run,
    )
    return _write(folder, entry)


def _write(folder: Path, entry: Entry) -> Path:
    """Write whole beside its place, then link: a reader sees a whole line or none, and no line is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{entry.began}-{entry.stage}-{entry.name}")[:120]
    file = folder / f"{stem}-{entry.recipe[:12]}.json"
    part = folder / f".{file.name}.{os.getpid()}.part"
    part.write_bytes(pretty(asdict(entry)))
    try:
        os.link(part, file)
    finally:
        part.unlink()
    return file


def read(folder: Path) -> list[Entry]:
    """All lines, oldest first. Raises `LineageError` for one that cannot be read."""
    return sorted((_parse(file) for file in folder.glob("*.json")), key=lambda entry: (entry.began, entry.output))


def _parse(file: Path) -> Entry:
    try:
        return Entry(**json.loads(file.read_bytes()))
    except (ValueError, TypeError) as error:
        remedy = "remove it: the ledger decides nothing"
        raise LineageError(fault(file, f"not a line of the ledger ({error})", "JSON of one run", remedy)) from None


def commit() -> str | None:
    """The commit of the checkout that holds this code, `+` appended where tracked files differ from it."""
    head = _git("rev-parse", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*arguments: str) -> str | None:
    """Output of git in the project's folder, or None where there is no git or no checkout."""
    command = ["git", "-C", str(PROJECT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def device() -> str:
    """The accelerator's name where torch is at work on one, else the processor's architecture."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu {platform.machine()}"
