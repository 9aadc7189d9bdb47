"""Section: what was learnt. Task models with their tables and figures, and the models behind the synthesis."""

from collections.abc import Mapping
from typing import Any

from tasks.errors import InputError, fault
from tasks.report import instruments
from tasks.report.inputs import Inputs, Section, read_json, read_picture

TASKS = ("microscopy", "drone")
FIGURES = {"microscopy": ("confusion", "curves"), "drone": ("overlays", "curves")}
HEADINGS = {"microscopy": "Blood cells: which of the classes?", "drone": "Drone frames: where are the cars?"}


def build(inputs: Inputs) -> Section:
    """Each task model's numbers on held-out groups, per class, and its figures; the models of the synthesis."""
    pictures: dict[str, bytes] = {}
    tasks = [task(inputs, name, pictures) for name in TASKS]
    return Section({"tasks": tasks, "instruments": instruments.build(inputs, pictures)}, pictures)


def task(inputs: Inputs, name: str, pictures: dict[str, bytes]) -> dict[str, Any]:
    """One task model; adds its figures to `pictures`."""
    place = inputs.path(f"models/{name}")
    found = read_json(place / "metrics.json")
    files = [f"learn-{name}-{figure}.png" for figure in FIGURES[name]]
    for file, figure in zip(files, FIGURES[name], strict=True):
        pictures[file] = read_picture(place / "figures" / f"{figure}.png")
    params = inputs.recipe(f"models/{name}")["params"]
    return {
        "name": name,
        "heading": HEADINGS[name],
        "task": found["task"],
        "variant": params["variant"],
        "main": found["main"],
        "trivial": trivial(found),
        "confidence": found["confidence"],
        "roles": found["roles"],
        "rules": found["rules"],
        "classes": found["classes"],
        "pictures": files,
    }


def trivial(found: Mapping[str, Any]) -> float:
    """What the main metric is, on the test groups, for an answer that looks at nothing: `accuracy_of_majority` or
    `iou_of_everywhere`. Raises `InputError` where the model does not tell."""
    summary = found["roles"]["test"]["summary"]
    names = sorted(name for name in summary if name.startswith(f"{found['main']}_of_"))
    if not names:
        wrong = f"no baseline of {found['main']}"
        raise InputError(fault("metrics.json", wrong, "one such as accuracy_of_majority", "learn it again"))
    return float(summary[names[0]]["mean"])
