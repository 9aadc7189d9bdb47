"""Common corruptions: what a benchmark does to finished pictures, to compare with what a camera does to raw ones.

The ten of the thesis at five severities, with the constants of ImageNet-C (constants.py has the source). They work on
display values as they are, without rounding to 8 bits.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.drift.corruptions import blur, elastic, light, noise
from tasks.drift.corruptions.constants import SEVERITIES
from tasks.errors import ParamsError, fault
from tasks.learn.determinism import one_thread
from tasks.rng import generator

__all__ = ["IDENTITY", "NAMES", "SEVERITIES", "corrupt"]

Views = NDArray[np.float32]
Corruption = Callable[[Views, int, np.random.Generator], Views]

IDENTITY = "identity"
"""Also taken by `corrupt`, at any severity: the column that the others are compared with."""

_MIN_SIDE_PX = 3

_CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian,
    "shot_noise": noise.shot,
    "impulse_noise": noise.impulse,
    "speckle_noise": noise.speckle,
    "gaussian_blur": blur.gaussian,
    "zoom_blur": blur.zoom,
    "contrast": light.contrast,
    "brightness": light.brightness,
    "saturate": light.saturate,
    "elastic": elastic.transform,
}

NAMES: tuple[str, ...] = tuple(_CORRUPTIONS)
"""The ten, in the thesis's order."""


def _check_choice(name: str, severity: int) -> None:
    """`ParamsError` unless the corruption and its severity exist."""
    if name not in (IDENTITY, *NAMES):
        raise ParamsError(fault("corruption", name, f"one of {', '.join((IDENTITY, *NAMES))}", "correct its name"))
    if severity not in SEVERITIES:
        raise ParamsError(fault(f"severity of {name}", severity, f"one of {SEVERITIES}", "correct the severity"))


def _check_views(views: Views, ids: Sequence[str]) -> None:
    """`ValueError` unless views and ids are what `corrupt` says."""
    if views.ndim != 4 or views.shape[1] != 3 or views.dtype != np.float32 or len(ids) != len(views):
        raise ValueError(f"Expected float32 (n, 3, y, x) and n ids, got {views.dtype} {views.shape} and {len(ids)} ids")
    if min(views.shape[2:]) < _MIN_SIDE_PX:
        raise ValueError(f"Expected sides of at least {_MIN_SIDE_PX} px, got {views.shape[2:]}")
    if views.size and not (views.min() >= 0 and views.max() <= 1):
        raise ValueError("Expected display values in [0, 1], got others or NaN")


def corrupt(name: str, severity: int, views: Views, seed: int, ids: Sequence[str]) -> Views:
    """Corrupted copies of display RGB views (n, 3, y, x), float32 in [0, 1]; same shape and range.

    What is random is drawn from (seed, tile id, name and severity): a tile's result depends on neither its company
    nor its place in the batch. `ParamsError` for an unknown name or severity; `ValueError` for views that are not as
    said, with sides under 3 px, or without an id each. A caller with many batches holds `one_thread()` around them
    all: entering it costs more than many tiles.
    """
    _check_choice(name, severity)
    _check_views(views, ids)
    result = np.empty_like(views, order="C")
    if name == IDENTITY:
        result[:] = views
        return result
    with one_thread():
        # Tile by tile and contiguous: a product over the whole batch would round by the batch's size.
        for tile, out, item in zip(views, result, ids, strict=True):
            corrupted = _CORRUPTIONS[name](
                np.ascontiguousarray(tile), severity, generator(seed, item, f"{name} {severity}")
            )
            np.clip(corrupted, 0, 1, out=out)
    return result
