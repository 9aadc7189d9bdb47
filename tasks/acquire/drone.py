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
    """The DNGs of frame `item`, one an intensity, and its mask; and their manifest rows. A frame with one intensity is
    called as the item, others end in `-i<1000 x intensity>`."""
    scene, mask = landscape.frame(params, item)
    image = optics.blur(scene, optics.sigma_from_diameter(params.psf_diameter_um, params.pixel_um))
    png = files.write_mask(content / f"{item}-cars.png", mask)
    written, rows = [png], list[Row]()
    for intensity in params.intensities:
        shot = item if len(params.intensities) == 1 else f"{item}-i{round(1000 * intensity):04d}"
        mosaic = sensor.capture(image, params.camera, intensity, params.seed, shot)
        noise = params.camera.sensor.read_noise_e
        written.append(files.write_dng(content / f"{shot}.dng", mosaic, sensor.calibration(params.camera), noise))
        row: Row = {"file": f"{shot}.dng", "id": shot, "group": item, "label": "", "mask": png.name}
        rows.append({**row, "intensity": intensity})
    return written, rows
