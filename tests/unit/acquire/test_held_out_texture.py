"""A held-out slide shares no pixel of the real picture with the other slides."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tasks import rng
from tasks.acquire import pictures, quilt, tissue
from tasks.acquire import slides as scanner
from tasks.acquire.params import SlidesParams
from tasks.errors import ParamsError
from tasks.params import load

PROJECT = Path(__file__).parents[3]
Banks = tuple[quilt.Bank, ...]


def banks(params: SlidesParams, name: str) -> Banks:
    return tissue.exemplars(params, name, rng.generator(params.seed, name, "tissue"))


def seen(pieces: Banks, side: int) -> np.ndarray:
    """Which pixels (y, x) of the picture are in a piece."""
    out = np.zeros(pictures.load("tissue").shape[:2], np.bool_)
    for row, column in np.concatenate([bank.corners for bank in pieces]).tolist():
        out[row : row + side, column : column + side] = True
    return out


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_no_pixel_of_a_held_out_slide_is_in_another_slide(file: str) -> None:
    params = load(PROJECT / file, "acquire.slides", SlidesParams)
    used = {name: seen(banks(params, name), params.patch_px) for name in scanner.items(params)}
    held_out = np.any([used[name] for name in params.held_out], axis=0)
    others = np.any([mask for name, mask in used.items() if name not in params.held_out], axis=0)
    assert not (held_out & others).any()
    # Both have enough to be varied: a piece is under one part in a hundred of the picture.
    assert held_out.mean() > 0.25 and others.mean() > 0.25
    for name, kind in product(("slide1", params.held_out[0]), (0, 1)):
        one = seen(banks(params, name)[kind : kind + 1], params.patch_px)
        assert one.mean() > 0.05, f"less than six pieces of {('tumour', 'stroma')[kind]} in {name}"


@pytest.mark.parametrize("name", ["slide1", "slide4"])
def test_the_corners_are_where_the_pieces_are_in_the_picture(name: str) -> None:
    params = load(PROJECT / "params.yaml", "acquire.slides", SlidesParams)
    stains = np.stack(tissue.separate(pictures.load("tissue")), axis=-1)
    for bank in banks(params, name):
        for piece, (row, column) in zip(bank.pieces[::25], bank.corners[::25].tolist(), strict=True):
            there = stains[row : row + params.patch_px, column : column + params.patch_px]
            turned = [np.rot90(there, k) for k in range(4)]
            assert any(np.array_equal(piece, t) or np.array_equal(piece, t[:, ::-1]) for t in turned)


@pytest.mark.parametrize(("name", "part"), [("slide1", "training"), ("slide3", "held_out")])
def test_a_slide_is_the_same_whatever_the_rest_of_the_picture_shows(
    slides: SlidesParams, monkeypatch: pytest.MonkeyPatch, name: str, part: str
) -> None:
    own = np.concatenate([np.arange(*band) for band in getattr(slides.picture_columns_px, part)])
    params = slides.model_copy(update={"held_out": ("slide3",), "candidates": 2})
    classes = tissue.regions(params, params.subtypes["solid"], rng.generator(1, name, "test"))
    plain = tissue.paint(params, name, classes)
    picture = pictures.load("tissue")
    other = np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)
    other[:, own] = picture[:, own]
    monkeypatch.setattr(pictures, "load", lambda _: other)
    np.testing.assert_array_equal(tissue.paint(params, name, classes), plain)
    changed = other.copy()
    changed[:, own] = changed[::-1, own]
    monkeypatch.setattr(pictures, "load", lambda _: changed)
    assert (tissue.paint(params, name, classes) != plain).any()


def test_every_class_looks_like_itself_in_the_held_out_slide_too(slides: SlidesParams) -> None:
    """Tumour is darker and bluer than stroma and necrosis redder than tumour, whichever part the texture is of."""
    params = slides.model_copy(update={"held_out": ("slide3",), "stain_spread": 0.0})
    classes = tissue.regions(params, params.subtypes["solid"], rng.generator(1, "slide1", "test"))
    for name in ("slide1", "slide3"):
        shown = tissue.display(tissue.paint(params, name, classes))
        glass, tumour, stroma, necrosis = (shown[:, classes == k].mean(axis=1) for k in range(1, 5))
        assert glass.min() > 0.9
        assert tumour.sum() < stroma.sum() - 0.2
        assert tumour[2] - tumour[0] > max(stroma[2] - stroma[0], necrosis[2] - necrosis[0]) + 0.05


def test_a_part_without_stroma_is_refused(slides: SlidesParams) -> None:
    parts = slides.picture_columns_px.model_copy(update={"training": ((0, 70), (70, 140))})
    params = slides.model_copy(update={"picture_columns_px": parts})
    with pytest.raises(ParamsError, match="no piece of stroma of 48 px in columns 0 to 70 and 70 to 140"):
        banks(params, "slide1")
