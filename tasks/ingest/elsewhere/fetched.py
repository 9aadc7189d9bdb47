"""The note beside a fetched file, `<name>.fetched.json`: where it is from, and which version of it.

Keys: `uri`, `size` (bytes, null where the server does not say), `stamp` (what tells versions apart), and `sha256` of
what came, once it is whole. A part file (`.<name>.part`) has one too.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.disk import storage_faults


def beside(file: Path) -> Path:
    """The note of `file`."""
    return file.with_name(f"{file.name}.fetched.json")


def read(file: Path) -> dict[str, Any]:
    """What was noted of `file`; nothing where that cannot be read."""
    try:
        notes = json.loads(beside(file).read_bytes())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def write(file: Path, notes: Mapping[str, Any]) -> None:
    """Note something of `file`. Raises `StoreError`."""
    note = beside(file)
    with storage_faults(note):
        part = note.with_name(f"{note.name}.part")
        part.write_text(json.dumps(notes, indent=2, sort_keys=True), encoding="utf-8")
        part.replace(note)


def is_there(file: Path, notes: Mapping[str, Any]) -> bool:
    """Whether `file` is what came when these very `notes` were made, bit by bit."""
    known = read(file)
    if not file.is_file() or {**notes, "sha256": known.get("sha256")} != known:
        return False
    with file.open("rb") as opened:
        return bool(hashlib.file_digest(opened, "sha256").hexdigest() == known["sha256"])
