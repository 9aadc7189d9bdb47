"""What a user brings to `rawmill drift` and `rawmill train`, and how it is called in the commands that repair."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows._options import HERE
from tasks.errors import BatchError

if TYPE_CHECKING:
    from tasks.ingest.params import Kind
    from tasks.output import Job


def raw_store(
    source: Path, kinds: "Sequence[Kind]", raw: Path, make_job: "Callable[[], Job]"
) -> tuple[Path, BatchError | None]:
    """`source` where it is a raw store of one of `kinds`; else `raw`, which `make_job` begins to make of its files,
    and what was wrong with some of them. Raises `InputError`."""
    from flows._local import carry_out
    from tasks.ingest import step
    from tasks.ingest.brought import check_raw, is_store

    if is_store(source):
        check_raw(source, kinds)
        return source, None
    try:
        carry_out(step, make_job)
    except BatchError as error:
        if not error.done:
            raise
        return raw, error
    return raw, None


def is_shipped(params: Path) -> bool:
    """Whether these are the params that are taken where none are named, wherever one is."""
    return params.is_absolute() and params.parent in (HERE, HERE.parent)


def seen_from(output: Path, path: Path) -> str:
    """`path` as it is called in the folder that holds `output`, where the command that repairs it is typed."""
    return Path(os.path.relpath(path.resolve(), output.resolve().parent)).as_posix()


def params_words(output: Path, params: Path | None) -> list[str]:
    """The option that names the params; none for those that rawmill ships."""
    return [] if params is None else ["--params", seen_from(output, params)]
