"""Mask cleaning (thesis A, section 5.3): boundary artefacts and small regions become unknown, 0.

Both rules look no further than a known distance, so that a mask of any size is cleaned block by block, each with its
halo, to the same pixels as in one piece.

**Boundary artefact.** The thesis's masks were ordinals, and values between two classes lay along their borders. A
one-hot mask has none; what a sampler may leave there is a sliver of a third label. A pixel of a class is one where its
class is thinner than `width` there (no square of `width` x `width` pixels of the class covers it), and at least two
other labels, unknown among them, are within `width` pixels (Chebyshev) and not thin themselves. A thin region inside
one class has one neighbour only, and stays.

**Small region.** A connected region (4-neighbours) of a class with fewer than `smallest` pixels.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Classes = NDArray[np.uint8]
"""Class indices (y, x), 0 = unknown."""
BLOCK = 1024
Place = tuple[slice, slice]


def clean(mask: Classes, smallest: int) -> Classes:
    """Connected regions (4-neighbours) of a class with fewer than `smallest` pixels become unknown, 0.

    Thesis A, "Mask cleaning": regions of small magnitude are replaced with unknowns.
    """
    cleaned = mask.copy()
    for index in np.unique(mask[mask > 0]):
        regions, count = ndimage.label(mask == index)
        sizes = np.bincount(regions.ravel(), minlength=count + 1)
        small = sizes < smallest
        small[0] = False
        cleaned[small[regions]] = 0
    return cleaned


def without_slivers(mask: Classes, width: int) -> Classes:
    """`mask` with its boundary artefacts unknown; a `width` of 0 or 1 changes nothing."""
    if width < 2:
        return mask.copy()
    labels = [int(k) for k in np.unique(mask)]
    thick = {k: opened(mask == k, width) for k in labels}
    near = {k: ndimage.maximum_filter(thick[k], 2 * width + 1, mode="constant", cval=False) for k in labels}
    meeting = sum((near[k].astype(np.uint8) for k in labels), np.zeros(mask.shape, np.uint8))
    cleaned = mask.copy()
    for k in labels:
        sliver = (mask == k) & ~thick[k] & (meeting - near[k] >= 2)
        cleaned[sliver] = 0
    return cleaned


def opened(inside: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Pixels that a square of `side` x `side` pixels within `inside` covers; the border's pixels go on outside."""
    found = np.pad(inside, side - 1, mode="edge")
    for axis in (0, 1):
        found = _each(found, side, axis, np.logical_and)
    for axis in (0, 1):
        found = _each(found, side, axis, np.logical_or)
    return found


def _each(values: NDArray[np.bool_], side: int, axis: int, join: np.ufunc) -> NDArray[np.bool_]:
    """`join` of each run of `side` values along `axis`, which becomes `side` - 1 shorter."""
    length = values.shape[axis] - side + 1
    shifted = (np.take(values, range(k, k + length), axis) for k in range(side))
    joined: NDArray[np.bool_] = next(shifted)
    for more in shifted:
        joined = join(joined, more)
    return joined


def clean_in_blocks(mask: Classes, width: int, smallest: int, block: int = BLOCK) -> Classes:
    """`clean(without_slivers(mask, width), smallest)`, block by block: beside the masks, memory is that of a block.

    A sliver is known from 2 `width` pixels around; a region of fewer than n pixels from n - 1 around each of its own,
    and one that leaves those has n pixels or more within them.
    """
    cleaned = np.empty_like(mask)
    reach = max(smallest - 1, 0)
    for place in _blocks((mask.shape[0], mask.shape[1]), max(block, reach)):
        outer = _wider(place, reach + 2 * width, mask.shape)
        inner = _wider(place, reach, mask.shape)
        part = without_slivers(mask[outer], width)[_within(inner, outer)]
        cleaned[place] = clean(part, smallest)[_within(place, inner)]
    return cleaned


def _blocks(shape: tuple[int, int], side: int) -> Iterator[Place]:
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))


def _wider(place: Place, by: int, shape: tuple[int, ...]) -> Place:
    y, x = (slice(max(0, s.start - by), min(n, s.stop + by)) for s, n in zip(place, shape, strict=True))
    return y, x


def _within(place: Place, outer: Place) -> Place:
    y, x = (slice(s.start - o.start, s.stop - o.start) for s, o in zip(place, outer, strict=True))
    return y, x
