"""Params of the drift report."""

from typing import Literal

from tasks.params import Params


class DriftReportParams(Params):
    """What the page says beside what its inputs hold."""

    heading: str
    """What was tested, in the reader's words."""
    reference: Literal["raw-microscopy", "raw-drone"] | None
    """The dataset whose published figures (thesis A) stand beside; null: none."""
