"""Params of the report stage."""

from typing import Annotated

from pydantic import Field

from tasks.params import Params

Count = Annotated[int, Field(ge=1)]


class ReportParams(Params):
    """Which outputs the page shows, and at what sizes."""

    datasets: tuple[str, ...]
    """Shown in this order; those of mosaics (crops, frames) have variants, those of slides have none."""
    drift: tuple[str, ...]
    """Tasks whose drift reports are summed up."""
    corpus: str
    variants: Annotated[tuple[str, ...], Field(min_length=2)]
    """Shown side by side, in this order."""
    shown_variant: str
    """Stands for `after` where one variant is enough."""
    crops: Count
    """Crops or windows shown before and after development, for each dataset."""
    window_px: Count
    """Side of the window cut from a frame."""
    detail_px: Count
    """Side of the detail that shows single sensor sites."""
    frame_width_px: Count
    """Width to which whole frames and slides are reduced, at most."""
    samples: Count
    """Synthetic images shown."""
    neighbours: Count
    """Synthetic tiles shown beside their nearest real tiles."""
    difference_gain: Annotated[float, Field(gt=0)]
    """Factor on A - B of two variants, which is shown around mid-grey."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]
