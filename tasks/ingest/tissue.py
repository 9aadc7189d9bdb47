"""Where a slide holds tissue."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from tasks.ingest.params import TissueParams


def optical_density(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean over the channels of -log10((I + 1) / 256): float32 (y, x), 0 for white (Beer and Lambert's law)."""
    density = -np.log10((picture.astype(np.float32) + 1) / 256)
    return np.asarray(density.mean(axis=0), np.float32)


def tissue(picture: NDArray[np.uint8], params: TissueParams) -> NDArray[np.bool_]:
    """Tissue of a small RGB `picture` uint8 (c, y, x): bool (y, x).

    Otsu's threshold (IEEE Trans. SMC 9, 1979) on the blurred density, kept within the params' limits; then
    specks are removed and holes closed.
    """
    density = ndimage.gaussian_filter(optical_density(picture), params.blur_sigma_px, mode="nearest")
    flat = float(density.min()) == float(density.max())
    otsu = params.density_least if flat else float(threshold_otsu(density))  # type: ignore[no-untyped-call]
    mask = density > min(max(otsu, params.density_least), params.density_most)
    return np.asarray(remove_small_holes(remove_small_objects(mask, max_size=params.hole_px), max_size=params.hole_px))
