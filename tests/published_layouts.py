"""Small folders laid out as Raw-Microscopy and Raw-Drone are published."""

from pathlib import Path

import numpy as np

from tasks.ingest import published
from tests import makers

A = "Ma190c_lame1_zone2_composite_Mcropped_1"
B = "Ma190c_lame3_zone13_composite_Mcropped_1"
INVALID = "Ma190c_lame3_zone13_composite_Mcropped_2"
C = "Ma190c_lame10_zone4_composite_Mcropped_7"
RARE = "Ma190c_lame10_zone4_composite_Mcropped_8"
LABELS = {A: "BAS", B: "NGS", INVALID: "NGS", C: "BAS", RARE: "PMO"}


def microscopy(folder: Path, percents: tuple[int, ...] = (1, 50, 100)) -> Path:
    """Three smears, a rare class, the invalid file, and beside them what else the publishers' folders hold."""
    for percent in percents:
        scale = folder / "images" / f"raw_scale{percent:03d}"
        scale.mkdir(parents=True)
        for key, name in enumerate(LABELS):
            makers.write_tiff(scale / f"{name}.tiff", makers.mosaic_of(8, 8, key=100 * key + percent))
    (folder / "images" / "rgb_scale100").mkdir()
    (folder / "labels").mkdir()
    (folder / "labels" / ".bzEmpty").touch()
    write_labels(folder, [f"{name} {label}" for name, label in LABELS.items()])
    return folder


def write_labels(folder: Path, lines: list[str]) -> None:
    (folder / published.LABELS).write_text("\n".join([*lines, ""]), encoding="utf-8")


def drone(folder: Path, percents: tuple[int, ...] = (25, 100), ending: str = "tif") -> Path:
    """Frames f1, f2, f10: each name is in another's, as f1 in f10."""
    (folder / "masks_full").mkdir(parents=True)
    for percent in percents:
        scale = folder / "images_full" / f"raw_scale{percent:03d}"
        scale.mkdir(parents=True)
        for key, stem in enumerate(("f1", "f2", "f10")):
            path, mosaic = scale / f"{stem}.{ending}", makers.mosaic_of(32, 48, key=100 * key + percent)
            if ending == "dng":
                makers.write_dng(path, mosaic, makers.dng_tags("GRBG"))
            else:
                makers.write_tiff(path, mosaic)
    for stem in ("f1", "f2", "f10"):
        makers.write_png(folder / "masks_full" / f"{stem}_mask.png", np.eye(32, 48, dtype=np.uint8) * 255)
    return folder
