"""Drawn cells: the classes differ in what a haematologist looks at."""

import numpy as np
import pytest
from scipy.ndimage import binary_opening, label
from skimage.measure import regionprops

from tasks import rng
from tasks.acquire import cells, smear
from tasks.acquire.params import MicroscopyParams

PIXEL_UM = 0.1625
SIDE = 256


def drawn(kind: str, index: int) -> tuple[cells.Stains, np.ndarray]:
    source = rng.generator(5, f"{kind}{index}", "test")
    radius = sum(cells.LEUKOCYTES[kind].diameter_um) / 4 / PIXEL_UM
    place = cells.frame((slice(0, SIDE), slice(0, SIDE)), (128.0, 128.0), radius, 0.3)
    return cells.leukocyte(kind, place, PIXEL_UM, source)


def nucleus(kind: str, index: int = 0) -> np.ndarray:
    return drawn(kind, index)[0]["nuclear"] > 0.3 * cells.LEUKOCYTES[kind].nuclear_stain


def lobes(kind: str, index: int) -> int:
    """Parts of the nucleus that remain when thin strands (under 1.3 um) are taken away."""
    y, x = np.mgrid[-4:5, -4:5]
    parts, count = label(binary_opening(nucleus(kind, index), y**2 + x**2 <= 18))
    return sum(int((parts == k + 1).sum() > 150) for k in range(count))


def test_there_are_nine_classes() -> None:
    assert sorted(cells.LEUKOCYTES) == ["BAS", "EOS", "KSC", "LYA", "LYT", "MON", "NGB", "NGS", "UNC"]


def test_segmented_nuclei_have_lobes_and_bands_have_none() -> None:
    assert np.mean([lobes("NGS", k) for k in range(8)]) > 2.6
    assert np.median([lobes("EOS", k) for k in range(8)]) == 2
    assert all(lobes("NGB", k) == 1 for k in range(4))
    assert all(lobes("LYT", k) == 1 for k in range(4))


def test_the_band_bends_around_a_gap() -> None:
    """A band's centre of mass lies outside it or the nucleus is far from convex; a lymphocyte's is not."""

    def solidity(kind: str) -> float:
        return float(max(regionprops(label(nucleus(kind))[0]), key=lambda r: r.area).solidity)

    assert solidity("NGB") < 0.75
    assert solidity("MON") < 0.95
    assert solidity("LYT") > 0.95


def test_a_typical_lymphocyte_is_small_and_nearly_all_nucleus() -> None:
    share, area = {}, {}
    for kind in ("LYT", "LYA", "MON"):
        body = drawn(kind, 0)[1] > 0.5
        share[kind], area[kind] = nucleus(kind).sum() / body.sum(), int(body.sum())
    assert share["LYT"] > 0.55 > max(share["LYA"], share["MON"])
    assert 2 * area["LYT"] < min(area["LYA"], area["MON"])


def test_granules_have_the_stain_of_their_class() -> None:
    assert drawn("EOS", 0)[0]["orange"].sum() > 500
    assert drawn("BAS", 0)[0]["violet"].sum() > 500
    assert "orange" not in drawn("NGS", 0)[0]


@pytest.mark.parametrize("kind", sorted(cells.LEUKOCYTES))
def test_stains_are_within_the_body(kind: str) -> None:
    stains, body = drawn(kind, 0)
    for strength in stains.values():
        assert strength.min() >= -1e-6
        assert np.abs(strength[body == 0]).max() == 0


def test_light_follows_beer_and_lambert(microscopy: MicroscopyParams) -> None:
    prepared = smear.Preparation(dict.fromkeys(cells.STAIN_OD, 1.0), (1.0, 1.0, 1.0))
    one = smear.transmitted({"nuclear": np.ones((1, 1), np.float32)}, prepared, (1, 1))
    two = smear.transmitted({"nuclear": np.full((1, 1), 2, np.float32)}, prepared, (1, 1))
    none = smear.transmitted({}, prepared, (1, 1))
    np.testing.assert_allclose(none, smear.BACKGROUND)
    np.testing.assert_allclose(one / none, (two / none) ** 0.5, rtol=1e-5)
    np.testing.assert_allclose(-np.log10(one / none).ravel(), cells.STAIN_OD["nuclear"], rtol=1e-5)


def test_a_crop_depends_on_its_name_alone(microscopy: MicroscopyParams) -> None:
    first, _ = smear.crop(microscopy, "smear1", "EOS", "smear1-EOS-0")
    smear.crop(microscopy, "smear1", "BAS", "smear1-BAS-0")
    again, _ = smear.crop(microscopy, "smear1", "EOS", "smear1-EOS-0")
    np.testing.assert_array_equal(first, again)
    other, _ = smear.crop(microscopy, "smear1", "EOS", "smear1-EOS-1")
    assert (first != other).any()


def test_smears_differ_in_lamp_and_stain_and_crops_of_one_do_not(microscopy: MicroscopyParams) -> None:
    first, second = smear.preparation(microscopy, "smear1"), smear.preparation(microscopy, "smear2")
    assert first == smear.preparation(microscopy, "smear1")
    assert first.lamp != second.lamp and first.stain != second.stain
    calm = microscopy.model_copy(update={"stain_spread": 0.0, "illumination_spread": 0.0})
    assert smear.preparation(calm, "smear1") == smear.preparation(calm, "smear2")


def test_a_red_cell_is_thinnest_in_the_middle() -> None:
    place = cells.frame((slice(0, 65), slice(0, 65)), (32.0, 32.0), 24.0, 0.0)
    red = cells.red_cell(place)
    assert red[32, 32] < 0.5 * red[32, 49]
    assert red[32, 60] == 0
