"""How much is done side by side here: of stages, and of what users do to their own files."""

import os

from tasks.errors import ParamsError, fault


def workers() -> int:
    """Pieces of work side by side: RAWMILL_WORKERS, else the cores that this process may use.

    Those that compute on a GPU take turns there all the same: see `tasks.learn.determinism.on_device`.

    Raises `ParamsError` unless it is a whole number from 1 on.
    """
    asked = os.environ.get("RAWMILL_WORKERS") or str(len(os.sched_getaffinity(0)))
    if not (asked.isdecimal() and int(asked) >= 1):
        raise ParamsError(fault("RAWMILL_WORKERS", repr(asked), "a whole number from 1 on", "set it so, or unset it"))
    return int(asked)
