"""An image sensor: response to a scene, shot noise, full well, read noise, gain, black level, quantisation.

The model is that of the EMVA 1288 standard (release 4.0, section 2): electrons are Poisson with mean
QE x photons, the signal is gain x (electrons + read noise) + black level, rounded and clipped. Hence the
photon-transfer curve var = gain^2 read_noise^2 + step^2/12 + gain (mean - black), step = 2^left_justified_bits.

A scene is linear sRGB in which 1 is the white that developing maps to 1. `response` turns it into what a
development divides by: with colour matrix C and white balance W, developing computes C W (DN - black) / 65535,
so a site of channel k answers with row k of (C W)^-1 times the scene.
"""

import numpy as np
from numpy.typing import NDArray

from tasks import rng
from tasks.acquire import mosaic
from tasks.acquire.params import CameraParams, SensorParams
from tasks.contracts import FULL_SCALE_DN, Calibration

Array32 = NDArray[np.float32]


def response_matrix(camera: CameraParams) -> NDArray[np.float64]:
    """3x3, linear sRGB to camera RGB before white balance: (C W)^-1."""
    develop = np.asarray(camera.colour_matrix) @ np.diag(camera.white_balance)
    return np.asarray(np.linalg.inv(develop))


def response(scene: Array32, camera: CameraParams) -> Array32:
    """Camera RGB (3, y, x) of a linear sRGB `scene` (3, y, x), in units of 65535 DN above black, >= 0.

    Colours outside the camera's gamut would need negative light; they become 0.
    """
    matrix = response_matrix(camera).astype(np.float32)
    planes = [sum(matrix[k, c] * scene[c] for c in range(3)) for k in range(3)]
    return np.asarray(np.maximum(np.stack(planes), 0), dtype=np.float32)


def electrons(answer: Array32, sensor: SensorParams, intensity: float) -> NDArray[np.float64]:
    """Expected photo-electrons of sites that answer with `answer`, at exposure `intensity` relative to full."""
    photons = answer.astype(np.float64) * (sensor.photons_at_unit * intensity)
    return np.asarray(photons * sensor.quantum_efficiency)


def read_out(
    expected_e: NDArray[np.float64], black_dn: Array32, sensor: SensorParams, seed: int, item: str
) -> NDArray[np.uint16]:
    """Digital numbers of one exposure with `expected_e` electrons (any shape; `black_dn` broadcasts to it).

    Noise is keyed by (`seed`, `item`, "shot" or "read"): the same item always gets the same.
    """
    caught = np.minimum(rng.generator(seed, item, "shot").poisson(expected_e), sensor.full_well_e)
    noise = rng.normal(expected_e.shape, seed, item, "read") * sensor.read_noise_e
    return quantise(sensor.gain_dn_per_e * (caught + noise) + black_dn, sensor)


def quantise(signal_dn: NDArray[np.float64], sensor: SensorParams) -> NDArray[np.uint16]:
    """Rounded to steps of 2^left_justified_bits and clipped to [0, white level], uint16."""
    step = float(1 << sensor.left_justified_bits)
    codes = np.clip(np.rint(signal_dn / step), 0, np.floor(sensor.white_level_dn / step))
    return np.asarray((codes * step).astype(np.uint16))


def capture(scene: Array32, camera: CameraParams, intensity: float, seed: int, item: str) -> NDArray[np.uint16]:
    """The mosaic (y, x) that `camera` records of `scene` (3, y, x) which its lens has blurred already."""
    answer = mosaic.sample(response(scene, camera), camera.pattern)
    black = mosaic.per_site(camera.black_level_dn, answer.shape)
    return read_out(electrons(answer, camera.sensor, intensity), black, camera.sensor, seed, item)


def calibration(camera: CameraParams) -> Calibration:
    """What a user of the raw files must know of `camera`."""
    return Calibration(
        pattern=camera.pattern,
        black_level_dn=camera.black_level_dn,
        white_level_dn=camera.sensor.white_level_dn,
        white_balance=camera.white_balance,
        colour_matrix=camera.colour_matrix,
        exposure_s=camera.exposure_s,
        iso=camera.iso,
        gain_dn_per_e=camera.sensor.gain_dn_per_e,
        left_justified_bits=camera.sensor.left_justified_bits,
    )


def unit_electrons(sensor: SensorParams) -> float:
    """Electrons behind a full scale of 65535 DN above black."""
    return FULL_SCALE_DN / sensor.gain_dn_per_e
