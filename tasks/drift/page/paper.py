"""Published figures that stand beside ours, for the reader alone: other data, networks and training lengths.

M. Aversa, "Integration of physical prior knowledge in machine learning imaging workflows", PhD thesis, Glasgow 2024
(thesis A): section 3.3.1 with figures 3.5 and 3.6, over five folds; table 3.5, over three folds and training steps.
"""

from typing import Any

Pair = tuple[float, float]
"""Mean and standard deviation."""

REFERENCES: dict[str, dict[str, Any]] = {
    "raw-microscopy": {
        "dataset": "Raw-Microscopy",
        "metric": "accuracy",
        "severity": 3,
        "same": 0.82,
        "data_models": 0.80,
        "corruptions": 0.55,
        "ratio": "more than thirteen times",
        "shared": "none of the top three",
        "optimisation": {
            "learned (low)": (0.75, 0.09),
            "frozen (low)": (0.54, 0.21),
            "learned (high)": (0.78, 0.08),
            "frozen (high)": (0.67, 0.14),
            "direct": (0.75, 0.07),
        },
    },
    "raw-drone": {
        "dataset": "Raw-Drone",
        "metric": "IoU",
        "severity": 3,
        "same": 0.71,
        "data_models": 0.65,
        "corruptions": 0.49,
        "ratio": "more than four times",
        "shared": "one of the top three (bi,s,ga)",
        "optimisation": {
            "learned (low)": (0.59, 0.05),
            "frozen (low)": (0.59, 0.05),
            "learned (high)": (0.74, 0.04),
            "frozen (high)": (0.71, 0.05),
            "direct": (0.60, 0.07),
        },
    },
}


def published(reference: str | None, setting: str, intensity: str) -> Pair | None:
    """Of table 3.5, what was published for a setting; the direct one has no intensity there."""
    if reference is None:
        return None
    table: dict[str, Pair] = REFERENCES[reference]["optimisation"]
    return table.get(setting if setting == "direct" else f"{setting} ({intensity})")
