"""The real pictures that ship with scikit-image, as material for scenes."""

from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from tasks.lineage.recipe import package_file

FILES = {"tissue": "ihc.png", "gravel": "gravel.png", "grass": "grass.png", "brick": "brick.png"}


def path(name: str) -> Path:
    return Path(skimage.__file__).parent / "data" / FILES[name]


def entry(name: str) -> dict[str, object]:
    """The picture as an input of a recipe."""
    return package_file("picture", "scikit-image", path(name), f"skimage/data/{FILES[name]}")


def load(name: str) -> NDArray[np.uint8]:
    """(y, x) of a grey picture, (y, x, 3) of a colour one, uint8."""
    with Image.open(path(name)) as image:
        return np.asarray(image.convert("RGB") if image.mode != "L" else image)


def texture(name: str, rows: NDArray[np.float32], columns: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """The grey picture `name` looked up at positions (y, x) times `scale`, mirrored on and on; mean 0, std 1."""
    grey = load(name).astype(np.float32)
    grey = (grey - grey.mean()) / grey.std()
    found = map_coordinates(grey, [rows * scale, columns * scale], order=1, mode="mirror")
    return np.asarray(found, dtype=np.float32)
