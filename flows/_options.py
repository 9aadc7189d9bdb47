"""Options that several commands of `rawmill` share, and how a result is shown."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tasks.contracts import Record
    from tasks.output import Job, Step

HERE = Path(__file__).resolve().parent

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="YAML file with the sections; ./params.yaml, else rawmill's own.")
]
Out = Annotated[Path, typer.Option("--out", help="The store to make; it must not exist, or be one of rawmill's.")]
Calibration = Annotated[
    Path | None, typer.Option(help="JSON with pattern, black level, … for mosaics that cannot carry them.")
]
Data = Annotated[Path, typer.Option(help="Folder that holds the outputs.")]


def params_file(given: Path | None) -> Path:
    """The YAML file that was named, or the one here, or the one that rawmill ships."""
    shipped = [HERE / "params.yaml", HERE.parent / "params.yaml"]  # in a wheel; in a checkout
    return given or next(file for file in [Path("params.yaml"), *shipped] if file.is_file())


def show(result: dict[str, Any], as_json: bool) -> None:
    """A result on stdout: JSON for scripts, else one `key  value` line each."""
    if as_json:
        print(json.dumps(result, indent=2, sort_keys=True))
    else:
        width = max(map(len, result), default=0)
        print("\n".join(f"{key:<{width}}  {value}" for key, value in result.items()))


def make(step: "Step", make_job: Callable[[], "Job"], as_json: bool) -> "Record":
    """Carry a step out here and show what came of it."""
    from flows._local import carry_out

    began = time.monotonic()
    record = carry_out(step, make_job)
    facts = {"path": str(record.path), "root": record.root, "recipe": record.recipe}
    show({**facts, "seconds": round(time.monotonic() - began, 2), **record.metrics}, as_json)
    return record
