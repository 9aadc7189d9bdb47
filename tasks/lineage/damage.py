"""A codec that fails on what a step reads is told as the damaged file it stems from.

Shards are not hashed before they are read (that would read every store twice); a flipped bit in one shows as an
exception out of the Zarr library, which knows no file. Only then the inputs are hashed, to name it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any

from tasks.errors import RawmillError
from tasks.lineage.audit import check_content
from tasks.lineage.places import resolve
from tasks.lineage.recipe import read


@contextmanager
def damage_named(out: Path, plan: Mapping[str, Any]) -> Iterator[None]:
    """While the body reads the inputs of `plan` (paths relative to `out`): where a codec fails, and a file of an input
    is not what its tree says, `LineageError` names that file. Any other error, and one with whole inputs, is let be."""
    try:
        yield
    except RawmillError:
        raise
    except Exception as error:
        if from_zarr(error):
            for entry in plan["inputs"]:
                if entry["kind"] == "artefact":
                    folder = resolve(out, entry)
                    check_content(folder, read(folder))
        raise


def from_zarr(error: BaseException) -> bool:
    """Whether `error` came through the Zarr library; the codec itself may be another's."""
    return any("zarr" in Path(frame.filename).parts for frame in extract_tb(error.__traceback__))
