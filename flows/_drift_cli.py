"""`rawmill drift`: a user's own task model through all drift controls, and `rawmill recommend`."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._options import AsJson, Data, ParamsFile, params_file, show
from tasks.errors import BatchError, ParamsError, fault

if TYPE_CHECKING:
    from tasks.drift.own import OwnParams
    from tasks.drift.params import ScoringParams
    from tasks.learn.params import TaskParams

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill drift --model my.safetensors --arch mypkg.nets:make --data raw.zarr --out drift-report",
        "rawmill drift --model my.safetensors --arch nets:make --arguments width=32 --data scans/ --out d --no-train",
    ]
)
RECOMMEND_EXAMPLES = (
    "Examples:  rawmill recommend --environment bi,u,ga  ·  rawmill recommend --environment camera.yaml"
)
MARKS = {"good": "✓", "fair": "~", "poor": "✗", "plain": "·"}

Model = Annotated[Path, typer.Option(help="The weights, as safetensors; pickled files are not opened.")]
Arch = Annotated[
    str,
    typer.Option(
        metavar="MODULE:CALLABLE",
        help="Import path of what makes the network, looked for here and on PYTHONPATH: it takes views (n, 3, y, x) in"
        " [0, 1] and gives logits (n, classes) or (n, classes, y, x). Or resnet18 or unet_plus_plus, rawmill's own.",
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Keyword for the callable; once for each."),
]
Source = Annotated[
    Path, typer.Option("--data", help="A raw store with labels or masks, or a folder of files to ingest first.")
]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the report and of all that it is made from.")]
Classes = Annotated[
    str | None, typer.Option(metavar="NAME,NAME,…", help="In the order of the outputs; else those of the store.")
]
Task = Annotated[
    str | None, typer.Option(help="classification or segmentation; else the latter where tiles have masks.")
]
Side = Annotated[int | None, typer.Option(min=1, help="Side of the views that the network sees; else of the params.")]
Window = Annotated[int | None, typer.Option(min=1, help="Side of the window of a tile that is seen, then resized.")]
Home = Annotated[
    str | None, typer.Option(help="The data model nearest to what it was trained on; else the first of the params.")
]
Train = Annotated[
    bool, typer.Option("--train/--no-train", help="Also train the network afresh: on each data model, and with it.")
]
Environment = Annotated[
    str, typer.Option(help="A data model's name, or a YAML or JSON file with a chain of operators.")
]


@dataclass(frozen=True)
class Options:
    """What the command line says about the model."""

    arch: str
    arguments: tuple[str, ...]
    classes: str | None
    task: str | None
    input_px: int | None
    window_px: int | None
    trained_on: str | None

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        each = [("arguments", argument) for argument in given.pop("arguments")]
        pairs = [*((name, value) for name, value in given.items() if value is not None), *each]
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in pairs)


@dataclass(frozen=True)
class Run:
    """One call of `rawmill drift`: where things go and what they are made by."""

    file: Path
    out: Path
    raw: Path
    own: "OwnParams"
    task: "TaskParams"
    scoring: "ScoringParams"
    """Of the model that was given."""
    repair: str

    @property
    def views(self) -> dict[str, Path]:
        return {name: self.out / "variants" / f"{name}.zarr" for name in self.own.scoring.data_models}


def drift(
    model: Model,
    arch: Arch,
    data: Source,
    out: Folder,
    arguments: Arguments = None,
    classes: Classes = None,
    task: Task = None,
    input_px: Side = None,
    window_px: Window = None,
    trained_on: Home = None,
    train: Train = True,
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Test your own task model against camera drift, and report what it does not bear.

    Develops the data by every static data model, scores the model on all of them and under common corruptions, and
    searches the camera parameters that break it. With --train the same network is also trained afresh, on each data
    model and together with one. The page is OUT/index.html. What is finished is not made again.

    The section drift_files of the params says the rest: copy params.yaml, change it, and name it with --params.
    """
    from tasks.report.step import INDEX, refuse_foreign_page

    began = time.monotonic()
    refuse_foreign_page(out / INDEX)
    sys.path.append(str(Path.cwd()))  # where `python -m` would look for the user's network
    file = params_file(params)
    raw, bad = raw_store(data, out, file)
    options = Options(arch, tuple(arguments or ()), classes, task, input_px, window_px, trained_on)
    repair = f"rawmill drift --model {model.name} --data {data.name} --out {out.name} {options.text}"
    run = plan(file, out, raw, options, train, repair)
    parts = carry_out_parts(run, model, train)
    report(run, parts, as_json, began)
    if bad is not None:
        raise bad


def raw_store(data: Path, out: Path, file: Path) -> tuple[Path, BatchError | None]:
    """The raw store that `data` is, or that its files become; and which of them were bad."""
    from flows._local import carry_out
    from tasks.drift.own import IngestedParams, is_store
    from tasks.ingest import step
    from tasks.ingest.params import IngestParams
    from tasks.params import load, parse

    if is_store(data):
        return data, None
    section = load(file, "ingest.files", IngestParams).model_dump()
    split = load(file, "drift_files.ingested", IngestedParams).model_dump()
    params = parse(IngestParams, {**section, **split}, file)
    raw, repair = out / "raw.zarr", f"rawmill ingest {data.name} --out raw.zarr"
    try:
        if data.is_dir():
            carry_out(step, lambda: step.prepare(data, raw, params, data.name, repair))
        else:
            carry_out(step, lambda: step.prepare_files([data], raw, params, None, {}))
    except BatchError as error:
        if not error.done:
            raise
        return raw, error
    return raw, None


