"""Numbers and names as people read them."""

from collections.abc import Mapping

WRITTEN = {
    "frechet": "Fréchet",
    "iou": "IoU",
    "dice": "Dice",
    "f1": "F1",
    "f1_mean": "F1, mean of classes",
    "iou_tile_mean": "IoU, mean of tiles",
    "dice_tile_mean": "Dice, mean of tiles",
    "accuracy_of_majority": "accuracy of one answer to all",
    "iou_tile_mean_of_nothing": "IoU, mean of tiles, of predicting nothing",
    "iou_of_everywhere": "IoU of everywhere",
}
"""Identifiers that read better otherwise."""


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(estimate: Mapping[str, float | None], digits: int = 2) -> str:
    """`[low, high]`, or nothing where it is not defined."""
    low, high = estimate["low"], estimate["high"]
    return "" if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def percent(value: float) -> str:
    """A fraction in percent, without digits that say nothing."""
    return f"{100 * value:.0f} %" if value >= 0.1 or value == 0 else f"{100 * value:.1f} %"


def words(name: str) -> str:
    """An identifier as words."""
    return WRITTEN.get(name, name.replace("_", " "))
