"""The sensor by its photon-transfer curve, its limits and its inverse."""

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.acquire import mosaic, sensor
from tasks.acquire.params import CameraParams, DroneParams, MicroscopyParams, SensorParams

SHAPE = (256, 256)


def pair(expected_e: float, params: SensorParams, black_dn: float) -> tuple[float, float]:
    """Mean and variance of a flat exposure, the variance from the difference of two."""
    flat = np.full(SHAPE, expected_e)
    black = np.full((1, 1), black_dn, np.float32)
    first, second = (sensor.read_out(flat, black, params, 1, f"{expected_e}-{k}").astype(float) for k in "ab")
    return float(first.mean() + second.mean()) / 2, float((first - second).var()) / 2


@pytest.fixture(params=["microscopy", "drone"])
def camera(request: pytest.FixtureRequest, microscopy: MicroscopyParams, drone: DroneParams) -> CameraParams:
    return {"microscopy": microscopy, "drone": drone}[request.param].camera


def test_photon_transfer_curve_gives_gain_read_noise_and_black(camera: CameraParams) -> None:
    params, black = camera.sensor, camera.black_level_dn[0]
    saturation = (params.white_level_dn - black) / params.gain_dn_per_e
    points = np.array([pair(share * saturation, params, black) for share in np.linspace(0.02, 0.7, 12)])
    slope, _ = np.polyfit(points[:, 0] - black, points[:, 1], 1, w=1 / points[:, 1])
    assert slope == pytest.approx(params.gain_dn_per_e, rel=0.01)
    dark_mean, dark_variance = pair(0.0, params, black)
    step = 2.0**params.left_justified_bits
    assert dark_mean == pytest.approx(black, abs=0.02 * step)
    expected = (params.gain_dn_per_e * params.read_noise_e) ** 2 + step**2 / 12
    assert dark_variance == pytest.approx(expected, rel=0.03)


def test_mean_is_linear_in_exposure(camera: CameraParams) -> None:
    answer = np.full(SHAPE, 0.6, np.float32)
    black = mosaic.per_site(camera.black_level_dn, SHAPE)
    means = []
    for share in (0.05, 0.25, 1.0):
        expected = sensor.electrons(answer, camera.sensor, share)
        raw = sensor.read_out(expected, black, camera.sensor, 1, str(share)).astype(float)
        means.append((raw - black).mean() / share)
    assert means == pytest.approx([0.6 * 65535] * 3, rel=2e-3)


def test_less_light_has_the_same_scene_and_more_relative_noise(camera: CameraParams) -> None:
    scene = np.full((3, *SHAPE), 0.5, np.float32)
    black = mosaic.per_site(camera.black_level_dn, SHAPE)
    site = (slice(0, None, 2), slice(1, None, 2))
    noise = {}
    for share in (1.0, 0.05):
        signal = ((sensor.capture(scene, camera, share, 1, "flat") - black) / share)[site]
        noise[share] = signal.std() / signal.mean()
        answer = sensor.response(scene, camera)["RGB".index(camera.pattern[1])].mean() * 65535
        assert signal.mean() == pytest.approx(answer, rel=0.01)
    assert noise[0.05] / noise[1.0] == pytest.approx(20**0.5, rel=0.15)


def test_saturates_at_the_white_level_and_never_above(camera: CameraParams) -> None:
    raw = sensor.read_out(np.full(SHAPE, 1e6), np.zeros((1, 1), np.float32), camera.sensor, 1, "bright")
    assert raw.max() <= camera.sensor.white_level_dn
    full_well_dn = camera.sensor.full_well_e * camera.sensor.gain_dn_per_e
    assert float(np.median(raw)) == pytest.approx(min(full_well_dn, camera.sensor.white_level_dn), rel=1e-3)


def test_never_below_zero(camera: CameraParams) -> None:
    raw = sensor.quantise(np.array([-300.0, -0.1, 0.0]), camera.sensor)
    assert raw.tolist() == [0, 0, 0]


def test_codes_are_left_justified(drone: DroneParams) -> None:
    raw = sensor.quantise(np.linspace(0, 70000, 5000), drone.camera.sensor)
    assert (raw % 16 == 0).all()
    assert raw.max() == 65520
    assert np.unique(raw).size == 4096


def test_a_constant_scene_is_constant_on_each_site(camera: CameraParams) -> None:
    flat = np.stack([np.full(SHAPE, v, np.float32) for v in (0.2, 0.4, 0.3)])
    sampled = mosaic.sample(sensor.response(flat, camera), camera.pattern)
    for k, letter in enumerate(camera.pattern):
        values = np.unique(sampled[k // 2 :: 2, k % 2 :: 2])
        assert values.size == 1
        assert values[0] == sensor.response(flat, camera)["RGB".index(letter), 0, 0]


def test_developing_inverts_the_response(camera: CameraParams) -> None:
    scene = np.random.default_rng(0).uniform(0.35, 0.65, (3, 4, 4)).astype(np.float32)
    answer = sensor.response(scene, camera)
    develop = np.asarray(camera.colour_matrix) @ np.diag(camera.white_balance)
    np.testing.assert_allclose(np.tensordot(develop, answer, 1), scene, atol=2e-6)


def test_impossible_colours_give_no_negative_light(camera: CameraParams) -> None:
    only_blue = np.zeros((3, 2, 2), np.float32)
    only_blue[2] = 1
    assert sensor.response(only_blue, camera).min() >= 0


def test_noise_depends_on_the_item_alone(camera: CameraParams) -> None:
    scene = np.full((3, 16, 16), 0.5, np.float32)
    first = sensor.capture(scene, camera, 1.0, 1, "a")
    np.testing.assert_array_equal(first, sensor.capture(scene, camera, 1.0, 1, "a"))
    assert (first != sensor.capture(scene, camera, 1.0, 1, "b")).mean() > 0.5
    assert (first != sensor.capture(scene, camera, 1.0, 2, "a")).mean() > 0.5


def test_microscopy_matrix_equals_the_published_fit(microscopy: MicroscopyParams) -> None:
    """The published factors have signs that cancel; the product is the same but for the exposure."""
    published = np.array([[-2.0338, 0.0933, 0.4157], [-0.0286, 2.6464, -0.0574], [-0.5516, -0.0947, 2.9308]])
    product = published @ np.diag([-0.6567, 1.9673, 3.5304])
    camera = microscopy.camera
    ours = np.asarray(camera.colour_matrix) @ np.diag(camera.white_balance)
    np.testing.assert_allclose(ours * 1.4, product, rtol=1e-4)


def test_params_must_map_a_unit_answer_to_full_scale(drone: DroneParams) -> None:
    values = drone.camera.sensor.model_dump() | {"photons_at_unit": 9000.0}
    with pytest.raises(ValidationError, match="must be 65535"):
        SensorParams.model_validate(values)
