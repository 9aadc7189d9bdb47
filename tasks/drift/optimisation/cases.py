"""What is trained: settings at intensities, one item a fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pandas as pd

from tasks.drift.params import OptimisationParams
from tasks.errors import InputError, ParamsError, fault
from tasks.learn import data

Setting = Literal["learned", "frozen", "direct"]
SETTINGS: tuple[Setting, ...] = ("learned", "frozen", "direct")
NETWORK_SIDES_PX, NETWORK_LEAST_PX = 16, 32
"""Sides of what a segmenter takes are multiples of the one (see tasks.learn.networks.build) and not below the other:
its instance norm needs more than one place at the coarsest level."""


@dataclass(frozen=True)
class Case:
    """A `setting` at the intensity of that name."""

    setting: Setting
    intensity: str

    @property
    def row(self) -> str:
        return f"{self.setting}-{self.intensity}"

    def item(self, fold: int) -> str:
        return f"{self.row}/fold{fold}"

    @classmethod
    def of(cls, item: str) -> tuple[Self, int]:
        """The case and fold of an item."""
        row, _, fold = item.rpartition("/fold")
        setting, _, intensity = row.partition("-")
        return cls(next(s for s in SETTINGS if s == setting), intensity), int(fold)


def cases_of(params: OptimisationParams) -> tuple[Case, ...]:
    """All cases, in the order of the intensities and of `SETTINGS`.

    Raises `ParamsError` where `raw_intensities` names none of the intensities.
    """
    unknown = sorted(set(params.raw_intensities) - set(params.intensities))
    if unknown:
        known = f"some of {', '.join(params.intensities)}"
        raise ParamsError(fault("raw_intensities", unknown[0], known, "mend the params"))
    where = {
        "learned": tuple(params.intensities),
        "frozen": tuple(params.intensities),
        "direct": params.raw_intensities,
    }
    return tuple(Case(s, name) for name in params.intensities for s in SETTINGS if name in where[s])


def tables_of(raw: Path, params: OptimisationParams) -> dict[str, pd.DataFrame]:
    """The labelled tiles of the raw store at each intensity, by its name; sorted by tile id.

    Raises `ParamsError` where the store has no tile of an intensity, `InputError` for tiles that cannot be learnt
    from and where intensities have different folds.
    """
    table = data.read_table(raw, params)
    there = sorted({float(exposure) for exposure in table["intensity"]})
    found = {}
    for name, exposure in params.intensities.items():
        if exposure not in there:
            wrong = f"no labelled tile of intensity {name}, {exposure}"
            known = f"one of {', '.join(map(str, there))}"
            raise ParamsError(fault(raw / "tiles.parquet", wrong, known, "mend intensities in the params"))
        found[name] = table[table["intensity"] == exposure].reset_index(drop=True)
        data.check_classes(raw / "tiles.parquet", found[name], params, f" at intensity {exposure}")
    if len({data.folds_of(own) for own in found.values()}) > 1:
        raise InputError(fault(raw, "folds differ between intensities", "the same", "ingest groups at each intensity"))
    return found


def seen_params(params: OptimisationParams, case: Case, tile_px: int) -> OptimisationParams:
    """`params` with the side that the network sees: on raw values half of the window, where that is less than
    `input_px`, for no pixel is invented. Raises `ParamsError` where that is too small for a segmenter."""
    if case.setting != "direct":
        return params
    half = min(params.input_px, (params.window_px or tile_px) // 2)
    if params.task == "segmentation":
        half = half // NETWORK_SIDES_PX * NETWORK_SIDES_PX
        if half < NETWORK_LEAST_PX:
            wrong, expected = f"tiles of {tile_px} px on raw values", f"{2 * NETWORK_LEAST_PX} px or more"
            raise ParamsError(fault("raw_intensities", wrong, expected, "leave it empty or ingest larger tiles"))
    return params.model_copy(update={"input_px": half})
