"""Landscapes: the mask is where the cars are, and nothing else depends on it."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from tasks import rng
from tasks.acquire import landscape
from tasks.acquire.params import DroneParams

METRE = 10.0


@pytest.fixture(scope="module")
def drawn(drone: DroneParams) -> tuple[np.ndarray, np.ndarray]:
    return landscape.frame(drone, "frame1")


def test_the_mask_has_cars_of_the_size_of_cars(drone: DroneParams, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    _, mask = drawn
    assert set(np.unique(mask)) == {0, landscape.CAR_INDEX}
    numbered, count = label(mask)
    assert 1 <= count <= drone.cars
    areas_m2 = np.bincount(numbered.ravel())[1:] * drone.ground_m**2
    assert areas_m2.max() < 5.2 * 2.1
    assert np.median(areas_m2) > 3.9 * 1.6


def test_the_scene_differs_from_one_without_cars_only_at_cars_and_their_shadows(drone: DroneParams) -> None:
    bare = landscape.blank((80, 120))
    bare.paint(np.ones((80, 120), np.float32), (0.2, 0.2, 0.2))
    ground = landscape.blank((80, 120))
    ground.paint(np.ones((80, 120), np.float32), (0.2, 0.2, 0.2))
    pose = landscape.Pose(40.0, 60.0, 0.4)
    assert landscape._car(ground, pose, METRE, (0.0, 1.0), rng.generator(1, "car", "test"))
    changed = (ground.colour != bare.colour).any(axis=0)
    car = ground.mask == landscape.CAR_INDEX
    assert changed[car].all()
    assert not (changed & ~binary_dilation(car)).any()
    shaded = ground.sun < 1
    assert shaded.any() and ground.sun[car].min() >= 0.5
    assert np.argwhere(shaded)[:, 1].mean() > np.argwhere(car)[:, 1].mean()


def test_a_car_is_as_long_as_it_is_and_points_where_it_heads() -> None:
    ground = landscape.blank((120, 120))
    landscape._car(ground, landscape.Pose(60.0, 60.0, np.pi / 2), METRE, (1.0, 0.0), rng.generator(1, "car", "test"))
    rows, columns = np.nonzero(ground.mask)
    assert 4.0 * METRE <= np.ptp(rows) <= 5.1 * METRE
    assert 1.6 * METRE <= np.ptp(columns) <= 2.0 * METRE


def test_cars_do_not_overlap() -> None:
    ground = landscape.blank((80, 120))
    source = rng.generator(1, "car", "test")
    assert landscape._car(ground, landscape.Pose(40.0, 60.0, 0.0), METRE, (0.0, 1.0), source)
    before = ground.colour.copy()
    assert not landscape._car(ground, landscape.Pose(45.0, 70.0, 1.0), METRE, (0.0, 1.0), source)
    np.testing.assert_array_equal(ground.colour, before)


def test_drawing_near_is_drawing_there() -> None:
    whole, part = landscape.blank((200, 200)), landscape.blank((200, 200))
    pose = landscape.Pose(90.0, 110.0, 0.7)
    landscape._car(whole, pose, METRE, (0.6, 0.8), rng.generator(1, "car", "test"))
    landscape._car(part.near(90.0, 110.0, 50.0), pose, METRE, (0.6, 0.8), rng.generator(1, "car", "test"))
    np.testing.assert_array_equal(whole.colour, part.colour)
    np.testing.assert_array_equal(whole.sun, part.sun)
    np.testing.assert_array_equal(whole.mask, part.mask)


def test_the_scene_is_light_and_frames_differ(drone: DroneParams, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scene, mask = drawn
    assert scene.dtype == np.float32 and scene.shape == (3, *mask.shape)
    assert scene.min() >= 0 and scene.max() < 1.5
    other, _ = landscape.frame(drone, "frame2")
    assert (scene != other).mean() > 0.9


def test_the_offset_from_a_straight_road_is_the_distance() -> None:
    road = landscape.Road(a=50.0, b=1.0, c=0.0, d=0.0, e=0.0, half_width=5.0, upright=False)
    offset = road.offset(landscape.blank((100, 100)))
    assert offset[50, 0] == 0
    assert offset[60, 0] == pytest.approx(10 / 2**0.5)
