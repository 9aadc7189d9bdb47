"""Params: one section of params.yaml a stage, one frozen model a section, no defaults in code.

A model subclasses `Params`, gives every field a type and no default, and carries units in the names
(`sigma_px`, `exposure_s`). Unknown keys are refused. A flow loads only its own section, so that DVC's
bookkeeping of "which stage depends on which key" stays true.
"""

import reprlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import ParamsError, fault


class Params(BaseModel):
    """Base of every params model: frozen, unknown keys refused, NaN and infinity refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=Params)


def parse(model: type[P], values: Any, where: str | Path) -> P:
    """Parse `values` into `model`; `ParamsError` names the first key that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or model.__name__
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        wrong = f"{name}: {first['msg'].lower()}, got {reprlib.repr(first['input'])}{more}"
        known = ", ".join(model.model_fields)
        raise ParamsError(fault(where, wrong, f"the keys {known}", "mend that key")) from None


def section(path: Path, name: str) -> Any:
    """The raw section `name` (dots descend) of the YAML file at `path`. Raises `ParamsError`."""
    try:
        node: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(fault(path, "not there", "a params file", "name one with --params")) from None
    except OSError as error:
        raise ParamsError(fault(path, str(error.strerror).lower(), "a params file", "name one with --params")) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(fault(path, " ".join(str(error).split()), "valid YAML", "mend the file")) from None
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            known = f"one of {', '.join(map(str, node))}" if isinstance(node, dict) else "rawmill's sections"
            remedy = "start from a copy of rawmill's params.yaml, or name another file with --params"
            raise ParamsError(fault(path, f"has no section {name!r}", known, remedy))
        node = node[part]
    return node


def load(path: Path, name: str, model: type[P]) -> P:
    """Section `name` of the YAML file at `path` as a frozen `model`. Raises `ParamsError`."""
    return parse(model, section(path, name), f"{path}#{name}")
