"""Polygons to label images: against scikit-image, and by what must hold of windows, holes and shared edges."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import polygon as skimage_polygon

from tasks.ingest.annotations.geojson import read_polygons
from tasks.ingest.annotations.polygons import Polygon, draw, paint
from tasks.ingest.bad import BadFile
from tests import makers

MOST = 10**6
ALL = slice(0, 60), slice(0, 70)


def of(*rings: list[list[float]], name: str = "a") -> Polygon:
    closed = [np.asarray(ring, float) for ring in rings]
    return Polygon(name, np.concatenate([np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in closed]))


def star(key: int, corners: int = 17) -> list[list[float]]:
    """A polygon around the centre with corners at random distances, off the pixel centres."""
    random = makers.rng(key)
    angle = np.sort(random.uniform(0, 2 * np.pi, corners))
    radius = random.uniform(5, 28, corners)
    return [[35 + r * np.cos(a), 30 + r * np.sin(a)] for a, r in zip(angle, radius, strict=True)]


@pytest.mark.parametrize("key", range(6))
def test_random_polygons_equal_scikit_images(key: int) -> None:
    ring = star(key)
    expected = np.zeros((60, 70), bool)
    x, y = np.asarray(ring).T
    expected[skimage_polygon(y - 0.5, x - 0.5, expected.shape)] = True
    np.testing.assert_array_equal(draw(of(ring), *ALL), expected)


def test_a_box_on_pixel_borders_holds_exactly_its_pixels() -> None:
    found = draw(of(makers.box(10, 20, 30, 25)), *ALL)
    assert found.sum() == 20 * 5
    assert found[20:25, 10:30].all()


def test_a_hole_is_left_out() -> None:
    found = draw(of(makers.box(10, 10, 50, 50), makers.box(20, 20, 30, 30)), *ALL)
    assert found.sum() == 40 * 40 - 10 * 10
    assert not found[20:30, 20:30].any()


@pytest.mark.parametrize("key", range(4))
def test_polygons_that_share_edges_share_no_pixel_and_leave_no_gap(key: int) -> None:
    """A fan of triangles around a corner: each pixel of the whole is in exactly one."""
    ring = star(key, 11)
    middle = [35.3, 30.7]
    fan = sum(draw(of([middle, a, b]), *ALL).astype(int) for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    np.testing.assert_array_equal(fan % 2 == 1, draw(of(ring), *ALL))


@pytest.mark.parametrize("key", range(4))
def test_windows_together_are_the_whole(key: int) -> None:
    shapes = [(1, of(star(key))), (2, of(star(key + 50), makers.box(30, 25, 40, 35)))]
    whole = paint(shapes, *ALL)
    found = np.zeros_like(whole)
    for top in range(0, 60, 23):
        for left in range(0, 70, 19):
            rows, columns = slice(top, min(top + 23, 60)), slice(left, min(left + 19, 70))
            found[rows, columns] = paint(shapes, rows, columns)
    np.testing.assert_array_equal(found, whole)
    assert set(np.unique(whole)) == {0, 1, 2}


def test_a_later_polygon_covers_an_earlier_one_and_one_outside_draws_nothing() -> None:
    inner, outer, far = (
        of(makers.box(20, 20, 30, 30)),
        of(makers.box(10, 10, 40, 40)),
        of(makers.box(900, 900, 950, 950)),
    )
    assert (paint([(1, inner), (2, outer), (3, far)], *ALL) == 1).sum() == 0
    found = paint([(2, outer), (1, inner)], *ALL)
    assert (found == 1).sum() == 100
    assert (found == 2).sum() == 800


def test_geojson_names_multipolygons_and_open_rings(tmp_path: Path) -> None:
    hole = [makers.box(0, 0, 10, 10), makers.box(2, 2, 4, 4)]
    labelled = makers.feature("", "Polygon", [makers.box(0, 0, 5, 5)[:-1]])
    labelled["properties"] = {"label": "stroma"}
    path = makers.write_geojson(
        tmp_path / "a.geojson",
        [makers.feature("tumour", "MultiPolygon", [hole, [makers.box(20, 20, 22, 22)]]), labelled],
    )
    found = read_polygons(path, MOST)
    assert [p.name for p in found] == ["tumour", "tumour", "stroma"]
    assert [int(draw(p, *ALL).sum()) for p in found] == [96, 4, 25]


BAD = {
    "not JSON": ("{", "not GeoJSON"),
    "no features": ('{"type": "FeatureCollection"}', "no features"),
    "a point": (json.dumps([makers.feature("a", "Point", [1, 2])]), "feature 0 is not a polygon"),
    "two corners": (json.dumps([makers.feature("a", "Polygon", [[[0, 0], [1, 1]]])]), "feature 0 is not a polygon"),
    "not numbers": (json.dumps([makers.feature("a", "Polygon", [[["x", 0], [1, 1], [2, 2]]])]), "is not a polygon"),
    "infinite": (
        '[{"geometry": {"type": "Polygon", "coordinates": [[[1e999, 0], [1, 1], [2, 2]]]}, '
        '"properties": {"label": "a"}}]',
        "is not a polygon",
    ),
    "no class": (json.dumps([makers.feature("", "Polygon", [makers.box(0, 0, 1, 1)])]), "feature 0 has no class name"),
    "no properties": ('[{"geometry": {"type": "Polygon", "coordinates": []}}]', "is not a polygon"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_geojson_is_named(tmp_path: Path, name: str) -> None:
    text, words = BAD[name]
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(BadFile, match=words):
        read_polygons(tmp_path / "a.geojson", MOST)
