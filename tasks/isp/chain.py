"""A chain: the operators of one variant in their order, checked once, then a pure function.

In params.yaml a chain is a list of names, or of `{name: {parameter: value}}` where an operator has parameters.
Thesis A, eq. 3.5, is one such list; any order, repetition and addition is another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.errors import ParamsError, fault
from tasks.isp.arrays import Array
from tasks.isp.operator import Operator, Place
from tasks.isp.operators import OPERATORS
from tasks.params import parse


@dataclass(frozen=True)
class Chain:
    """Operators from a mosaic to a view in [0, 1]. Build it by `parse_chain`, which checks the order."""

    operators: tuple[Operator, ...]

    @cached_property
    def halo_px(self) -> int:
        """Pixels consumed on each side by all operators together."""
        return sum(operator.halo_px for operator in self.operators)

    def __call__(self, mosaic: Array, place: Place) -> Array:
        """A normalised `mosaic` (…, y, x), even sides, to its view (…, 3, y, x) less `halo_px` a side."""
        image = mosaic
        for operator in self.operators:
            image = operator.apply(image, place)
            place = place.inside(operator.halo_px)
        return image

    def document(self) -> list[Any]:
        """The chain as plain data, from which `parse_chain` makes it again."""
        steps = ((operator.name, operator.model_dump(mode="json")) for operator in self.operators)
        return [{name: values} if values else name for name, values in steps]


def parse_chain(steps: Any, where: str | Path) -> Chain:
    """The chain that the list `steps` describes. Raises `ParamsError` naming `where` for what cannot be run."""
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise ParamsError(fault(where, f"{steps!r} is no chain", "a list of operators", "write one as in params.yaml"))
    operators = tuple(_operator(step, f"{where}[{number}]") for number, step in enumerate(steps))
    _check_domains(operators, where)
    _check_ranges(operators, where)
    return Chain(operators)


def _operator(step: Any, where: str) -> Operator:
    name, values = _entry(step)
    if name not in OPERATORS:
        raise ParamsError(fault(where, f"no operator {step!r}", f"one of {', '.join(OPERATORS)}", "mend the name"))
    return parse(OPERATORS[name], values, f"{where} {name}")


def _entry(step: Any) -> tuple[Any, Any]:
    if isinstance(step, Mapping) and len(step) == 1:
        return next(iter(step.items()))
    return (step, {}) if isinstance(step, str) else (None, {})


def _check_domains(operators: tuple[Operator, ...], where: str | Path) -> None:
    """Mosaic operators, one demosaicing, RGB operators; and whole quads up to the demosaicing."""
    order = ["mosaic", "demosaic", "rgb"]
    places = [order.index(operator.domain) for operator in operators]
    if places != sorted(places) or places.count(1) != 1:
        wrong = " -> ".join(operator.name for operator in operators)
        raise ParamsError(
            fault(where, wrong, "mosaic operators, one demosaicing, then RGB operators", "mend the order")
        )
    for operator in operators:
        if operator.domain != "rgb" and operator.halo_px % 2:
            raise ValueError(f"{operator.name} breaks the Bayer phase: its halo of {operator.halo_px} px is odd")


def _check_ranges(operators: tuple[Operator, ...], where: str | Path) -> None:
    """[0, 1] where an operator needs it, and at the end, where the view is stored as uint16."""
    unit = False
    for operator in operators:
        if operator.needs_unit_range and not unit:
            raise ParamsError(fault(where, f"{operator.name} may get values outside [0, 1]", "clip before", "add it"))
        unit = operator.gives_unit_range
    if not unit:
        raise ParamsError(fault(where, f"{operators[-1].name} may leave [0, 1]", "clip at the end", "add it"))
