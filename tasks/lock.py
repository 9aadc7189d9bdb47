"""A lock between processes: an exclusive `flock` on a file that is there only while it is held.

The kernel lets go of it when the process ends, however it ends, so that no lock has ever to be broken by hand.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks.disk import storage_faults
from tasks.errors import StoreError, fault


class Busy(Exception):
    """Someone else holds the lock."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path` while the body runs. Raises `Busy` at once where it is held, also by a thread here."""
    handle = _take(path)
    try:
        yield
    finally:
        # Removed while it is held: whoever opened this very file in between sees in `_take` that it is gone.
        if _stands_at(path, handle):
            path.unlink()
        os.close(handle)


def _take(path: Path) -> int:
    """Open and lock the file that stands at `path`; again where its holder removed it in between."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _stands_at(path, handle):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise Busy(path) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _stands_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def only_maker(out: Path) -> Iterator[None]:
    """Hold the lock of the output `out`, a file beside it; `StoreError` where another process holds it."""
    held = ExitStack()
    try:
        with storage_faults(out):
            held.enter_context(locked(out.with_name(f".{out.name}.lock")))
    except Busy:
        wrong, remedy = "another process is making it", "wait for that one, or choose another --out"
        raise StoreError(fault(out, wrong, "one at a time", remedy)) from None
    with held:
        yield
