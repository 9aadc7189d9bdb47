"""Slides: stains, regions, annotations and the pyramid."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from tasks import rng
from tasks.acquire import annotations, tissue
from tasks.acquire import slides as scanner
from tasks.acquire.params import SlidesParams
from tasks.params import load

PROJECT = Path(__file__).parents[3]


def test_separation_recovers_known_stains() -> None:
    amounts = np.random.default_rng(0).uniform(0, 0.6, (8, 9, 2))
    od = np.tensordot(amounts, np.asarray(tissue.PICTURE_STAINS), 1)
    picture = np.rint(245 * 10**-od).astype(np.uint8)
    h, dab = tissue.separate(picture)
    np.testing.assert_allclose(h, amounts[..., 0], atol=0.02)
    np.testing.assert_allclose(dab, amounts[..., 1], atol=0.02)


def test_display_and_linear_are_inverse_and_srgb() -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)
    np.testing.assert_allclose(tissue.display(tissue.linear(values)), values, atol=1e-5)
    assert tissue.linear(np.array([0.5], np.float32))[0] == pytest.approx(0.21404, abs=1e-4)


def test_regions_nest_and_have_their_shares(slides: SlidesParams) -> None:
    layout = slides.subtypes["solid"]
    classes = tissue.regions(slides, layout, rng.generator(1, "slide1", "test"))
    count = np.bincount(classes.ravel(), minlength=5)
    assert count[0] == 0 and (count[1:] > 0.01 * classes.size).all()
    inner = count[tissue.TUMOUR] + count[tissue.NECROSIS]
    assert inner / (inner + count[tissue.STROMA]) == pytest.approx(layout.tumour_share, abs=0.01)
    assert count[tissue.NECROSIS] / inner == pytest.approx(layout.necrosis_share, abs=0.01)


def border_share(classes: np.ndarray) -> float:
    """Share of neighbouring pixels that are tissue of two classes."""
    a, b = classes[:, 1:], classes[:, :-1]
    return float(((a != b) & (a != tissue.GLASS) & (b != tissue.GLASS)).mean())


def test_subtypes_differ_in_class_shares_and_in_the_size_of_regions(slides: SlidesParams) -> None:
    full = load(PROJECT / "params.yaml", "acquire.slides", SlidesParams)
    found = {
        name: [tissue.regions(slides, layout, rng.generator(k, "slide1", "test")) for k in range(3)]
        for name, layout in full.subtypes.items()
    }
    tumour = {name: np.mean([(c == tissue.TUMOUR).mean() for c in all_of]) for name, all_of in found.items()}
    borders = {name: np.mean([border_share(c) for c in all_of]) for name, all_of in found.items()}
    assert tumour["solid"] > 1.3 * tumour["scattered"]
    assert borders["scattered"] > 1.3 * borders["solid"]


@pytest.fixture(scope="module")
def painted(slides: SlidesParams) -> tuple[np.ndarray, np.ndarray]:
    classes = tissue.regions(slides, slides.subtypes["solid"], rng.generator(1, "slide1", "test"))
    return tissue.paint(slides, "slide1", classes), classes


def test_the_classes_look_different(painted: tuple[np.ndarray, np.ndarray]) -> None:
    light, classes = painted
    mean = {k: tissue.display(light)[:, classes == k].mean(axis=1) for k in range(1, 5)}
    r, g, b = mean[tissue.GLASS]
    assert min(r, g, b) > 0.9
    assert mean[tissue.TUMOUR].sum() < mean[tissue.STROMA].sum() - 0.2
    assert mean[tissue.STROMA][0] > mean[tissue.STROMA][1]  # pink: red over green
    assert mean[tissue.TUMOUR][2] > mean[tissue.TUMOUR][0] * 0.9  # purple: blue near red
    assert mean[tissue.NECROSIS][0] - mean[tissue.NECROSIS][2] > mean[tissue.TUMOUR][0] - mean[tissue.TUMOUR][2] + 0.05
    gaps = [np.abs(mean[a] - mean[b]).max() for a in mean for b in mean if a < b]
    assert min(gaps) > 0.08


def test_slides_differ_in_stain(slides: SlidesParams) -> None:
    stained = tissue.Stained(np.full((64, 64), 0.3, np.float32), np.full((64, 64), 0.3, np.float32))
    small = slides.model_copy(update={"side_px": 64})
    first, second = (tissue.through(small, name, stained).mean(axis=(1, 2)) for name in ("slide1", "slide2"))
    assert np.abs(first - second).max() > 0.01
    calm = small.model_copy(update={"stain_spread": 0.0})
    first, second = (tissue.through(calm, name, stained).mean(axis=(1, 2)) for name in ("slide1", "slide2"))
    np.testing.assert_allclose(first, second, rtol=0.01)


def raster(features: list[dict[str, object]], names: tuple[str, ...], side: int) -> np.ndarray:
    """Class index + 1 of each pixel whose centre lies in a polygon, at five times the resolution."""
    out = np.zeros((side, side), np.uint8)
    for feature in features:
        image = Image.new("L", (5 * side, 5 * side))
        draw = ImageDraw.Draw(image)
        outer, *holes = feature["geometry"]["coordinates"]  # type: ignore[index]
        for ring, value in [(outer, 1), *((hole, 0) for hole in holes)]:
            draw.polygon([(5 * x - 0.5, 5 * y - 0.5) for x, y in ring], fill=value)
        inside = np.asarray(image)[2::5, 2::5] == 1
        out[inside] = names.index(feature["properties"]["classification"]["name"]) + 1  # type: ignore[index]
    return out


def test_the_polygons_are_the_regions(slides: SlidesParams) -> None:
    classes = np.zeros((120, 120), np.uint8)
    y, x = np.mgrid[:120, :120]
    classes[np.hypot(y - 60, x - 55) < 50] = 3
    classes[np.hypot(y - 60, x - 60) < 20] = 2  # a hole in class 3
    classes[:25, 95:] = 1
    features = annotations.features(classes, slides.classes)
    stroma = [f for f in features if f["properties"]["classification"]["name"] == "stroma"]
    assert [len(f["geometry"]["coordinates"]) for f in stroma] == [2]
    drawn = raster(features, slides.classes, 120)
    # Only corners may differ: a simplified outline stays within TOLERANCE_PX of the pixels' edges.
    assert (drawn != classes).mean() < 0.012
    for index in (1, 2, 3):
        rows, columns = np.nonzero(drawn == index)
        true_rows, true_columns = np.nonzero(classes == index)
        assert abs(rows.mean() - true_rows.mean()) < 0.15 and abs(columns.mean() - true_columns.mean()) < 0.15


def test_coordinates_are_corners_of_pixels() -> None:
    classes = np.zeros((60, 60), np.uint8)
    classes[10:40, 5:45] = 1
    (feature,) = annotations.features(classes, ["glass", "a", "b", "c"])
    ring = np.asarray(feature["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    np.testing.assert_allclose([ring[:, 0].min(), ring[:, 0].max()], [5, 45], atol=annotations.TOLERANCE_PX)
    np.testing.assert_allclose([ring[:, 1].min(), ring[:, 1].max()], [10, 40], atol=annotations.TOLERANCE_PX)


def test_small_regions_are_not_annotated() -> None:
    classes = np.zeros((60, 60), np.uint8)
    classes[3:10, 3:10] = 1
    assert annotations.features(classes, ["glass", "a", "b", "c"]) == []


def test_the_annotator_sees_the_asked_share() -> None:
    field = np.random.default_rng(0).random((100, 100)).astype(np.float32).cumsum(axis=0)
    seen = annotations.seen_by_annotator(np.full((100, 100), 2, np.uint8), field, 0.6)
    assert (seen > 0).mean() == pytest.approx(0.6, abs=0.03)


def test_the_pyramid_has_levels_tiles_and_a_pixel_size(tmp_path: Path, slides: SlidesParams) -> None:
    ramp = np.linspace(40, 230, 512)
    picture = np.stack([np.tile(ramp, (512, 1)), np.tile(ramp[:, None], (1, 512)), np.full((512, 512), 120)])
    path = scanner.write_pyramid(tmp_path / "slide9.tif", picture.astype(np.uint8), slides)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert page.is_tiled and page.tile == (256, 256)
        numerator, denominator = page.tags["XResolution"].value
        assert page.tags["ResolutionUnit"].value == 3 and 1e4 * denominator / numerator == pytest.approx(0.5)
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(512, 512, 3), (256, 256, 3)]
        np.testing.assert_allclose(levels[0].asarray().transpose(2, 0, 1), picture, atol=6)
        halved = np.tile(ramp.reshape(256, 2).mean(axis=1), (256, 1))
        np.testing.assert_allclose(levels[1].asarray()[:, :, 0], halved, atol=6)
        assert json.loads(page.description)["mpp_um"] == 0.5


def test_the_scanner_shows_what_light_it_gets(slides: SlidesParams) -> None:
    light = np.full((3, 64, 64), 0.21404, np.float32)
    picture = scanner.scan(light, slides, "flat")
    assert picture.dtype == np.uint8
    assert picture.mean() == pytest.approx(127.5, abs=0.5)
    assert 0.05 < picture.std() < 2
