"""GeoJSON annotations of a slide: polygons with holes around the regions of each class, in level-0 pixels.

Coordinates are (x, y) with the corner of the first pixel at (0, 0), so that the centre of pixel (row r, column c)
is (c + 0.5, r + 0.5), as QuPath writes them. Rings are closed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter, label
from skimage import measure

from tasks.disk import storage_faults
from tasks.lineage.digest import canonical

TOLERANCE_PX = 0.4
SMALLEST_PX = 400
"""Regions of fewer pixels are left unannotated, as an annotator would."""

COLOURS = ((230, 230, 230), (200, 0, 0), (150, 200, 150), (50, 50, 50))

Ring = list[list[float]]


def _area(ring: NDArray[np.float64]) -> float:
    y, x = ring[:-1].T
    y2, x2 = ring[1:].T
    return abs(float((x * y2 - x2 * y).sum())) / 2


def rings(mask: NDArray[np.bool_], top: int, left: int) -> list[Ring]:
    """Outlines of the one connected region in `mask`, the outer one first, shifted by (`top`, `left`)."""
    padded = np.pad(mask, 1).astype(np.float32)
    contours = measure.find_contours(padded, 0.5)  # type: ignore[no-untyped-call]
    found = sorted(contours, key=_area, reverse=True)
    simple = [measure.approximate_polygon(ring, TOLERANCE_PX) for ring in found]  # type: ignore[no-untyped-call]
    shift = np.array([top - 0.5, left - 0.5])
    return [(ring + shift)[:, ::-1].round(2).tolist() for ring in simple if len(ring) >= 4]


def features(classes: NDArray[np.uint8], names: Sequence[str]) -> list[dict[str, Any]]:
    """A GeoJSON feature for each connected region of each class; index k + 1 of `classes` is `names[k]`, 0 nothing."""
    out = []
    for index, name in enumerate(names):
        numbered, _ = label(classes == index + 1)
        for number, window in enumerate(find_objects(numbered), start=1):
            region = numbered[window] == number
            if region.sum() < SMALLEST_PX:
                continue
            coordinates = rings(region, window[0].start, window[1].start)
            out.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": coordinates},
                    "properties": {
                        "objectType": "annotation",
                        "classification": {"name": name, "color": list(COLOURS[index % len(COLOURS)])},
                    },
                }
            )
    return out


def write(path: Path, classes: NDArray[np.uint8], names: Sequence[str]) -> Path:
    """The features of `classes` as a GeoJSON file."""
    with storage_faults(path):
        path.write_bytes(canonical({"type": "FeatureCollection", "features": features(classes, names)}))
    return path


def seen_by_annotator(classes: NDArray[np.uint8], field: NDArray[np.float32], fraction: float) -> NDArray[np.uint8]:
    """`classes` where `field` is among its highest `fraction`, 0 (unknown) elsewhere."""
    chosen = gaussian_filter(field, 2) >= np.quantile(field, 1 - fraction)
    return np.where(chosen, classes, 0).astype(np.uint8)
