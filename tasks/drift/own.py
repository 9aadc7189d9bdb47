"""A user's own raw store and network: which task it is, which classes, and the params of all drift controls for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from tasks import store
from tasks.drift.page.params import DriftReportParams
from tasks.drift.params import Above, ForensicsParams, Group, OptimisationParams, ScoringParams, Share, SynthesisParams
from tasks.errors import InputError, ParamsError, fault
from tasks.learn.params import AugmentParams, LossParams, Positive, TaskParams, TrainParams
from tasks.params import Params, parse

Task = Literal["classification", "segmentation"]
BACKGROUND = "background"
BUILT_IN = {"resnet18": "inplanes", "unet_plus_plus": "features"}
Value = int | float | str | bool


class IngestedParams(Params):
    """Section `drift_files.ingested`: how files that are ingested on the way are split by group; all else is as
    `ingest.files` says."""

    test_groups: Annotated[int, Field(ge=0)]
    folds: Annotated[int, Field(ge=2)]


class LearningParams(Params):
    """What `tasks.learn.params.TaskParams` holds besides the task, its classes and the network."""

    window_px: Positive | None
    input_px: Positive
    device: Literal["cpu", "cuda"]
    train: TrainParams
    loss: LossParams
    augment: AugmentParams
    confidence: Share


class SettingsParams(Params):
    """What `OptimisationParams` holds besides the task model, whose training has its own length here."""

    train: TrainParams
    channels: Literal["luma", "yuv", "rgb"]
    intensities: Annotated[dict[str, Above], Field(min_length=1)]
    raw_intensities: tuple[str, ...]
    data_model_learning_rate: Above
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    validate_every_epochs: Positive
    shown_tiles: Positive


class OwnParams(Params):
    """Section `drift_files.classification` or `.segmentation`: for a task model and data that a user brings."""

    intensity: Above
    """Exposure whose tiles are developed, scored and searched."""
    learning: LearningParams
    scoring: ScoringParams
    forensics: ForensicsParams
    optimisation: SettingsParams
    report: DriftReportParams

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.forensics.intensity != self.intensity:
            raise ValueError("forensics.intensity must be intensity")
        return self

    def task_model(self, options: Mapping[str, Any]) -> TaskParams:
        """The task model as it is adopted, and as it is trained on each data model: `options` are its task, classes
        and architecture, and what else of `learning` is to be otherwise."""
        return parse(TaskParams, {**self.learning.model_dump(), **options}, "the options of drift")

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

    Raises `ParamsError` for another name, `InputError` where tiles have neither.
    """
    if named is not None:
        for task in get_args(Task):
            if task == named:
                return cast(Task, task)
        raise ParamsError(fault(f"--task {named}", "unknown", " or ".join(get_args(Task)), "name one of these"))
    table = pq.read_table(raw / "tiles.parquet", columns=["mask", "label"]).to_pandas()
    if (table["mask"] != "").any():
        return "segmentation"
    if (table["label"] != "").any():
        return "classification"
    remedy = "ingest masks beside the files, or a folder whose manifest.csv has labels"
    raise InputError(fault(raw / "tiles.parquet", "no tile has a label or a mask", "either", remedy))


def classes_of(raw: Path, task: Task) -> tuple[str, ...]:
    """The classes of a raw store in their order; of a segmentation after the background, which is mask value 0."""
    stored = tuple(str(name) for name in store.read_attributes(raw)["classes"])
    return stored if task == "classification" else (BACKGROUND, *stored)


def is_store(path: Path) -> bool:
    """Whether `path` is a store of rawmill, and not a folder of files."""
    return (path / "zarr.json").is_file()


def check_groups(raw: Path, intensity: float, train: bool) -> None:
    """Raise `InputError` where the tiles of `intensity` cannot be judged: of fewer than two groups, or, where
    networks are to be trained, of fewer than two folds."""
    table = pq.read_table(raw / "tiles.parquet", columns=["group", "split", "fold", "intensity"]).to_pandas()
    table = table[table["intensity"] == intensity]
    groups, folds = table["group"].nunique(), table.loc[table["split"] == "train", "fold"].nunique()
    where = raw / "tiles.parquet"
    if groups < 2:
        wrong = f"{groups} groups of tiles of intensity {intensity:g}"
        remedy = "bring files of another smear, frame or slide, or mend intensity in the params"
        raise InputError(fault(where, wrong, "two or more", remedy))
    if train and folds < 2:
        remedy = "ingest with more folds, or leave the training out with --no-train"
        raise InputError(fault(where, f"{folds} folds of training tiles", "two or more", remedy))


def architecture_of(named: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    """A network by the import path `package.module:callable`, or one of rawmill's own by name, with its arguments.

    Raises `ParamsError` for a name that is neither.
    """
    if ":" in named:
        return {"name": "module", "path": named, "arguments": {key: value_of(text) for key, text in arguments.items()}}
    if named not in BUILT_IN:
        expected = f"package.module:callable, {' or '.join(BUILT_IN)}"
        raise ParamsError(fault(f"--arch {named}", "unknown", expected, "name the callable that makes the network"))
    if set(arguments) != {BUILT_IN[named]}:
        key = BUILT_IN[named]
        raise ParamsError(fault(f"--arch {named}", f"arguments {sorted(arguments)}", f"{key}=8,16,…", "give that one"))
    key, text = next(iter(arguments.items()))
    return {"name": named, key: [value_of(part) for part in text.split(",")]}


def value_of(text: str) -> Value:
    """A keyword's value: true, false, a whole number, a number, or else the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