def network(arch: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The architecture of the task model. Raises `ParamsError`."""
    from tasks.drift.own import architecture_of

    pairs = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not (equals and key.isidentifier()):
            raise ParamsError(fault(f"--arguments {argument}", "no KEY=VALUE", "such as width=32", "write it so"))
        pairs[key] = value
    return architecture_of(arch, pairs)


def plan(file: Path, out: Path, raw: Path, options: Options, train: bool, repair: str) -> Run:
    """What is to be done, from the params, the options and the store. Raises `ParamsError` and `InputError`."""
    from tasks.drift import own
    from tasks.params import load

    kind = own.task_of(raw, options.task)
    section = load(file, f"drift_files.{kind}", own.OwnParams)
    own.check_groups(raw, section.intensity, train)
    named = options.classes and tuple(name.strip() for name in options.classes.split(","))
    fixed = {"task": kind, "classes": named or own.classes_of(raw, kind)}
    sides = {"input_px": options.input_px, "window_px": options.window_px}
    given = {name: side for name, side in sides.items() if side is not None}
    model = section.task_model({**fixed, **given, "architecture": network(options.arch, options.arguments)})
    return Run(file, out, raw, section, model, section.scoring_from(options.trained_on), repair)


def carry_out_parts(run: Run, model: Path, train: bool) -> dict[str, Path]:
    """Make all that the page is drawn from; returns the outputs by their role on it."""
    from flows._local import carry_out
    from tasks.drift import adopt
    from tasks.drift.forensics import step as forensics
    from tasks.drift.models import GIVEN
    from tasks.drift.synthesis import given

    out, own, raw = run.out, run.own, run.raw
    adopted = out / "model"
    carry_out(adopt, lambda: adopt.prepare(model, adopted, run.task, run.repair))
    develop(run)
    parts = {"given": out / "given", "forensics": out / "forensics"}
    carry_out(given, lambda: given.prepare(adopted, raw, run.views, parts["given"], run.scoring, run.repair))
    carry_out(
        forensics,
        lambda: forensics.prepare(adopted, GIVEN, raw, parts["forensics"], own.forensics, run.repair),
    )
    return {**parts, **(trained(run) if train else {})}


def develop(run: Run) -> None:
    """The data by every data model."""
    from flows._local import carry_out
    from tasks.isp import step
    from tasks.isp.params import Common, load_variant
    from tasks.params import load, parse

    values = load(run.file, "develop.common", Common).model_dump() | {"intensities": (run.own.intensity,)}
    common = parse(Common, values, "develop.common")
    for name, place in run.views.items():
        chain, repair = (
            load_variant(run.file, name),
            f"rawmill develop {run.raw.name} --variant {name} --out {place.name}",
        )
        carry_out(step, lambda: step.prepare(run.raw, place, name, chain, common, repair))  # noqa: B023


def trained(run: Run) -> dict[str, Path]:
    """The network trained afresh on each data model, and together with the parametrised one."""
    from flows._local import carry_out
    from tasks.drift.optimisation import step as optimisation
    from tasks.drift.synthesis import step as synthesis

    parts = {name: run.out / name for name in ("synthesis", "optimisation")}
    first, second = run.own.synthesis(run.task), run.own.learned(run.task)
    carry_out(synthesis, lambda: synthesis.prepare(run.raw, run.views, parts["synthesis"], first, run.repair))
    carry_out(optimisation, lambda: optimisation.prepare(run.raw, parts["optimisation"], second, run.repair))
    return parts


def report(run: Run, parts: Mapping[str, Path], as_json: bool, began: float) -> None:
    """Draw the page, put a copy where people look for it, and show what was found."""
    from flows._local import carry_out
    from tasks.drift.page import step
    from tasks.report.step import copy

    page = run.out / "page"
    carry_out(step, lambda: step.prepare(parts, page, run.own.report, run.repair))
    copy(page / step.INDEX, run.out / step.INDEX)
    found = json.loads((page / step.SUMMARY).read_bytes())["findings"]
    facts = {"page": str(run.out / step.INDEX), "seconds": round(time.monotonic() - began, 2)}
    if as_json:
        show({**facts, "parts": {role: str(path) for role, path in parts.items()}, "findings": found}, as_json)
        return
    show(facts, as_json)
    print("\n".join(f"{MARKS[one['tone']]} {one['title']}: {one['text']}" for one in found))


def recommend(
    environment: Environment,
    data: Data = Path("data"),
    task: Annotated[str, typer.Option(help="The task of the pipeline whose models are served.")] = "microscopy",
    models: Annotated[
        Path | None, typer.Option(help="Output of drift synthesis elsewhere, such as drift-report/synthesis.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which trained model to serve in an environment, with its measured score and spread."""
    from tasks.drift.recommend import recommend as recommended

    found = recommended(models or data / "drift" / task / "synthesis", environment)
    if as_json:
        show(found.document(), as_json)
    else:
        print("\n".join(found.lines()))
