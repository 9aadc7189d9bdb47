"""Sources of the sample against independent implementations: SciPy's Gaussian, LibRaw's development."""

from pathlib import Path

import numpy as np
import pytest
import rawpy
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2hed

from tasks.acquire import files, optics, pictures, sensor, tissue
from tasks.acquire.params import DroneParams
from tasks.params import load

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="module")
def drone() -> DroneParams:
    return load(PARAMS, "acquire.drone", DroneParams)


def test_the_psf_is_scipys_gaussian() -> None:
    scene = np.random.default_rng(0).random((3, 60, 70), dtype=np.float32)
    theirs = np.stack([gaussian_filter(plane.astype(float), 1.3, mode="mirror", truncate=5) for plane in scene])
    np.testing.assert_allclose(optics.blur(scene, 1.3), theirs, atol=2e-5)


def test_libraw_develops_the_scenes_colours(tmp_path: Path, drone: DroneParams) -> None:
    """Flat patches of known linear sRGB, captured, written as DNG, developed by LibRaw: the colours come back."""
    colours = np.array([[0.5, 0.3, 0.2], [0.15, 0.35, 0.1], [0.2, 0.25, 0.5], [0.4, 0.4, 0.4]], np.float32)
    scene = np.repeat(np.repeat(colours.T[:, None], 128, axis=1), 64, axis=2)
    mosaic = sensor.capture(scene, drone.camera, 1.0, 1, "patches")
    path = files.write_dng(tmp_path / "a.dng", mosaic, sensor.calibration(drone.camera), 3.0)
    with rawpy.imread(str(path)) as raw:
        developed = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, gamma=(1, 1), output_bps=16, user_flip=0,
            output_color=rawpy.ColorSpace.sRGB,
        )  # fmt: skip
    patches = developed.reshape(128, 4, 64, 3)[32:96, :, 16:48].mean(axis=(0, 2))
    # LibRaw scales white less black to full; 65535 DN above black is our unit. Its matrix has four decimals.
    black = np.mean(drone.camera.black_level_dn)
    unit = 65535 / (drone.camera.sensor.white_level_dn - black) * 65535
    np.testing.assert_allclose(patches / unit, colours, rtol=0.02, atol=0.004)


def test_stains_agree_with_scikit_images_separation() -> None:
    picture = pictures.load("tissue")
    ours, theirs = tissue.separate(picture), rgb2hed(picture)
    assert np.corrcoef(ours[1].ravel(), theirs[..., 2].ravel())[0, 1] > 0.95
    assert np.corrcoef(ours[0].ravel(), theirs[..., 0].ravel())[0, 1] > 0.7
