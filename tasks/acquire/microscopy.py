"""Blood smears to Bayer TIFF: the work of one smear."""

from itertools import product
from pathlib import Path

from tasks.acquire import files, optics, sensor, smear
from tasks.acquire.cells import LEUKOCYTES
from tasks.acquire.params import MicroscopyParams

Row = dict[str, object]
PICTURES: tuple[str, ...] = ()


def items(params: MicroscopyParams) -> list[str]:
    return [f"smear{k + 1}" for k in range(params.smears)]


def setup(content: Path, params: MicroscopyParams) -> None:
    files.write_calibration(content, sensor.calibration(params.camera))


def make(content: Path, params: MicroscopyParams, item: str) -> tuple[list[Path], list[Row]]:
    """All crops of smear `item`, each at every intensity; returns the files and their manifest rows."""
    (content / item).mkdir(exist_ok=True)
    written: list[Path] = []
    rows: list[Row] = []
    for kind, index in product(sorted(LEUKOCYTES), range(params.crops_per_class_and_smear)):
        name = f"{item}-{kind}-{index}"
        scene, defocus_px = smear.crop(params, item, kind, name)
        sigma = optics.sigma_from_fwhm(params.psf_fwhm_um, params.pixel_um)
        image = optics.blur(scene, float((sigma**2 + defocus_px**2) ** 0.5))
        for intensity in params.intensities:
            shot = f"{name}-i{round(1000 * intensity):04d}"
            mosaic = sensor.capture(image, params.camera, intensity, params.seed, shot)
            written.append(files.write_bayer_tiff(content / item / f"{shot}.tif", mosaic))
            row: Row = {"file": f"{item}/{shot}.tif", "id": shot, "group": item, "label": kind, "mask": ""}
            rows.append({**row, "intensity": intensity})
    return written, rows
