"""What a disk can do to us, told as one line."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import StoreError, fault


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn what a disk can do to us (full, read-only, not ours) into one clear `StoreError`."""
    remedies = {
        errno.ENOSPC: "free some space and run again: finished work is kept",
        errno.EDQUOT: "raise the quota and run again: finished work is kept",
        errno.EROFS: "choose another --out",
        errno.EACCES: "choose another --out or mend the permissions",
        errno.EPERM: "choose another --out or mend the permissions",
        errno.ENOTDIR: "choose another --out",
        errno.EEXIST: "choose another --out",
        errno.EISDIR: "choose another --out",
        errno.ENAMETOOLONG: "choose a shorter --out",
        errno.ELOOP: "choose another --out",
    }
    try:
        yield
    except OSError as error:
        if error.errno not in remedies:
            raise
        wrong = os.strerror(error.errno).lower()
        raise StoreError(fault(path, wrong, "a place to write", remedies[error.errno])) from error
