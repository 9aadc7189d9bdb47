"""Highlight clip: no channel may exceed what the first one to saturate can reach, so that highlights stay neutral.

A sensor saturates at the same value in all channels; white balance then pulls them apart, and a blown highlight takes
the colour of the largest gains (magenta, mostly). Clipping all at the least of the gains makes it neutral again; it is
what LibRaw does by default (`highlight=0`, "clip"). Not part of the thesis's data models.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from tasks.errors import ParamsError, fault
from tasks.isp.arrays import Array, like, namespace
from tasks.isp.operator import Operator, Place, Plane


def limit(image: Array, most: float) -> Array:
    """`image`, any shape, with values above `most` set to it. Its slope is 0 there."""
    return namespace(image).minimum(image, like(most, image))


class HighlightClip(Operator):
    """RGB (…, 3, y, x) after white balance, clipped at `saturation` times its least gain.

    `saturation` is the value of a saturated sample before white balance: 1 after `white_level`. Raises `ParamsError`
    for a camera whose white balance is not positive: some are fitted, with a sign that the colour matrix takes back.
    """

    name: ClassVar[str] = "highlight_clip"
    saturation: Annotated[float, Field(gt=0)]

    def _most(self, place: Place) -> float:
        least = min(place.calibration.white_balance)
        if least <= 0:
            wrong = f"highlight_clip with a gain of {least:g} in the white balance"
            raise ParamsError(fault("camera", wrong, "gains above 0", "leave highlight_clip out for this camera"))
        return self.saturation * least

    def apply(self, image: Array, place: Place) -> Array:
        return limit(image, self._most(place))

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        from tasks.isp.compiled.points import limit

        limit(image, self._most(place), out)
