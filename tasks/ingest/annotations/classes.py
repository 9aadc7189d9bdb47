"""Class names of the sources to class indices of the store."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, fault
from tasks.ingest.bad import BadFile
from tasks.ingest.params import IngestParams

MOST_CLASSES = 255
"""A label image is uint8, and 0 is the unknown."""
NAME_IT = "add it to classes or merge, or set unknown_class to ignore"


def index_of(name: str, path: Path, classes: tuple[str, ...], params: IngestParams) -> int:
    """The class index (1, 2, …) of a source's class name, 0 for unknown. Raises `BadFile` for a foreign name."""
    merged = params.merge.get(name, name)
    if merged == "":
        return 0
    if merged in classes:
        return classes.index(merged) + 1
    if params.unknown_class == "ignore":
        return 0
    raise BadFile(path, f"the class {name!r}", f"one of {', '.join(classes) or 'no classes'}", NAME_IT)


def label_of(name: str, path: Path, classes: tuple[str, ...], params: IngestParams) -> str:
    """The store's class name for a source's, empty for unknown."""
    index = index_of(name, path, classes, params)
    return classes[index - 1] if index else ""


def names_found(names: Iterable[str], params: IngestParams) -> tuple[str, ...]:
    """The classes of a dataset: those of the params, or all `names` after merging, sorted. Raises `InputError`."""
    if params.classes is not None:
        return params.classes
    found = tuple(sorted({params.merge.get(n, n) for n in (*names, *params.source_classes)} - {""}))
    if len(found) > MOST_CLASSES:
        wrong, remedy = (
            f"{len(found)} class names, from {found[0]!r} to {found[-1]!r}",
            "name fewer in classes or merge",
        )
        raise InputError(fault("the annotations", wrong, f"at most {MOST_CLASSES}", remedy))
    return found


def raster_table(path: Path, classes: tuple[str, ...], params: IngestParams) -> NDArray[np.int16]:
    """Class index of each value 0 to 255 of a label raster, and of all larger ones; -1 where a value has no name."""
    if params.mask_values == "nonzero":
        table = np.full(257, index_of(params.source_classes[0], path, classes, params), np.int16)
        table[0] = 0
        return table
    table = np.full(257, 0 if params.unknown_class == "ignore" else -1, np.int16)
    table[0] = 0
    for value, name in enumerate(params.source_classes, start=1):
        table[value] = index_of(name, path, classes, params)
    return table
