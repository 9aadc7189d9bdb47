"""Per-pixel noise: Random123's known answers, crops of a canvas, moments."""

import numpy as np
import pytest

from tasks.synthesis.noise import field, philox

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI, (0xA4093822, 0x299F31D0), (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    words = philox(tuple(np.array([c], np.uint64) for c in counter), key)
    assert tuple(int(w[0]) for w in words) == expected


def test_a_crop_has_the_noise_that_it_has_in_the_whole():
    whole = field(6, slice(0, 40), slice(0, 50), 1, "s", "noise", 3)
    assert np.array_equal(field(6, slice(11, 30), slice(7, 9), 1, "s", "noise", 3), whole[:, 11:30, 7:9])
    assert np.array_equal(field(3, slice(0, 40), slice(0, 50), 1, "s", "noise", 3), whole[:3])


def test_noise_is_standard_normal_and_unrelated_between_pixels_channels_steps_and_names():
    a = field(8, slice(0, 200), slice(0, 200), 1, "s", "noise")
    assert abs(a.mean()) < 0.01 and abs(a.std() - 1) < 0.01
    assert abs(np.mean(a**3)) < 0.02 and abs(np.mean(a**4) - 3) < 0.05
    flat = a.reshape(8, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(8)).max() < 0.02
    assert abs(np.mean(a[:, 1:] * a[:, :-1])) < 0.01 and abs(np.mean(a[:, :, 1:] * a[:, :, :-1])) < 0.01
    for other in ((2, "s", "noise", 0), (1, "t", "noise", 0), (1, "s", "fresh", 0), (1, "s", "noise", 1)):
        assert abs(np.mean(a * field(8, slice(0, 200), slice(0, 200), *other))) < 0.01
