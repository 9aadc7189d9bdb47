"""How kernels are compiled: once a machine, ahead of the first call, without freedom to change a result.

Results are kept beside the source, else in NUMBA_CACHE_DIR or the user's cache folder; where none of them can be
written, each process compiles for itself (docs/decisions/0008-operators-have-one-text-and-a-kernel.md).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

LINE, PLANE, IMAGE = "float32[::1]", "float32[:, ::1]", "float32[:, :, ::1]"
"""Contiguous arrays: (n), (y, x), (c, y, x)."""
ANY_PLANE, ANY_IMAGE = "float32[:, :]", "float32[:, :, :]"
"""Views with any strides: flipped, or parts of larger arrays."""

Plane = NDArray[np.float32]
Dn = NDArray[np.uint16]
Flags = NDArray[np.uint8]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(*arguments: str) -> Callable[[F], F]:
    """Compile a function of these argument types that returns nothing. Runs without the interpreter's lock."""
    signature = f"void({', '.join(arguments)})"

    def compiled(function: F) -> F:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "boundscheck": False}
        try:
            return numba.njit(signature, cache=True, **options)(function)  # type: ignore[return-value]
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            return numba.njit(signature, **options)(function)  # type: ignore[return-value]

    return compiled
