"""What the items of the stage share: params, task, tiles of one intensity, and which of them each member has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks import output
from tasks.drift import models, mosaics
from tasks.drift.forensics.measure import Bench, Judge, bench, chosen
from tasks.drift.params import ForensicsParams
from tasks.errors import ParamsError, fault
from tasks.isp.parametrised import Parametrised, static
from tasks.learn.data import read_table
from tasks.learn.determinism import device_of
from tasks.learn.params import TaskParams
from tasks.output import Job
from tasks.params import parse

ALL = "all"
"""Stands where a group's name would: all of theta jointly."""
PARTS = ("search", "cut", "confirm", "unseen")
"""Of a member's tiles: searched with; what its ranges are cut and confirmed on; and the last two together."""


def tiles_of(raw: Path, task: TaskParams, params: ForensicsParams) -> pd.DataFrame:
    """The labelled tiles of the params' intensity. Raises `ParamsError` where there is none."""
    table = read_table(raw, task)
    own: pd.DataFrame = table[table["intensity"] == params.intensity].reset_index(drop=True)
    if own.empty:
        wrong = f"no tile of intensity {params.intensity:g}"
        known = f"one of {', '.join(f'{v:g}' for v in sorted(set(table['intensity'])))}"
        raise ParamsError(fault(raw / "tiles.parquet", wrong, known, "mend intensity in the params"))
    return own


@dataclass(frozen=True)
class Opened:
    """What every item needs; `rows` by member and part, those of `search` cut to the params' number."""

    params: ForensicsParams
    folder: Path
    row: str
    task: TaskParams
    tiles: mosaics.Mosaics
    rows: Mapping[str, models.TaskPart]

    def model(self) -> Parametrised:
        """A new data model at theta-stat, on the task model's device."""
        return static(self.tiles.calibration, self.params.channels).to(device_of(self.task.device))

    def judge(self) -> Judge:
        return Judge(self.task, self.params.confidence)

    def bench(self, part: str, members: Sequence[str]) -> Bench:
        """The members' networks on their tiles of `part`."""
        networks = {member: models.read_network(self.folder, self.row, member) for member in members}
        rows = {member: self.rows[member][part] for member in members}
        return bench(self.task, self.tiles, self.model(), networks, rows)


def opened(job: Job) -> Opened:
    """The inputs of `job`, checked against its plan."""
    row = str(job.plan["notes"]["row"])
    params = parse(ForensicsParams, job.plan["params"], job.out)
    paths = output.inputs(job)
    task = models.read_task(paths["models"])
    table = tiles_of(paths["raw"], task, params)
    tiles = mosaics.load(paths["raw"], table, task)
    rows = {}
    for member in models.members(paths["models"], row):
        found = models.searched_rows(table, member)
        rows[member] = {
            **found,
            "search": chosen(table, tiles.truth, found["search"], params.search_tiles, params.seed),
            "unseen": sorted([*found["cut"], *found["confirm"]]),
        }
    return Opened(params, paths["models"], row, task, tiles, rows)
