"""Made-up documents of the drift controls, sealed as outputs: what the drift report is drawn from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.drift.page.parts import DOCUMENTS
from tasks.lineage.digest import pretty
from tests.lineage_chain import seal
from tests.makers import write_png

MODELS = tuple(f"{d},{s},{n}" for d in ("bi", "ma", "me") for s in "su" for n in ("me", "ga"))
CORRUPTIONS = ("identity", "gaussian_noise", "contrast")
FIGURES = {
    "synthesis": ("matrix", "drops", "worst-data-models"),
    "given": ("matrix",),
    "forensics": ("metric_over_lambda", "ranges", "samples"),
    "optimisation": ("curves", "processed-low"),
}


def cell(mean: float | None, half: float | None = 0.01, n: int = 3) -> dict[str, float | None]:
    """A mean with an interval of `half` to each side; None for either leaves it undefined."""
    if mean is None or half is None:
        return {"mean": mean, "sd": None, "low": None, "high": None, "n": n}
    return {"mean": mean, "sd": half / 2, "low": mean - half, "high": mean + half, "n": n}


def _rank(order: tuple[str, ...], n: int = 3) -> list[dict[str, Any]]:
    return [
        {"rank": k + 1, "data_model": name, **cell(0.8 - 0.01 * k, n=n), "best_share": 0.5 if k == 0 else 0.0}
        for k, name in enumerate(order)
    ]


def _star(train: str, told: bool) -> dict[str, Any]:
    difference = cell(0.05, 0.01 if told else 0.1)
    return {"train": train, "runner_up": MODELS[-1], "difference": difference, "best_share": 0.9, "told_apart": told}


def synthesis(drop: float = 0.02, half: float = 0.01, noise: float = 0.4) -> dict[str, Any]:
    """Of twelve models at 0.8 at home: `drop` less under the other data models, `noise` under noise, 0.8 else."""
    rows = [[cell(0.8 if i == j else 0.8 - drop, half) for j in range(len(MODELS))] for i in range(len(MODELS))]
    corrupted = [[cell(0.8), cell(noise), cell(0.8, 0.05)] for _ in MODELS]
    severities = {"3": corrupted, "5": corrupted}
    drops = {"same": cell(0.8), "other": cell(0.8 - drop), "drop": cell(drop, half)}
    order = {name: list(MODELS) for name in CORRUPTIONS}
    stars = {name: _star(MODELS[0], name == CORRUPTIONS[1]) for name in CORRUPTIONS}
    return {
        "task": "classification",
        "main": "accuracy",
        "confidence": 0.95,
        "seed": 43,
        "folds": [0, 1, 2],
        "groups": 6,
        "tiles": 108,
        "chance": 0.25,
        "rows": list(MODELS),
        "data_models": list(MODELS),
        "corruptions": list(CORRUPTIONS),
        "severities": [3, 5],
        "shown_severity": 3,
        "matrix": rows,
        "corrupted": severities,
        "test": {"matrix": [[cell(0.7, None, 1) for _ in MODELS] for _ in MODELS], "groups": 1, "tiles": 18},
        "rankings": {
            "data_models": _rank(MODELS),
            "corruptions": {"3": _rank(MODELS[::-1]), "5": _rank(MODELS)},
            "columns": {
                "data_models": {test: list(MODELS) for test in MODELS},
                "corruptions": {"3": order, "5": order},
            },
        },
        "stars": {
            "data_models": {test: _star(MODELS[1], test == MODELS[4]) for test in MODELS},
            "corruptions": {"3": stars, "5": stars},
        },
        "worst": {
            "data_models": {"train": MODELS[0], "test": MODELS[4], "tile": "smear1-BAS-0", "drop": 0.1},
            "corruptions": {
                "train": MODELS[0],
                "test": "gaussian_noise",
                "severity": 3,
                "tile": "smear1-BAS-0",
                "drop": 0.4,
            },
        },
        "drops": {
            "data_models": drops,
            "corruptions": {s: {"same": cell(0.8), "other": cell(0.6), "drop": cell(0.2)} for s in ("3", "5")},
            "ratio": {"3": {"value": 10.0, "low": 5.0, "high": 20.0}, "5": {"value": None, "low": None, "high": None}},
            "top3_shared": {"3": [], "5": [MODELS[0]]},
        },
        "notes": ["Counts of <tiles> & groups."],
    }


def given() -> dict[str, Any]:
    """Of one model: 0.9 under the first data model, 0.6 under the fifth, 0.88 under the others; noise harms it."""
    whole = synthesis()
    row = [cell({0: 0.9, 4: 0.6}.get(k, 0.88), 0.05, 6) for k in range(len(MODELS))]
    corrupted = [cell(0.9, 0.05, 6), cell(0.5, 0.05, 6), cell(0.88, 0.05, 6)]
    costs = {"same": cell(0.9, 0.05, 6), "other": cell(0.7, 0.05, 6), "drop": cell(0.2, 0.05, 6)}
    drops = {"data_models": costs, "corruptions": {"3": costs, "5": costs}, "ratio": whole["drops"]["ratio"]}
    return {
        **whole,
        "folds": [],
        "rows": ["given"],
        "matrix": [row],
        "corrupted": {"3": [corrupted], "5": [corrupted]},
        "test": None,
        "rankings": None,
        "stars": None,
        "worst": {"data_models": None, "corruptions": None},
        "drops": {**drops, "top3_shared": None},
    }


def _group(radius: float, unbounded: bool, supported: bool = True, parameters: int = 0) -> dict[str, Any]:
    names = ("red", "green", "blue")[:parameters]
    return {
        "unit": "relative gain",
        "scale": [1.0],
        "initial": [1.0],
        "low": [1 - radius],
        "high": [1 + radius],
        "radius": radius,
        "at_limit": {"metric": cell(0.76), "loss": {"value": 0.04, "low": 0.03, "high": 0.05}},
        "confirmed": radius > 0,
        "shrunk": not supported,
        "supported": supported,
        "unbounded": unbounded,
        "parameters": [
            {"name": n, "initial": 1.0, "low": 1 - radius, "high": 1 + radius, "confirmed": True} for n in names
        ],
    }


def forensics() -> dict[str, Any]:
    """White balance breaks the model, gamma has no limit, blur's range is not supported, sharpening has
    none."""
    sweep = [
        {
            "group": group,
            "lambda": weight,
            "metric": cell(0.8 - loss * (weight == 0)),
            "l2": cell(1e-5),
            "loss": {"value": lost, "low": lost - 0.02, "high": lost + 0.02},
            "epochs": 10,
        }
        for group, loss in (("white_balance", 0.4), ("sharpening", 0.0), ("blur", 0.0), ("gamma", 0.0), ("all", 0.5))
        for weight, lost in ((0.0, loss), (10.0, 0.0))
    ]
    return {
        "task": "classification",
        "main": "accuracy",
        "confidence": 0.95,
        "data_model": "bi,s,ga",
        "row": "bi,s,ga",
        "seed": 44,
        "loss_stated": 0.05,
        "members": ["fold0", "fold1", "fold2"],
        "base": {"search": cell(0.9), "confirm": cell(0.8), "unseen": cell(0.8)},
        "sweep": sweep,
        "confirm_groups": 4,
        "groups": {
            "white_balance": _group(0.1, False, parameters=3),
            "gamma": _group(1.0, True, parameters=1),
            "blur": _group(0.5, False, supported=False),
            "sharpening": _group(0.0, False, supported=False),
        },
        "notes": ["The norm is the mean square of differences."],
    }


def _difference(intensity: str, more: str, on: str, value: dict[str, float | None], told: bool) -> dict[str, Any]:
    found = {"intensity": intensity, "what": f"learned - frozen{more}", "on": on, "groups": 3 if on != "test" else 2}
    return {**found, "value": value, "told_apart": told}


def optimisation() -> dict[str, Any]:
    """Learned gains at low intensity, nothing is told apart at high."""
    curve = [{"epoch": k, "step": 3 * k, **cell(0.5 + 0.1 * k)} for k in (1, 2, 3)]
    settings = [
        {
            "setting": setting,
            "intensity": intensity,
            "exposure": exposure,
            "curve": curve,
            "sd_over_points_and_folds": 0.08,
            "average": cell(0.7),
            "final": cell(0.8),
            "test": cell(0.75),
        }
        for intensity, exposure in (("low", 0.001), ("high", 1.0))
        for setting in ("learned", "frozen")
    ]
    return {
        "task": "classification",
        "main": "accuracy",
        "confidence": 0.95,
        "seed": 45,
        "folds": [0, 1, 2],
        "settings": [*settings, {**settings[-1], "setting": "direct"}],
        "differences": [
            _difference("low", "", "average", cell(0.1, 0.05), True),
            _difference("low", ", test tiles", "test", cell(0.02, 0.05), False),
            _difference("high", "", "average", cell(0.01, 0.05), False),
        ],
        "theta": {"low": {"gamma": [2.3]}, "high": {"gamma": [2.2]}},
        "notes": [],
    }


ALL = {"synthesis": synthesis, "given": given, "forensics": forensics, "optimisation": optimisation}


def write(folder: Path, part: str, document: Mapping[str, Any]) -> Path:
    """`document` with small figures as a sealed output at `folder/<part>`."""

    def fill(content: Path) -> None:
        (content / DOCUMENTS[part]).write_bytes(pretty(document))
        (content / "figures").mkdir()
        for k, name in enumerate(FIGURES[part]):
            write_png(content / "figures" / f"{name}.png", np.full((8, 24, 3), 40 * k, np.uint8))

    out = folder / part
    seal(out, part, [], {}, fill)
    return out


def write_all(folder: Path) -> dict[str, Path]:
    """All parts as outputs below `folder`."""
    return {part: write(folder, part, make()) for part, make in ALL.items()}
