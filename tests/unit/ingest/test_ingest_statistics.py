"""Statistics against NumPy and Python's own integers; the pieces and their order do not count."""

import json
import math
import statistics as oracle

import numpy as np
import pytest

from tasks.ingest import statistics
from tests.makers import rng

CUTS = (slice(0, 7), slice(7, 40), slice(40, 61))


def image(dtype: str, key: int = 1) -> np.ndarray:
    top = {"uint8": 256, "uint16": 65536, "float32": 1000}[dtype]
    return (rng(key).random((3, 61, 83)) * top).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_exact(dtype: str) -> None:
    pixels = image(dtype)
    for plane, channel in zip(pixels, statistics.of(pixels, 0), strict=True):
        values = [int(v) for v in plane.ravel()]
        assert channel == statistics.Channel(
            len(values), min(values), max(values), sum(values), sum(v * v for v in values)
        )
        told = channel.document()
        assert told["mean"] == oracle.mean(values)
        assert told["std"] == pytest.approx(oracle.pstdev(values), rel=1e-15)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
def test_the_largest_values_do_not_overflow(dtype: str, top: int) -> None:
    (channel,) = statistics.of(np.full((1100, 1100), top, dtype), None)
    assert (channel.total, channel.squares) == (top * 1100**2, top**2 * 1100**2)
    assert channel.document()["std"] == 0


def test_floats_agree_with_numpy_and_leave_out_what_is_not_finite() -> None:
    pixels = image("float32")
    pixels[1, 3, 4:9], pixels[1, 0, 0] = np.nan, np.inf
    for plane, told in zip(pixels, statistics.document(statistics.of(pixels, 0)), strict=True):
        good = plane[np.isfinite(plane)].astype(np.float64)
        assert (told["count"], told["min"], told["max"]) == (good.size, good.min(), good.max())
        assert told["mean"] == pytest.approx(good.mean(), rel=1e-12)
        assert told["std"] == pytest.approx(good.std(), rel=1e-9)
        assert told.get("not_finite", 0) == plane.size - good.size
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pieces_in_any_order_are_the_whole(dtype: str) -> None:
    pixels = image(dtype)
    pieces = [statistics.of(pixels[:, cut], 0) for cut in CUTS]
    whole = statistics.document(statistics.of(pixels, 0))
    merged = statistics.merge(pieces)
    assert merged == statistics.merge(pieces[::-1])
    assert statistics.same(statistics.document(merged), whole)
    if dtype != "float32":
        assert merged == statistics.of(pixels, 0)


def test_order_of_floats_that_cancel_does_not_matter() -> None:
    parts = [statistics.of(np.array([v], np.float32), None) for v in (1e8, 1.25, -1e8, 3e-7, 7.0)]
    found = {statistics.merge([*parts[k:], *parts[:k]]) for k in range(5)}
    assert len(found) == 1
    assert next(iter(found))[0].total == math.fsum(np.array([1e8, 1.25, -1e8, 3e-7, 7.0], np.float32).tolist())


def test_windows_of_single_channels_make_the_image() -> None:
    pixels = image("uint16").reshape(3, 61, 83)[None].repeat(2, axis=0)
    pixels[1] //= 3
    full = (slice(0, 61), slice(0, 83))
    windows = [(slice(t, t + 1), slice(c, c + 1), *full) for c in (2, 0, 1) for t in (0, 1)]
    pieces = [statistics.of_window(pixels[w], "tcyx", w) for w in windows]
    there_and_back = [statistics.from_plain(json.loads(json.dumps(statistics.plain(p)))) for p in pieces]
    assert statistics.gathered(there_and_back) == statistics.of(pixels, 1)
    flat = statistics.of_window(pixels[0, 0], "yx", full)
    assert statistics.gathered([flat]) == statistics.of(pixels[0, 0], None)


def test_other_dtypes_are_refused_and_nothing_has_no_mean() -> None:
    with pytest.raises(TypeError, match="int64"):
        statistics.of(np.zeros((2, 2), np.int64), None)
    (empty,) = statistics.of(np.zeros((0, 4), np.uint8), None)
    assert empty.document() == {"count": 0, "min": None, "max": None, "mean": None, "std": None}


def test_documents_that_differ_are_told_apart() -> None:
    told = statistics.document(statistics.of(image("uint8"), 0))
    for key, value in (("count", 1), ("min", 1), ("mean", told[0]["mean"] + 1e-6), ("max", float(told[0]["max"]))):
        assert not statistics.same(told, [{**told[0], key: value}, *told[1:]])
    assert statistics.same(told, json.loads(json.dumps(told)))
