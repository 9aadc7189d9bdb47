"""`rawmill drift`: a user's own task model through all drift controls, and `rawmill recommend`."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._brought import is_shipped, raw_store
from flows._drift_again import Call, Options
from flows._drift_parts import Run, carry_out_parts
from flows._options import AsJson, Data, ParamsFile, params_file, show
from tasks.errors import BatchError, InputError, ParamsError, fault

if TYPE_CHECKING:
    from tasks.output import Job

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
Side = Annotated[
    int | None, typer.Option(min=1, help="Side to which views are resized; else of the params, null there for as is.")
]
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
    from tasks.drift.own import camera_fault, try_network
    from tasks.report.step import INDEX, refuse_foreign_page

    began = time.monotonic()
    refuse_foreign_page(out / INDEX)
    sys.path.append(str(Path.cwd()))  # where `python -m` would look for the user's network
    file = params_file(params)
    architecture = network(arch, arguments or ())
    try_network(architecture)
    options = Options(arch, tuple(arguments or ()), classes, task, input_px, window_px, trained_on)
    call = Call(model, data, out, None if is_shipped(file) else file, options)
    raw, bad = raw_of(call, file)
    run = plan(call, file, raw, train, architecture)
    camera = camera_fault(run.raw, run.task, run.own.intensities(train))
    parts = carry_out_parts(run, train, camera is None)
    report(run, parts, train, as_json, began)
    complain(bad, camera, train)


def raw_of(call: Call, file: Path) -> tuple[Path, BatchError | None]:
    """The raw store that `data` is, or that its files become; and which of them were bad. Raises `InputError`."""
    from tasks.drift.own import IngestedParams
    from tasks.ingest import step
    from tasks.ingest.brought import is_store
    from tasks.ingest.params import IngestParams
    from tasks.params import load, parse

    data, raw = call.data, call.out / "raw.zarr"
    if not (is_store(data) or data.is_dir()):
        wrong = "a single file, which is one group where two are needed" if data.is_file() else "not there"
        raise InputError(fault(data, wrong, "a raw store or a folder of files", "name the folder that holds the files"))

    def ingest() -> "Job":
        section = load(file, "ingest.files", IngestParams).model_dump()
        split = load(file, "drift_files.ingested", IngestedParams).model_dump()
        params = parse(IngestParams, {**section, **split}, file)
        return step.prepare(data, raw, params, data.resolve().name, call.ingest(raw))

    return raw_store(data, ("crops", "frames"), raw, ingest)


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


def plan(call: Call, file: Path, raw: Path, train: bool, architecture: Mapping[str, Any]) -> Run:
    """What is to be done, from the params, the options and the store. Raises `ParamsError` and `InputError`."""
    from tasks.drift import own
    from tasks.params import load

    options = call.options
    kind = own.task_of(raw, options.task)
    section = load(file, f"drift_files.{kind}", own.OwnParams)
    own.check_groups(raw, kind, section.intensity, train)
    tile_px = own.tile_px_of(raw, kind, section.intensity)
    named = options.classes and tuple(name.strip() for name in options.classes.split(","))
    fixed = {"task": kind, "classes": named or own.classes_of(raw, kind)}
    sides = {"input_px": options.input_px, "window_px": options.window_px}
    given = {name: side for name, side in sides.items() if side is not None}
    model = section.task_model({**fixed, **given, "architecture": architecture}, tile_px)
    return Run(call, file, raw, section, model, tile_px, section.scoring_from(options.trained_on))


def report(run: Run, parts: Mapping[str, Path], train: bool, as_json: bool, began: float) -> None:
    """Draw the page, put a copy where people look for it, and show what was found."""
    from flows._local import carry_out
    from tasks.drift.own import headed, remarks
    from tasks.drift.page import step
    from tasks.report.step import copy

    page = run.out / "page"
    told = remarks(run.task, run.tile_px, parts)
    params, repair = headed(run.own.report, told), run.repair(page, *([] if train else ["--no-train"]), from_home=True)
    carry_out(step, lambda: step.prepare(parts, page, params, repair))
    copy(page / step.INDEX, run.out / step.INDEX)
    found = json.loads((page / step.SUMMARY).read_bytes())["findings"]
    facts = {"page": str(run.out / step.INDEX), "seconds": round(time.monotonic() - began, 2)}
    if as_json:
        made = {role: str(path) for role, path in parts.items()}
        show({**facts, "parts": made, "remarks": list(told), "findings": found}, as_json)
        return
    show(facts, as_json)
    lines = [f"{MARKS['plain']} {remark}" for remark in told]
    print("\n".join([*lines, *(f"{MARKS[one['tone']]} {one['title']}: {one['text']}" for one in found)]))


def complain(bad: BatchError | None, camera: InputError | None, train: bool) -> None:
    """Raise what was wrong with the data, now that the rest is done."""
    if camera is None and bad is None:
        return
    left_out = "forensics and optimisation are" if train else "forensics is"
    lines = [] if camera is None else [f"{left_out} left out: {camera}"]
    raise BatchError([*bad.faults, *lines], bad.done) if bad is not None else InputError(lines[0])


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
