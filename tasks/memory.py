"""How much more memory this process may take, before it takes it.

The least of what the machine has left (`MemAvailable`), what each control group above the process still allows
(cgroup v2: `memory.max`, and `memory.high`, from which on the kernel only slows down, is not counted), and what is
left of `RLIMIT_AS`. File pages that the kernel gives back on demand count as free, in the group as in the machine.
"""

import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")


def available_bytes(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Bytes that this process may still take, at least 0. `proc` and `groups` are there for tests."""
    limits = [_machine(proc), *_groups(proc, groups), *_address_space(proc)]
    return max(0, min(limits))


def _kilobytes(file: Path) -> Mapping[str, int]:
    """The lines `Name: n kB` of a file in /proc, in bytes."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}


def _machine(proc: Path) -> int:
    return _kilobytes(proc / "meminfo")["MemAvailable"]


def _groups(proc: Path, groups: Path) -> Iterator[int]:
    """What is left in each control group from the process's own up to the root."""
    named = [line[3:] for line in (proc / "self" / "cgroup").read_text().splitlines() if line.startswith("0::")]
    for name in named:
        place = groups / name.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(groups) and (limit := _number(folder / "memory.max")) is not None:
                yield limit - (_number(folder / "memory.current") or 0) + _reclaimable(folder)


def _number(file: Path) -> int | None:
    """The number in a control file, or None where there is no such file or no limit (`max`)."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _reclaimable(folder: Path) -> int:
    try:
        lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return sum(int(words[1]) for words in lines if words[0] in ("inactive_file", "active_file"))
    except OSError:
        return 0


def _address_space(proc: Path) -> Iterator[int]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft - _kilobytes(proc / "self" / "status")["VmSize"]
