"""Chains are configuration: what is refused, with which words, and what runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tasks.contracts import Calibration
from tasks.errors import ParamsError
from tasks.isp.chain import parse_chain
from tasks.isp.engine import view_of
from tasks.isp.params import Common, load_variant
from tasks.params import load

ROOT = Path(__file__).parents[3]
END = ["clip", {"gamma": {"gamma": 2.2}}]
COMMON = {"intensities": [1.0], "tile_height_px": 64, "tile_width_px": 64}

BAD_CHAINS: list[tuple[Any, str]] = [
    ("bilinear", "is no chain"),
    ([], "is no chain"),
    (None, "is no chain"),
    ({"bilinear": {}}, "is no chain"),
    (["bilinear", "sharpen", *END], "no operator 'sharpen'"),
    (["bilinear", {"clip": {}, "gamma": {}}], "no operator"),
    (["bilinear", 3], "no operator 3"),
    (["bilinear", {"median": {"size_px": 3}}, *END], "channels: field required"),
    (["bilinear", {"median": {"size_px": 4, "channels": "luma"}}, *END], "odd side"),
    (["bilinear", {"median": {"size_px": 3, "channels": "y"}}, *END], "'luma', 'yuv' or 'rgb'"),
    (["bilinear", {"gaussian": {"sigma_px": 0, "truncate": 4, "channels": "luma"}}, *END], "sigma_px"),
    (["bilinear", {"gaussian": {"sigma_px": float("nan"), "truncate": 4, "channels": "luma"}}, *END], "sigma_px"),
    (["menon", *END], "refine: field required"),
    (["bilinear", {"white_balance": {"gain": 2}}, *END], "gain: extra inputs"),
    (["bilinear", "clip", {"gamma": {"gamma": 0}}], "gamma"),
    (["black_level", "clip"], "one demosaicing"),
    (["bilinear", "malvar", "clip"], "one demosaicing"),
    (["bilinear", "black_level", "clip"], "one demosaicing"),
    (["white_balance", "bilinear", "clip"], "one demosaicing"),
    (["bilinear", {"gamma": {"gamma": 2.2}}], "gamma may get values outside"),
    (["bilinear", "clip", "colour_matrix", {"gamma": {"gamma": 2.2}}], "gamma may get values outside"),
    (["bilinear", "white_balance"], "white_balance may leave"),
]


@pytest.mark.parametrize(("steps", "words"), BAD_CHAINS)
def test_bad_chains_are_refused_in_one_line(steps: Any, words: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_chain(steps, "params.yaml#develop.variants.x")
    assert words in str(caught.value)
    assert str(caught.value).startswith("params.yaml#develop.variants.x")
    assert "\n" not in str(caught.value)


def test_a_chain_and_its_document_are_the_same() -> None:
    chain = load_variant(ROOT / "params.yaml", "bi,u,ga")
    assert parse_chain(chain.document(), "again") == chain
    assert chain.document()[0] == "black_level"
    assert chain.document()[-1] == {"gamma": {"gamma": 2.2}}


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_all_twelve_variants_stand_in_params(file: str) -> None:
    names = [f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in ("s", "u") for n in ("me", "ga")]
    chains = {name: load_variant(ROOT / file, name) for name in names}
    assert len({str(chain.document()) for chain in chains.values()}) == 12
    for name, chain in chains.items():
        used = [operator.name for operator in chain.operators]
        full = {"bi": "bilinear", "ma": "malvar", "s": "sharpening_filter", "u": "unsharp_mask"}
        demosaic, sharpen, denoise = name.split(",")
        assert used == [
            "black_level",
            "menon" if demosaic == "me" else full[demosaic],
            "white_balance",
            "colour_matrix",
            full[sharpen],
            "median" if denoise == "me" else "gaussian",
            "clip",
            "gamma",
        ]
    assert load(ROOT / file, "develop.common", Common).intensities == (1.0,)


def test_a_variant_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"develop": {"variants": {"a": ["bilinear", "clip"]}}}))
    assert load_variant(file, "a").halo_px == 2
    with pytest.raises(ParamsError, match=r"has no section 'develop\.variants\.b'; expected one of a"):
        load_variant(file, "b")


@pytest.mark.parametrize(
    "change",
    [{"intensities": []}, {"intensities": [1.0, 1.0]}, {"intensities": [2.0]}, {"tile_width_px": 4}, {"band_px": 1}],
)
def test_bad_common_params_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"common": {**COMMON, **change}}))
    with pytest.raises(ParamsError, match=next(iter(change))):
        load(file, "common", Common)


def test_operators_may_be_repeated_and_reordered(camera: Callable[..., Calibration]) -> None:
    mosaic = np.random.default_rng(1).integers(0, 65536, (20, 24)).astype(np.uint16)
    median, sharp = {"median": {"size_px": 3, "channels": "luma"}}, {"sharpening_filter": {"channels": "luma"}}
    orders = [[median], [median, median], [median, sharp], [sharp, median]]
    views = [view_of(parse_chain(["bilinear", *o, *END], "x"), mosaic, camera()) for o in orders]
    for number, one in enumerate(views):
        assert one.shape == (3, 20, 24)
        assert all(np.abs(one - other).max() > 1e-3 for other in views[:number])
