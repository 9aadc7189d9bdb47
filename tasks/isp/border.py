"""The mirrored continuation of a frame: d c b | a b c d | c b a (NumPy's "reflect", SciPy's "mirror").

The outermost sample is not repeated, so that sample i and its image 2(n-1)-i have the same parity: the Bayer
phase continues across the border. scipy.ndimage's "reflect" repeats it and would mix colours there.
"""

import numpy as np
from numpy.typing import NDArray


def mirror_indices(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Sample numbers in [0, length) that stand at the positions start … stop-1 of the continued axis.

    Raises ValueError for a length below 2: one sample has no phase to keep.
    """
    if length < 2:
        raise ValueError(f"an axis of {length} samples cannot be mirrored; expected at least 2")
    period = 2 * (length - 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position)
