"""A user's own raw store and network: which task it is, which classes, and the params of all drift controls for it."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args

import pandas as pd
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from tasks import store
from tasks.drift import mosaics
from tasks.drift.page.params import DriftReportParams
from tasks.drift.page.parts import read_document
from tasks.drift.page.verdict import figure
from tasks.drift.params import (
    Above,
    ForensicsParams,
    OptimisationParams,
    ScoringParams,
    SettingsParams,
    Share,
    SynthesisParams,
)
from tasks.errors import InputError, ParamsError, fault
from tasks.learn.data import read_table
from tasks.learn.determinism import one_thread
from tasks.learn.networks import build
from tasks.learn.params import ArchitectureParams, AugmentParams, LossParams, Positive, TaskParams, TrainParams
from tasks.params import Params, parse

Task = Literal["classification", "segmentation"]
BACKGROUND = "background"
UNET_SIDES_PX = 16
"""Sides of the views of rawmill's own segmenter are multiples of this (see tasks.learn.networks.build)."""
BUILT_IN = {"resnet18": "inplanes", "unet_plus_plus": "features"}
ARCHITECTURE = TypeAdapter[ArchitectureParams](ArchitectureParams)
IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
TAKEN = ("tasks", "flows")
"""rawmill's own packages, which hide a user's of the same name."""
NEEDED = {"classification": ("label", "labels"), "segmentation": ("mask", "masks")}  # its column, and many of it
Value = int | float | str | bool


class IngestedParams(Params):
    """Section `drift_files.ingested`: how files that are ingested on the way are split by group; all else is as
    `ingest.files` says."""

    test_groups: Annotated[int, Field(ge=0)]
    folds: Annotated[int, Field(ge=2)]


class LearningParams(Params):
    """What `tasks.learn.params.TaskParams` holds besides the task, its classes and the network."""

    window_px: Positive | None
    input_px: Positive | None
    """Null: the side of the tile or its window, which is then not resized."""
    device: Literal["cpu", "cuda"]
    train: TrainParams
    loss: LossParams
    augment: AugmentParams
    confidence: Share


class OwnSettingsParams(SettingsParams):
    """What `OptimisationParams` holds besides the task model, whose training has its own length here."""

    train: TrainParams


