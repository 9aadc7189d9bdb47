"""Section: what a drift of the camera does to the task models. Findings and the matrix; the rest is on its own page."""

from typing import Any

from tasks.report.inputs import Inputs, Section, read_json, read_picture

MATRIX = "synthesis-matrix.png"


def build(inputs: Inputs) -> Section:
    """Of each task of the params the findings of its drift report and the matrix of drift synthesis."""
    pictures: dict[str, bytes] = {}
    return Section({"tasks": [task(inputs, name, pictures) for name in inputs.params.drift]}, pictures)


def task(inputs: Inputs, name: str, pictures: dict[str, bytes]) -> dict[str, Any]:
    """One task; adds its matrix to `pictures`."""
    place, file = inputs.path(f"drift/{name}"), f"drift-{name}.png"
    pictures[file] = read_picture(place / "pictures" / MATRIX)
    findings = read_json(place / "summary.json")["findings"]
    page = (place / "index.html").relative_to(place.parents[3]).as_posix()
    heading = inputs.recipe(f"drift/{name}")["params"]["heading"]
    return {"heading": heading, "findings": findings, "picture": file, "page": page}
