"""What all common corruptions share: shape, range, streams, severities, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from tasks.drift import corruptions
from tasks.drift.corruptions import IDENTITY, NAMES, SEVERITIES, corrupt
from tasks.errors import ParamsError

Views = NDArray[np.float32]
RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "elastic")
GROWING = tuple(n for n in NAMES if n not in ("saturate", "elastic"))


def tissue(n: int, side_px: int = 48) -> Views:
    picture = np.moveaxis(data.immunohistochemistry(), -1, 0).astype(np.float32) / np.float32(255)
    return np.stack([picture[:, 60 * i : 60 * i + side_px, 90:][..., :side_px] for i in range(n)])


def test_the_ten_stand_in_the_order_of_the_thesis() -> None:
    assert NAMES == (
        "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur",
        "zoom_blur", "contrast", "brightness", "saturate", "elastic",
    )  # fmt: skip


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NAMES)
def test_each_changes_the_picture_and_keeps_shape_type_and_range(name: str, severity: int) -> None:
    views = tissue(2)
    before = views.copy()
    out = corrupt(name, severity, views, 1, ["a", "b"])
    assert out.shape == views.shape
    assert out.dtype == np.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert np.abs(out - views).mean() > 1e-3
    np.testing.assert_array_equal(views, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_tile_does_not_depend_on_its_company(name: str) -> None:
    views, ids = tissue(5), list("abcde")
    together = corrupt(name, 3, views, 7, ids)
    np.testing.assert_array_equal(corrupt(name, 3, views[::-1], 7, ids[::-1])[::-1], together)
    for i, item in enumerate(ids):
        np.testing.assert_array_equal(corrupt(name, 3, views[i : i + 1], 7, [item])[0], together[i])


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_does_not_matter(name: str) -> None:
    views = tissue(2)
    strided = np.ascontiguousarray(views.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
    np.testing.assert_array_equal(corrupt(name, 2, strided, 7, "ab"), corrupt(name, 2, views, 7, "ab"))


@pytest.mark.parametrize("name", NAMES)
def test_chance_depends_on_seed_and_tile_where_there_is_any(name: str) -> None:
    views = np.repeat(tissue(1), 2, axis=0)
    first = corrupt(name, 4, views, 1, ["a", "b"])
    assert np.array_equal(first[0], first[1]) == (name not in RANDOM)
    assert np.array_equal(first[0], corrupt(name, 4, views, 2, ["a", "b"])[0]) == (name not in RANDOM)


@pytest.mark.parametrize("name", GROWING)
def test_distortion_grows_with_severity(name: str) -> None:
    """All but saturate and elastic, whose published constants change direction on the way."""
    views = tissue(3, 96)
    errors = [np.square(corrupt(name, s, views, 1, "abc") - views).mean() for s in SEVERITIES]
    assert np.all(np.diff(errors) > 0)


def test_the_parts_of_saturate_and_elastic_grow() -> None:
    views = tissue(3, 96)
    saturate, elastic = (
        [np.square(corrupt(n, s, views, 1, "abc") - views).mean() for s in SEVERITIES] for n in ("saturate", "elastic")
    )
    assert saturate[0] < saturate[1]
    assert saturate[2] < saturate[3] < saturate[4]
    assert elastic[2] < elastic[3] < elastic[4]


@pytest.mark.parametrize("severity", SEVERITIES)
def test_identity_is_a_copy(severity: int) -> None:
    views = tissue(1)
    out = corrupt(IDENTITY, severity, views, 1, ["a"])
    np.testing.assert_array_equal(out, views)
    assert not np.shares_memory(out, views)


def test_no_tiles_give_no_tiles() -> None:
    assert corrupt("elastic", 1, np.zeros((0, 3, 8, 8), np.float32), 1, []).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("name", "severity"), [("frost", 1), ("contrast", 0), ("contrast", 6), ("identity", 7)])
def test_what_does_not_exist_is_refused(name: str, severity: int) -> None:
    with pytest.raises(ParamsError, match="expected one of"):
        corrupt(name, severity, tissue(1), 1, ["a"])


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (np.zeros((1, 3, 8, 8), np.float64), "float32"),
        (np.zeros((1, 4, 8, 8), np.float32), "n, 3, y, x"),
        (np.zeros((2, 3, 8, 8), np.float32), "1 ids"),
        (np.zeros((1, 3, 2, 8), np.float32), "at least 3 px"),
        (np.full((1, 3, 8, 8), 1.01, np.float32), "display values"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "NaN"),
    ],
)
def test_views_that_are_not_as_said_are_refused(views: Views, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        corrupt("contrast", 1, views, 1, ["a"])


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    severity=st.sampled_from(SEVERITIES),
    sides=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    level=st.sampled_from([0.0, 1e-30, 0.3, 1.0]),
)
def test_any_shape_and_level_stay_in_range(name: str, severity: int, sides: tuple[int, int], level: float) -> None:
    views = np.random.default_rng(0).random((1, 3, *sides), dtype=np.float32) * np.float32(level)
    out = corruptions.corrupt(name, severity, views, 1, ["a"])
    assert out.shape == views.shape
    assert 0 <= out.min() <= out.max() <= 1
