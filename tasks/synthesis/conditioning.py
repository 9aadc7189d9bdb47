"""What the denoiser is told of the mask: class fractions at latent resolution, and whether it is told at all.

Condition channels are [unknown, class 1, …, class n, null]. Unknown pixels are a class of their own, never
trained as tissue. The null condition (thesis A: the null label of classifier-free guidance) is 0 … 0, 1.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, fault


def channels(classes: int) -> int:
    """How many condition channels `classes` named classes need."""
    return classes + 2


def condition(mask: NDArray[np.uint8], classes: int, factor: int) -> NDArray[np.float32]:
    """Fractions of each class, float32 (classes + 2, ceil(y/f), ceil(x/f)), for a mask uint8 (y, x).

    One-hot, then averaged over factor x factor pixels; a side that the factor does not divide is filled up with
    its last row or column. Raises `InputError` for a class index above `classes`.
    """
    if int(mask.max(initial=0)) > classes:
        raise InputError(fault("mask", f"class {int(mask.max())}", f"0 to {classes}", "map it to the model's classes"))
    height, width = (-(-n // factor) for n in mask.shape)
    fill = [(0, height * factor - mask.shape[0]), (0, width * factor - mask.shape[1])]
    blocks = np.pad(mask, fill, mode="edge").reshape(height, factor, width, factor)
    found = np.zeros((channels(classes), height, width), np.float32)
    for index in range(classes + 1):
        found[index] = (blocks == index).mean(axis=(1, 3), dtype=np.float32)
    return found


def null(classes: int, height: int, width: int) -> NDArray[np.float32]:
    """The null condition, float32 (classes + 2, height, width)."""
    found = np.zeros((channels(classes), height, width), np.float32)
    found[-1] = 1
    return found
