"""What an operator is: a frozen set of parameters with a pure function on arrays.

Geometry. A frame is thought of as continued without end by mirroring about its outermost samples
(d c b | a b c d | c b a), which keeps the phase of a Bayer pattern. Operators act on that plane: `apply` takes
`halo_px` more pixels on each side than it returns. So no operator has a border rule of its own, and a tile cut
with its halo gives the very bits that the whole frame gives.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Calibration
from tasks.isp.arrays import Array, like, namespace
from tasks.params import Params

Plane = NDArray[np.float32]
"""float32 array; (y, x) for a mosaic or one channel, (3, y, x) for RGB."""

Domain = Literal["mosaic", "demosaic", "rgb"]


@dataclass(frozen=True)
class Place:
    """Where an array lies: its camera, and the frame coordinates (px) of its first sample.

    Coordinates are negative, or beyond the frame, in the mirrored continuation.
    """

    calibration: Calibration
    y_px: int = 0
    x_px: int = 0
    frame_px: tuple[int, int] | None = None
    """Height and width of the whole frame, for operators that work from its centre; None where none does."""

    def inside(self, halo_px: int) -> "Place":
        """The place of what an operator with that halo returns."""
        return replace(self, y_px=self.y_px + halo_px, x_px=self.x_px + halo_px)


class Operator(Params):
    """Base of all operators. A subclass's fields are its parameters, as they stand in params.yaml."""

    name: ClassVar[str]
    domain: ClassVar[Domain] = "rgb"
    """`mosaic` and `rgb` stay in their domain; `demosaic` leads from one to the other."""
    needs_unit_range: ClassVar[bool] = False
    """Defined on [0, 1] only."""
    gives_unit_range: ClassVar[bool] = False
    """Its values lie in [0, 1]."""

    @property
    def halo_px(self) -> int:
        """Pixels that `apply` consumes on each side; even for all that comes before `rgb`."""
        return 0

    @abstractmethod
    def apply(self, image: Array, place: Place) -> Array:
        """The operator's meaning: the result, smaller by `halo_px` on each side; `image` is left as it was.

        Written over `tasks.isp.arrays`, so that it runs with NumPy and, batched and differentiable, with torch.
        """

    def into(self, image: Plane, out: Plane, place: Place) -> None:
        """The same, quickly: write to `out`, which may be smaller than `image` by more than the halo, on all sides.

        Both are contiguous float32. An operator without a compiled kernel is right as it stands.
        """
        spare = margin_px(image, out) - self.halo_px
        np.copyto(out, self.apply(crop(image, spare), place.inside(spare)))


def sites(values: Any, place: Place) -> NDArray[np.float64]:
    """The 2x2 site `values` (mosaic order: (0,0) (0,1) (1,0) (1,1)) as an array at `place` begins with them."""
    table = np.asarray(values, np.float64).reshape(2, 2)
    return table[:: -1 if place.y_px % 2 else 1, :: -1 if place.x_px % 2 else 1].copy()


def repeated(values: Array, mosaic: Array) -> Array:
    """The 2x2 site `values` repeated from the upper left corner over the (y, x) of `mosaic`, in its kind."""
    height, width = mosaic.shape[-2:]
    table = like(values, mosaic)
    return namespace(mosaic).tile(table, (-(-height // 2), -(-width // 2)))[:height, :width]


def lines(values: Array, mosaic: Plane) -> Plane:
    """The 2x2 site `values` as the first two rows (2, x) of an array like `mosaic`."""
    return np.ascontiguousarray(repeated(values, mosaic[:2]))


def margin_px(image: Plane, out: Plane) -> int:
    """By how much `out` is smaller than `image` on each side."""
    return int(image.shape[-1] - out.shape[-1]) // 2


def crop(image: Array, halo_px: int) -> Array:
    """A view of `image` (…, y, x) without `halo_px` on each side."""
    height, width = image.shape[-2:]
    return image[..., halo_px : height - halo_px, halo_px : width - halo_px]
