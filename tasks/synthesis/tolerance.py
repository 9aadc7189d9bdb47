"""How near a synthetic image comes when it is made again, by the device that it was made on: what its recipe promises.

Sums of float32 on a GPU may differ in their last bits from card to card and from one version of its libraries to the
next. A deterministic sampler carries such differences on without making much of them, but where a value lies half-way
between two grey levels, or a mask's pixel half-way between two classes, they show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """At most a `share` of the pixels may be off by more than `grey_levels` of 255 in any channel."""

    grey_levels: int
    share: float

    def __str__(self) -> str:
        if self.grey_levels == 0 and self.share == 0:
            return "exact"
        return f"at most {self.share:.2%} of pixels off by more than {self.grey_levels} grey levels"


TOLERANCES = {"cpu": Tolerance(0, 0.0), "cuda": Tolerance(2, 0.01)}


def stated(device: str) -> dict[str, Any]:
    """What a recipe's notes say: the device, and the tolerance in words and in figures."""
    bound = TOLERANCES[device]
    figures = {"tolerance_grey_levels": bound.grey_levels, "tolerance_share": bound.share}
    return {"device": device, "tolerance": str(bound), **figures}


def recorded(recipe: Mapping[str, Any]) -> Tolerance:
    """The tolerance in the notes of a recipe; that of its device where the notes have none."""
    notes = recipe["notes"]
    if "tolerance_share" in notes:
        return Tolerance(int(notes["tolerance_grey_levels"]), float(notes["tolerance_share"]))
    return TOLERANCES[recipe["params"]["sampler"]["device"]]


@dataclass(frozen=True)
class Difference:
    """Of two pictures: the largest difference of a channel, how many of the `pixels` differ at all, and how many by
    more than the tolerance's grey levels."""

    largest: int = 0
    differing: int = 0
    beyond: int = 0
    pixels: int = 0

    def __add__(self, other: "Difference") -> "Difference":
        sums = (self.differing + other.differing, self.beyond + other.beyond, self.pixels + other.pixels)
        return Difference(max(self.largest, other.largest), *sums)

    @property
    def share(self) -> float:
        """Share of the pixels that differ."""
        return self.differing / max(1, self.pixels)

    def within(self, bound: Tolerance) -> bool:
        """Whether no more pixels than tolerated are off by more than tolerated."""
        return self.beyond <= bound.share * self.pixels


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8], grey_levels: int) -> Difference:
    """Of two pictures (c, y, x) or masks (y, x) of equal shape. Classes of a mask are no quantities: 0 levels there."""
    off = np.abs(one.astype(np.int16) - other.astype(np.int16))
    pixel = off.max(axis=0) if off.ndim == 3 else off
    counts = (int(np.count_nonzero(pixel)), int(np.count_nonzero(pixel > grey_levels)), pixel.size)
    return Difference(int(pixel.max(initial=0)), *counts)