class OwnParams(Params):
    """Section `drift_files.classification` or `.segmentation`: for a task model and data that a user brings."""

    intensity: Above
    """Exposure whose tiles are developed, scored and searched."""
    learning: LearningParams
    scoring: ScoringParams
    forensics: ForensicsParams
    optimisation: OwnSettingsParams
    report: DriftReportParams

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.forensics.intensity != self.intensity:
            raise ValueError("forensics.intensity must be intensity")
        return self

    def task_model(self, options: Mapping[str, Any], tile_px: int) -> TaskParams:
        """The task model as it is adopted, and as it is trained on each data model: `options` are its task, classes
        and architecture, and what else of `learning` is to be otherwise; `tile_px` is the side of the store's tiles.

        Raises `ParamsError` for what cannot be, such as a side that the network does not take.
        """
        values = {**self.learning.model_dump(), **options}
        seen_px = values["window_px"] or tile_px
        model = parse(TaskParams, {**values, "input_px": values["input_px"] or seen_px}, "the options of drift")
        if model.architecture.name == "unet_plus_plus" and model.input_px % UNET_SIDES_PX:
            below = max(model.input_px // UNET_SIDES_PX, 1) * UNET_SIDES_PX
            expected = f"a multiple of {UNET_SIDES_PX} px for unet_plus_plus"
            raise ParamsError(fault("input_px", f"views of {model.input_px} px", expected, f"give --input-px {below}"))
        return model

    def intensities(self, train: bool) -> tuple[float, ...]:
        """Those at which a camera's parameters are started from: of forensics, and of optimisation with `train`."""
        return (self.forensics.intensity, *(self.optimisation.intensities.values() if train else ()))

    def synthesis(self, model: TaskParams) -> SynthesisParams:
        """Of the network trained afresh on each data model."""
        values = {"intensity": self.intensity, "scoring": self.scoring.model_dump()}
        return parse(SynthesisParams, {**model.model_dump(), **values}, "drift_files")

    def scoring_from(self, home: str | None) -> ScoringParams:
        """What a given model is scored on; `home`, from which drops are taken, is the first data model.

        Raises `ParamsError` where it is none of them.
        """
        names = self.scoring.data_models
        if home is not None and home not in names:
            raise ParamsError(fault(f"--trained-on {home}", "unknown", " ".join(names), "name one of these"))
        ordered = sorted(names, key=lambda name: name != home)
        return parse(ScoringParams, {**self.scoring.model_dump(), "data_models": ordered}, "drift_files")

    def learned(self, model: TaskParams) -> OptimisationParams:
        """Of the network trained afresh in each setting."""
        return parse(OptimisationParams, {**model.model_dump(), **self.optimisation.model_dump()}, "drift_files")


def task_of(raw: Path, named: str | None) -> Task:
    """The task that is `named`, or what can be learnt from a raw store: a segmentation where tiles have masks, else a
    classification.

    Raises `ParamsError` for another name, `InputError` where tiles have neither, or not what the named task needs.
    """
    if named is not None and named not in get_args(Task):
        raise ParamsError(fault(f"--task {named}", "unknown", " or ".join(get_args(Task)), "name one of these"))
    table = pq.read_table(raw / "tiles.parquet", columns=["mask", "label"]).to_pandas()
    there = [task for task in ("segmentation", "classification") if (table[NEEDED[task][0]] != "").any()]
    if not there:
        remedy = "ingest masks beside the files, or a folder whose manifest.csv has labels"
        raise InputError(fault(raw / "tiles.parquet", "no tile has a label or a mask", "either", remedy))
    if named is not None and named not in there:
        (one, many), where = NEEDED[named], raw / "tiles.parquet"
        remedy = f"leave --task out, or ingest with {many}"
        raise InputError(fault(where, f"no tile has a {one}", f"{many} for --task {named}", remedy))
    return cast(Task, named or there[0])


def classes_of(raw: Path, task: Task) -> tuple[str, ...]:
    """The classes of a raw store in their order; of a segmentation after the background, which is mask value 0."""
    stored = tuple(str(name) for name in store.read_attributes(raw)["classes"])
    return stored if task == "classification" else (BACKGROUND, *stored)


def _labelled(raw: Path, task: Task, intensity: float) -> pd.DataFrame:
    """The tiles of `intensity` that have what `task` needs: a label, or a mask."""
    table: pd.DataFrame = pq.read_table(raw / "tiles.parquet").to_pandas()
    known = table["label" if task == "classification" else "mask"] != ""
    return table[known & (table["intensity"] == intensity)]


def tile_px_of(raw: Path, task: Task, intensity: float) -> int:
    """The side of the smallest labelled tile of `intensity`; stages refuse tiles of several sides without a window.

    Raises `InputError` where there is none.
    """
    sides = _labelled(raw, task, intensity)["height_px"]
    if sides.empty:
        wrong = f"no labelled tile of intensity {intensity:g}"
        raise InputError(fault(raw / "tiles.parquet", wrong, "some", "bring labels or masks, or mend intensity"))
    return int(sides.min())


def camera_fault(raw: Path, model: TaskParams, intensities: Iterable[float]) -> InputError | None:
    """Why the parametrised data model, which is of one camera, cannot stand for the tiles; None where it can."""
    table = read_table(raw, model)
    try:
        for intensity in sorted(set(intensities)):
            mosaics.camera(raw, table[table["intensity"] == intensity])
    except InputError as error:
        return error
    return None


def remarks(model: TaskParams, tile_px: int, parts: Mapping[str, Path]) -> tuple[str, ...]:
    """What a reader of the page must know beside the figures: that views were resized, and that forensics did not
    begin where the given model is at home. `parts` are the outputs by role: given, and forensics where there is one."""
    seen_px = model.window_px or tile_px
    resized = f"views of {seen_px} px are resized to {model.input_px} px"
    told = [] if model.input_px == seen_px else [resized]
    if "forensics" in parts:
        found = {role: read_document(parts[role], role) for role in ("given", "forensics")}
        told += _away_from_home(found["given"], found["forensics"])
    return tuple(told)


def _away_from_home(given: Mapping[str, Any], forensics: Mapping[str, Any]) -> list[str]:
    """Both scores where the search of a given model starts at another data model than its home."""
    start, home = forensics["data_model"], given["data_models"][0]
    if start == home:
        return []
    base, score = figure(forensics["base"]["unseen"]), figure(given["matrix"][0][0])
    there = f"forensics starts at {start}, not at home: {given['main']} {base} there on tiles that no search saw"
    return [f"{there}, {score} at home ({home}) on all tiles"]


def headed(report: DriftReportParams, told: Sequence[str]) -> DriftReportParams:
    """The params of the page, with `told` in its heading."""
    heading = f"{report.heading} ({'; '.join(told)})" if told else report.heading
    return report.model_copy(update={"heading": heading})


def check_groups(raw: Path, task: Task, intensity: float, train: bool) -> None:
    """Raise `InputError` where the labelled tiles of `intensity` cannot be judged: of fewer than two groups, or,
    where networks are to be trained, of fewer than two folds."""
    table = _labelled(raw, task, intensity)
    groups, folds = table["group"].nunique(), table.loc[table["split"] == "train", "fold"].nunique()
    where = raw / "tiles.parquet"
    if groups < 2:
        wrong = f"{groups} groups of labelled tiles of intensity {intensity:g}"
        remedy = "bring files of another smear, frame or slide, or mend intensity in the params"
        raise InputError(fault(where, wrong, "two or more", remedy))
    if train and folds < 2:
        remedy = "ingest with more folds, or leave the training out with --no-train"
        raise InputError(fault(where, f"{folds} folds of labelled training tiles", "two or more", remedy))


def architecture_of(named: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    """A network by its import path MODULE:CALLABLE, or one of rawmill's own by name, with its arguments.

    Raises `ParamsError` for what is neither, and for arguments that rawmill's own do not take.
    """
    if ":" in named:
        values = {key: value_of(text) for key, text in arguments.items()}
        return {"name": "module", "path": _checked(named), "arguments": values}
    if named not in BUILT_IN:
        expected = f"MODULE:CALLABLE such as mypkg.nets:make, or {' or '.join(BUILT_IN)}"
        raise ParamsError(fault(f"--arch {named}", "unknown", expected, "name the callable that makes the network"))
    key = BUILT_IN[named]
    if set(arguments) != {key}:
        raise ParamsError(fault(f"--arch {named}", f"arguments {sorted(arguments)}", f"{key}=8,16,…", "give that one"))
    made = {"name": named, key: [value_of(part) for part in arguments[key].split(",")]}
    try:
        ARCHITECTURE.validate_python(made)
    except ValidationError:
        expected = f"{4 if named == 'resnet18' else 6} whole numbers above 0, with commas between"
        raise ParamsError(fault("--arguments", f"{key}={arguments[key]}", expected, f"mend {key}")) from None
    return made


def _checked(named: str) -> str:
    """`named`, or `ParamsError` unless it is an import path that can be a user's."""
    where, top = f"--arch {named}", re.split(r"[.:]", named)[0]
    if not IMPORT_PATH.fullmatch(named):
        remedy = "write it so, without a folder or .py"
        raise ParamsError(fault(where, "no import path", "MODULE:CALLABLE such as mypkg.nets:make", remedy))
    if top in TAKEN:
        wrong, remedy = f"{top} is a package of rawmill, which hides yours", "rename your package"
        raise ParamsError(fault(where, wrong, f"a package called neither {' nor '.join(TAKEN)}", remedy))
    return named


def try_network(architecture: Mapping[str, Any]) -> None:
    """Build the network once. Raises `ParamsError` where a user's own cannot be had, before any work is done for it."""
    with one_thread():
        build(ARCHITECTURE.validate_python(architecture), 1, 0)


def value_of(text: str) -> Value:
    """A keyword's value: true, false, a whole number, a number, or else the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text  # as a recipe's JSON has no other numbers
    return text
