"""What the page is made of: the documents that the drift controls wrote, and their figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, fault

DOCUMENTS = {
    "synthesis": "matrix.json",
    "given": "matrix.json",
    "forensics": "signature.json",
    "optimisation": "optimisation.json",
}
"""Parts in the order of the page, and what each is read from."""

ALTS = {
    "matrix": "scores; rows are the data models trained on, columns the conditions tested on, borders the deviation",
    "severity": "scores under common corruptions of that severity",
    "worst": "one tile under condition A, under condition B, and the difference A - B of each channel",
    "drop": "drop of the score over severities, with intervals",
    "lambda": "score against lambda, for all parameters jointly and for each group alone",
    "l2": "score against the mean squared change of the images, for all parameters jointly and for each group alone",
    "samples": "tiles as the camera's own parameters and as the parameters found at each lambda process them",
    "range": "for each group of parameters, how far it may go before the score is lost",
    "curve": "validation score over the epochs for each setting, mean and interval over the folds",
    "processed": "the same tiles as each setting processes them",
    "mask": "predicted masks after the first and the last epoch",
}
"""Words for who does not see a figure, by a word in its name; the first that fits."""


@dataclass(frozen=True)
class Part:
    """One output of the drift controls: `document` as it was written; `figures` by name without suffix, the name of
    the page's own copy."""

    name: str
    document: Mapping[str, Any]
    figures: Mapping[str, str]

    @property
    def captions(self) -> dict[str, str]:
        """Words for each figure."""
        return {stem: caption(stem) for stem in self.figures}


def read_document(folder: Path, part: str) -> dict[str, Any]:
    """The document of `part` below `folder`. Raises `InputError` where there is none."""
    file = folder / DOCUMENTS[part]
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        raise InputError(fault(file, "cannot be read", "JSON of rawmill", "make that output again")) from None


def figures_of(folder: Path) -> list[Path]:
    """The PNG figures of an output, sorted by name."""
    return sorted((folder / "figures").glob("*.png"))


def caption(stem: str) -> str:
    """What a figure shows, for who does not see it."""
    found = next((text for word, text in ALTS.items() if word in stem), "figure")
    return f"{stem.replace('_', ' ').replace('-', ' ')}: {found}"
