"""Whether the data model that task models were trained on is theta-stat, where the search begins."""

from pathlib import Path
from typing import Any

from tasks.drift.synthesis.inputs import VIEWS
from tasks.errors import LineageError, ParamsError, fault
from tasks.isp.parametrised import GAMMA, SIGMA_PX, TRUNCATE
from tasks.lineage import recipe
from tasks.lineage.places import resolve


def theta_stat(channels: str) -> list[Any]:
    """Operators, as a variant store's recipe has them, of the one static data model that the parametrised one equals
    (thesis A, eq. 3.21)."""
    own = {"channels": channels}
    blur = {"gaussian": {"sigma_px": SIGMA_PX, "truncate": TRUNCATE, **own}}
    colours = ["black_level", "bilinear", "white_balance", "colour_matrix"]
    steps: list[Any] = [*colours, {"sharpening_filter": own}, blur, "clip", {"gamma": {"gamma": GAMMA}}]
    return steps


def check_home(folder: Path, data_model: str, channels: str) -> None:
    """Read from the recipes what the task models `folder` (of drift synthesis) saw under `data_model`.

    Raises `ParamsError` unless it is theta-stat with `channels`, `LineageError` where its views are gone or others.
    """
    found, wanted = _operators(folder, data_model), theta_stat(channels)
    if found == wanted:
        return
    other = next((step for step in found if step not in wanted), found)
    wrong = f"{data_model} is not theta-stat: {other}"
    remedy = "name bi,s,ga as data_model, and its channels"
    raise ParamsError(fault(folder, wrong, f"operators {wanted}", remedy))


def _operators(folder: Path, data_model: str) -> Any:
    made = recipe.read(folder)
    entries = [entry for entry in made["inputs"] if entry["role"] == f"{VIEWS}{data_model}"]
    if not entries:
        wrong = f"trained on no views of {data_model}"
        raise LineageError(fault(folder, wrong, "an output of drift synthesis", "name that output"))
    views = resolve(folder, entries[0])
    developed = recipe.read(views)
    if (digest := recipe.digest_of(developed)) != entries[0]["recipe"]:
        raise LineageError(fault(views, f"recipe {digest}", entries[0]["recipe"], recipe.mend(made)))
    return developed["params"]["operators"]
