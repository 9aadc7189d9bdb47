"""One text for NumPy and torch: the functions that both libraries have under the same name.

Operators are written once, over arrays whose last two axes are (y, x) and, for RGB, third last (3). NumPy runs
them without axes in front, torch with any number of them, with gradients and on any device. torch is never
imported here: a tensor can only come from who has it.
"""

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""NDArray or torch.Tensor of float32 or float64. (…, y, x), or (…, 3, y, x) for RGB."""


def namespace(image: Array) -> Any:
    """The module, `numpy` or `torch`, that `image` belongs to."""
    return np if isinstance(image, np.ndarray) else sys.modules["torch"]


def like(values: Any, image: Array) -> Array:
    """`values` with the kind, dtype and device of `image`; tensors keep their gradients."""
    if isinstance(image, np.ndarray):
        return np.asarray(values, image.dtype)
    return namespace(image).as_tensor(values, dtype=image.dtype, device=image.device)
