"""Landscapes to DNG with masks: the work of one frame."""

from pathlib import Path

from tasks.acquire import files, landscape, optics, sensor
from tasks.acquire.params import DroneParams

Row = dict[str, object]
PICTURES = ("gravel", "grass", "brick")


def items(params: DroneParams) -> list[str]:
    return [f"frame{k + 1}" for k in range(params.frames)]


def setup(content: Path, params: DroneParams) -> None:
    """Nothing beforehand: a DNG carries its own calibration."""


def make(content: Path, params: DroneParams, item: str) -> tuple[list[Path], list[Row]]:
    """The DNG and the mask of frame `item`, and its manifest row."""
    scene, mask = landscape.frame(params, item)
    image = optics.blur(scene, optics.sigma_from_diameter(params.psf_diameter_um, params.pixel_um))
    mosaic = sensor.capture(image, params.camera, 1.0, params.seed, item)
    noise = params.camera.sensor.read_noise_e
    dng = files.write_dng(content / f"{item}.dng", mosaic, sensor.calibration(params.camera), noise)
    png = files.write_mask(content / f"{item}-cars.png", mask)
    row: Row = {"file": dng.name, "id": item, "group": item, "label": "", "mask": png.name, "intensity": 1.0}
    return [dng, png], [row]
