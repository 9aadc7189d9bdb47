"""Label rasters and annotations to class indices: modes, sizes, names, against arrays that were written."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.errors import InputError
from tasks.ingest.annotations import labels
from tasks.ingest.annotations.classes import names_found
from tasks.ingest.annotations.geojson import read_polygons
from tasks.ingest.bad import BadFile
from tasks.ingest.formats import picture as pictures
from tests import makers

SHAPE = (60, 70)
NONZERO = {"mask_values": "nonzero", "source_classes": ["tumour"]}


def read(
    path: Path, classes: tuple[str, ...] = ("tumour",), shape: tuple[int, int] = SHAPE, **changes: Any
) -> np.ndarray:
    with labels.opened(path, shape, classes, makers.params(**changes)) as window:
        whole = window(slice(0, shape[0]), slice(0, shape[1]))
        part = slice(shape[0] // 3, shape[0] // 2), slice(shape[1] // 5, shape[1])
        np.testing.assert_array_equal(window(*part), whole[part])
        return whole


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "1", "I;16"])
def test_any_png_is_a_mask_of_what_is_not_zero(tmp_path: Path, mode: str) -> None:
    truth = makers.rng(3).integers(0, 2, SHAPE).astype(bool)
    grey = np.where(truth, 255, 0).astype(np.uint8)
    whole = np.full(SHAPE, 255, np.uint8)
    arrays = {
        "RGB": np.stack([0 * grey, 0 * grey, grey], axis=-1), "LA": np.stack([grey, whole], axis=-1),
        "RGBA": np.stack([0 * grey, grey, 0 * grey, whole], axis=-1), "I;16": grey.astype(np.uint16) * 257, "1": truth,
    }  # fmt: skip
    image = Image.fromarray(arrays.get(mode, grey))
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "m.png")
    assert Image.open(tmp_path / "m.png").mode == mode
    np.testing.assert_array_equal(read(tmp_path / "m.png", **NONZERO), truth)


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_index_rasters_of_16_bits(tmp_path: Path, name: str) -> None:
    values = makers.rng(4).integers(0, 201, SHAPE).astype(np.uint16)
    classes = tuple(f"c{i:03d}" for i in range(200))
    if name == "m.png":
        Image.fromarray(values).save(tmp_path / name)
    else:
        makers.write_tiff(tmp_path / name, values, tile=(32, 32), compression="zlib")
    np.testing.assert_array_equal(read(tmp_path / name, classes, source_classes=list(classes)), values)
    with pytest.raises(BadFile, match="the value 200"):
        read(tmp_path / name, classes[:199], source_classes=list(classes[:199]))


def test_a_value_above_255_has_no_name(tmp_path: Path) -> None:
    values = np.full(SHAPE, 300, np.uint16)
    makers.write_tiff(tmp_path / "m.tif", values)
    with pytest.raises(BadFile, match="the value 300"):
        read(tmp_path / "m.tif", source_classes=["tumour"])
    assert not read(tmp_path / "m.tif", source_classes=["tumour"], unknown_class="ignore").any()


def test_values_without_any_names_are_told_where_names_are_given(tmp_path: Path) -> None:
    makers.write_png(tmp_path / "m.png", np.full(SHAPE, 255, np.uint8))
    with pytest.raises(BadFile, match=r"255, and no names for .*source_classes in the params, such as .*--classes, or"):
        read(tmp_path / "m.png", source_classes=[])
    with pytest.raises(BadFile, match=r"the value 255; expected 0 to 1; .*mask_values: nonzero"):
        read(tmp_path / "m.png", source_classes=["tumour"])


@pytest.mark.parametrize("shape", [(200, 260), (201, 263), (199, 261)])
@pytest.mark.parametrize("factor", [2, 3, 7])
@pytest.mark.parametrize("up", [True, False])
def test_a_raster_smaller_by_a_whole_factor_is_enlarged(
    tmp_path: Path, shape: tuple[int, int], factor: int, up: bool
) -> None:
    size = [-(-n // factor) if up else n // factor for n in shape]
    small = makers.rng(5).integers(0, 2, size).astype(np.uint8)
    makers.write_png(tmp_path / "m.png", small)
    large = np.kron(small, np.ones((factor, factor), np.uint8))
    edges = [(0, max(0, n - m)) for n, m in zip(shape, large.shape, strict=True)]
    expected = np.pad(large, edges, mode="edge")[: shape[0], : shape[1]]
    np.testing.assert_array_equal(read(tmp_path / "m.png", shape=shape, source_classes=["tumour"]), expected)


@pytest.mark.parametrize("size", [(30, 34), (20, 35), (61, 70), (120, 140), (45, 50)])
def test_other_sizes_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    makers.write_png(tmp_path / "m.png", np.zeros(size, np.uint8))
    with pytest.raises(BadFile, match="or smaller by a whole factor"):
        read(tmp_path / "m.png", source_classes=["tumour"])


def test_a_size_that_several_factors_fit_is_the_power_of_two_or_refused() -> None:
    assert labels.factor_of((9, 11), (59, 71)) is None  # 6 rounded down, 7 rounded up
    assert labels.factor_of((8, 10), (61, 73)) == 8  # or 7 rounded down
    assert labels.factor_of((156, 156), (40000, 40000)) == 256  # 257 rounded up
    assert labels.factor_of((156, 156), (39999, 39999)) == 256
    assert labels.factor_of((1250, 2500), (40000, 80000)) == 32


def test_forty_names_merge_into_five_classes(tmp_path: Path) -> None:
    names = [f"n{i:02d}" for i in range(40)]
    shapes = [makers.feature(n, "Polygon", [makers.box(i, 0, i + 1, 60)]) for i, n in enumerate(names)]
    path = makers.write_geojson(tmp_path / "a.geojson", shapes)
    classes = ("a", "b", "c", "d", "e")
    known = makers.params(merge={n: classes[i % 5] for i, n in enumerate(names)}, classes=classes)
    with labels.opened(path, SHAPE, classes, known) as window:
        found = window(slice(0, 60), slice(0, 70))
    np.testing.assert_array_equal(found[0, :40], [i % 5 + 1 for i in range(40)])
    assert not found[:, 40:].any()


def test_more_than_255_names_are_refused() -> None:
    assert len(names_found({f"n{i}" for i in range(255)}, makers.params())) == 255
    with pytest.raises(InputError, match=r"256 class names.*at most 255"):
        names_found({f"n{i}" for i in range(256)}, makers.params())


def test_geojson_says_its_class_in_several_ways(tmp_path: Path) -> None:
    ring = [makers.box(0, 0, 5, 5)]
    ways: list[dict[str, Any]] = [
        {"classification": {"name": "a"}}, {"classification": {"names": ["b", "c"]}}, {"label": "d"}, {"name": "e"},
        {"classification": "f"}, {"classification": {"name": "g"}, "name": "not this"},
    ]  # fmt: skip
    features = [{"geometry": {"type": "Polygon", "coordinates": ring}, "properties": way} for way in ways]
    path = makers.write_geojson(tmp_path / "a.geojson", features)
    assert [p.name for p in read_polygons(path, 10**6)] == ["a", "b: c", "d", "e", "f", "g"]


def test_a_collection_of_geometries_is_all_its_polygons(tmp_path: Path) -> None:
    parts = [
        {"type": "Polygon", "coordinates": [makers.box(0, 0, 10, 10), makers.box(2, 2, 4, 4)]},
        {"type": "MultiPolygon", "coordinates": [[makers.box(20, 20, 22, 22)], [makers.box(30, 30, 31, 31)]]},
    ]
    geometry = {"type": "GeometryCollection", "geometries": parts}
    one = {"type": "Feature", "geometry": geometry, "properties": {"name": "tumour"}}
    (tmp_path / "a.geojson").write_text(json.dumps({"name": "x", "features": [one], "type": "FeatureCollection"}))
    assert (read(tmp_path / "a.geojson") == 1).sum() == 100 - 4 + 4 + 1


def test_an_annotation_that_changed_is_read_anew(tmp_path: Path) -> None:
    for side in (5, 6):
        shape = makers.feature("tumour", "Polygon", [makers.box(0, 0, side, side)])
        path = makers.write_geojson(tmp_path / f"{side}.geojson", [shape])
        path.replace(tmp_path / "a.geojson")
        assert (read(tmp_path / "a.geojson") == 1).sum() == side * side


def test_pictures_and_labels_are_read_by_many_threads_at_once(tmp_path: Path) -> None:
    picture = makers.picture_of(200, 260)
    slide = makers.write_slide(tmp_path / "s.tif", picture, tile=32)
    values = makers.rng(7).integers(0, 2, (200, 260)).astype(np.uint8)
    mask = makers.write_tiff(tmp_path / "m.tif", values, tile=(16, 16), compression="zlib")
    known = makers.params("slides", source_classes=["tumour"])
    places = [(y, x) for y in range(0, 200, 40) for x in range(0, 260, 52)]
    with (
        pictures.opened(slide, "slides", known) as one,
        labels.opened(mask, (200, 260), ("tumour",), known) as window,
        ThreadPoolExecutor(8) as pool,
    ):

        def read_place(place: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
            rows, columns = slice(place[0], place[0] + 40), slice(place[1], place[1] + 52)
            return one.read((slice(0, 3), rows, columns)), window(rows, columns)

        for (y, x), (pixels, found) in zip(places * 4, pool.map(read_place, places * 4), strict=True):
            np.testing.assert_array_equal(np.moveaxis(pixels, 0, -1), picture[y : y + 40, x : x + 52])
            np.testing.assert_array_equal(found, values[y : y + 40, x : x + 52])


def test_a_mask_of_planes_in_tiff_counts_any_colour(tmp_path: Path) -> None:
    truth = makers.rng(8).integers(0, 2, SHAPE).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", np.stack([0 * truth, truth, 0 * truth], axis=-1), photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path / "m.tif", **NONZERO), truth)
