"""Small pictures with masks, and small params, for `rawmill train`."""

from pathlib import Path

import numpy as np
import yaml

from tests import makers
from tests.unit.synthesis import planted_slides

ROOT = Path(__file__).resolve().parents[2]
SIDE, TILE = 128, 32
CLASSES = "red,blue"


def scans(folder: Path, names: str = "ab", masks: str = "ab") -> Path:
    """8-bit RGB TIFF pictures, those of `masks` with a PNG mask of two classes."""
    folder.mkdir(parents=True)
    for name in names:
        picture, mask = planted_slides.planted(name)
        makers.write_slide(folder / f"{name}.tif", np.ascontiguousarray(np.moveaxis(picture, 0, -1)), tile=64)
        if name in masks:
            makers.write_png(folder / f"{name}_mask.png", mask)
    return folder


def params(path: Path, steps: int = 40, tile_px: int = TILE, masks: str = "annotations") -> Path:
    """rawmill's own params with small networks and tiles, and where masks of samples come from."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    fit = {**planted_slides.FIT, "steps": steps}
    document["train"] |= {
        "autoencoder": {**planted_slides.AUTOENCODER, "fit": {**fit, "steps": 4}},
        "mask_denoiser": {**planted_slides.MASK_DENOISER, "fit": {**fit, "steps": 4}},
        "denoiser": {**planted_slides.DENOISER, "fit": fit},
    }
    document["train_files"]["ingested"] |= {"tile_px": tile_px}
    document["synthesise"] = {**planted_slides.SYNTHESISE}
    document["synthesise"]["masks"] = {**planted_slides.SYNTHESISE["masks"], "source": masks}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path
