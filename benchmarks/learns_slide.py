"""One real slide made a labelled dataset without an annotator: bands for training and holding out, and a stain rule.

The rule sees colours only, never a network. Ruifrok and Johnston's colour deconvolution (scikit-image's `rgb2hed`)
gives densities of haematoxylin and eosin, smoothed to the scale of a few cells; their ratio tells epithelium, dense in
nuclei, from collagen. What lies between the two thresholds, and glass far from tissue, is unknown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.color import rgb2hed
from skimage.morphology import remove_small_holes, remove_small_objects

from tasks.acquire.files import write_manifest, write_mask
from tasks.params import Params

Labels = NDArray[np.uint8]
CLASSES = ("empty", "stroma", "epithelium")
"""Names of the values 1, 2, 3 of the label raster."""
ROWS_AT_ONCE = 512


class LabelParams(Params):
    """The stain rule; lengths in micrometres of the specimen."""

    tissue_sigma_um: float
    tissue_density: float
    """Least mean optical density (base 10) of tissue, smoothed by `tissue_sigma_um`."""
    stain_sigma_um: float
    """Smoothing of the stains' densities, that of a few cells."""
    epithelium_ratio: float
    """Least haematoxylin / (haematoxylin + eosin) of epithelium; `epithelium_density` its least haematoxylin."""
    epithelium_density: float
    stroma_ratio: float
    """Greatest ratio of stroma."""
    border_um: float
    """Pixels as near as this to the edge of the tissue are unknown."""
    glass_um: float
    """Glass is labelled as far as this from tissue, and unknown beyond."""
    smallest_um2: float
    """Smaller specks and holes of tissue, and smaller patches of a class, do not count."""


class CutParams(Params):
    """Bands of the slide, [first row, end), by name, as fractions of its height; each becomes a group of its own.

    Between two bands lie rows that neither has.
    """

    bands: dict[str, tuple[float, float]]


def read(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Level 0 (y, x, 3) of an Aperio slide and its pixel size in micrometres."""
    with tifffile.TiffFile(path) as tif:
        told = tif.pages[0].description  # type: ignore[union-attr]
        size = next(part.split("=")[1] for part in told.split("|") if part.strip().startswith("MPP"))
        return tif.pages[0].asarray(), float(size)


def smooth(values: NDArray[Any], sigma_px: float) -> NDArray[np.float32]:
    return gaussian_filter(values.astype(np.float32), sigma_px, mode="nearest")


def stains(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Densities of haematoxylin and of eosin, and the mean optical density, each (y, x)."""
    parts = []
    for start in range(0, len(picture), ROWS_AT_ONCE):
        rows = picture[start : start + ROWS_AT_ONCE]
        density = -np.log10(np.maximum(rows, 1) / 255).mean(axis=-1)
        parts.append(np.concatenate([rgb2hed(rows)[..., :2], density[..., None]], axis=-1).astype(np.float32))
    found = np.concatenate(parts)
    return found[..., 0], found[..., 1], found[..., 2]


def tissue(density: NDArray[np.float32], pixel_um: float, params: LabelParams) -> NDArray[np.bool_]:
    """Where the smoothed optical density is that of tissue, without specks and holes."""
    least = round(params.smallest_um2 / pixel_um**2)
    found = smooth(density, params.tissue_sigma_um / pixel_um) >= params.tissue_density
    return np.asarray(remove_small_holes(remove_small_objects(found, max_size=least), max_size=least))


def label(picture: NDArray[np.uint8], pixel_um: float, params: LabelParams) -> Labels:
    """Class indices (y, x) of `CLASSES`, 0 unknown, for a picture (y, x, 3)."""
    blue, pink, density = stains(picture)
    inside = tissue(density, pixel_um, params)
    sigma, least = params.stain_sigma_um / pixel_um, round(params.smallest_um2 / pixel_um**2)
    blue, pink = smooth(blue, sigma), smooth(pink, sigma)
    ratio = blue / np.maximum(blue + pink, 1e-6)
    depth, away = (distance_transform_edt(where) * pixel_um for where in (inside, ~inside))
    deep = inside & (depth > params.border_um)
    empty = ~inside & (away > params.border_um) & (away <= params.glass_um)
    epithelium = deep & (ratio >= params.epithelium_ratio) & (blue >= params.epithelium_density)
    stroma = deep & (ratio <= params.stroma_ratio)
    found = np.zeros(inside.shape, np.uint8)
    for index, where in enumerate((empty, stroma, epithelium), start=1):
        found[remove_small_objects(where, max_size=least)] = index
    return found


def cut(path: Path, folder: Path, params: CutParams, rule: LabelParams) -> Mapping[str, float]:
    """Write the bands of the slide at `path`, each with its mask, and their manifest into `folder`.

    Each band is labelled by itself, so that not a pixel of another reaches it. Returns the share of each class.
    """
    picture, pixel_um = read(path)
    folder.mkdir(parents=True, exist_ok=True)
    counts, rows = np.zeros(len(CLASSES) + 1), []
    for name, (first, end) in params.bands.items():
        band = picture[round(first * len(picture)) : round(end * len(picture))]
        labels = label(band, pixel_um, rule)
        write_band(folder / f"{name}.tif", band, pixel_um)
        write_mask(folder / f"{name}_mask.png", labels)
        counts += np.bincount(labels.ravel(), minlength=len(counts))
        rows.append({"file": f"{name}.tif", "id": name, "group": name, "label": "", "mask": f"{name}_mask.png"})
    write_manifest(folder, [row | {"intensity": 1.0} for row in rows])
    return dict(zip(("unknown", *CLASSES), (counts / counts.sum()).tolist(), strict=True))


def write_band(path: Path, band: NDArray[np.uint8], pixel_um: float) -> None:
    """A tiled TIFF without loss that says its pixel size."""
    per_cm = 1e4 / pixel_um
    options: dict[str, Any] = {
        "photometric": "rgb",
        "tile": (256, 256),
        "compression": "zlib",
        "metadata": None,
        "software": False,
    }
    tifffile.imwrite(path, band, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", **options)
