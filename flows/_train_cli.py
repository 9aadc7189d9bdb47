"""`rawmill train`: a user's own pictures into the models that `rawmill synthesize` samples from."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._brought import is_shipped, raw_store
from flows._ingest_cli import Classes, files_params
from flows._options import AsJson, ParamsFile, params_file, show
from flows._train_parts import PARTS, Call, Made, Options, Run, make_part
from tasks.errors import BatchError, ParamsError, fault

if TYPE_CHECKING:
    from tasks.output import Job
    from tasks.synthesis.own import IngestedParams, Takes

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill train slides.zarr --out models",
        "rawmill train scans/ --classes tumour,stroma --out models --device cuda",
        "rawmill train scan.svs --unconditional --out models --steps-autoencoder 2000 --steps-denoiser 5000",
    ]
)
SHOWN = ("psnr", "ssim", "loss")
"""Parts of the names of figures that a person is shown."""

Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A raw store of slides or images; a folder of 8-bit RGB pictures (TIFF, SVS, NDPI, …) with at most one"
        " annotation beside each, as for `rawmill ingest`; or one such file.",
    ),
]
Models = Annotated[Path, typer.Option("--out", metavar="MODELS", help="Folder of the models and of the raw store.")]
Only = Annotated[str | None, typer.Option(help=f"Make this alone: {', '.join(('raw', *PARTS))}.")]
Kind = Annotated[
    str | None, typer.Option(help="slides, images (which need no pixel size) or auto; else as the params say.")
]
StepsAutoencoder = Annotated[int | None, typer.Option(min=1, help="Steps of the autoencoder.")]
StepsMaskDenoiser = Annotated[int | None, typer.Option(min=1, help="Steps of the mask denoiser.")]
StepsDenoiser = Annotated[int | None, typer.Option(min=1, help="Steps of the denoiser.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Tiles a step, of every part.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]
Processes = Annotated[int | None, typer.Option(min=1, help="Processes that share each batch, one on each GPU.")]
Encoder = Annotated[
    Path | None, typer.Option(help="Folder of a trained encoder, where train.autoencoder.perceptual has a weight.")
]
Unconditional = Annotated[
    bool,
    typer.Option("--unconditional", help="Train the denoiser without classes: for pictures without masks."),
]


def train(
    source: Source,
    out: Models,
    only: Only = None,
    steps_autoencoder: StepsAutoencoder = None,
    steps_mask_denoiser: StepsMaskDenoiser = None,
    steps_denoiser: StepsDenoiser = None,
    batch: Batch = None,
    device: Device = None,
    processes: Processes = None,
    unconditional: Unconditional = False,
    encoder: Encoder = None,
    classes: Classes = None,
    kind: Kind = None,
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the models of synthesis on your own pictures: the autoencoder, the mask denoiser, the denoiser.

    Files are cut into tiles of one size and become MODELS/raw.zarr first; some groups are held out. What is finished
    is not made again, and a run that was interrupted goes on where it was.

    The sections train and train_files.ingested of the params say the rest: copy params.yaml, change it, and name it
    with --params.
    """
    began = time.monotonic()
    counts = (steps_autoencoder, steps_mask_denoiser, steps_denoiser)
    steps = dict(zip(PARTS, counts, strict=True))
    options = Options(steps, batch, device, processes, unconditional, kind, classes)
    file = params_file(params)
    call = Call(source, out, None if is_shipped(file) else file, encoder, options)
    wanted = chosen(only, unconditional)
    run, bad, notes = plan(call, file, wanted)
    made = {}
    for name in wanted:
        made[name] = make_part(run, name)
    report(run, made, notes, as_json, began)
    if bad is not None:
        raise bad


def chosen(only: str | None, unconditional: bool) -> tuple[str, ...]:
    """The parts to train; none for the raw store alone. Raises `ParamsError`."""
    if only not in (None, "raw", *PARTS):
        expected = ", ".join(("raw", *PARTS))
        raise ParamsError(fault(f"--only {only}", "unknown", expected, "name one of these"))
    if only == "mask_denoiser" and unconditional:
        remedy = "leave one of them out"
        raise ParamsError(fault(f"--only {only}", "given with --unconditional", "masks with classes", remedy))
    without = ("mask_denoiser",) if unconditional else ()
    return tuple(name for name in PARTS if only in (None, name) and name not in without)


def plan(call: Call, file: Path, wanted: Sequence[str]) -> tuple[Run, BatchError | None, tuple[str, ...]]:
    """Check params, options and pictures, whose files are ingested: the run, bad files, and what figures must tell.

    Raises `ParamsError` and `InputError`, those about the params before anything is read.
    """
    from tasks.synthesis import own

    sections = sections_of(call, file)
    takes = own.Takes(sections["autoencoder"], sections["denoiser"] if "denoiser" in wanted else None)
    own.refuse_foreign(call.out)
    own.check_device([sections[name] for name in wanted])
    if "autoencoder" in wanted:
        own.check_encoder(takes.autoencoder, call.encoder)
    elif "denoiser" in wanted:
        own.check_autoencoder(call.out)
    raw, cut, bad = raw_of(call, file, takes)
    needing = [name for name in wanted if name != "autoencoder" and not call.options.unconditional]
    notes = own.check(raw, cut, takes, needing) if wanted else ()
    notes += () if bad is None else (f"{len(bad.faults)} files are left out, and named at the end",)
    for note in notes:
        print(f"· {note}", file=sys.stderr)
    return Run(call, raw, **sections), bad, notes


def sections_of(call: Call, file: Path) -> dict[str, Any]:
    """The params of each part, with what the options say. Raises `ParamsError`."""
    from tasks.params import Params, load
    from tasks.synthesis.mask_params import MaskDenoiserParams
    from tasks.synthesis.own import changed
    from tasks.synthesis.params import AutoencoderParams, DenoiserParams

    models: tuple[type[Params], ...] = (AutoencoderParams, MaskDenoiserParams, DenoiserParams)
    more = {"denoiser": {"p_unconditional": 1.0}} if call.options.unconditional else {}
    return {
        name: changed(load(file, f"train.{name}", model), call.options.fit(name), more.get(name, {}))
        for name, model in zip(PARTS, models, strict=True)
    }


def raw_of(call: Call, file: Path, takes: "Takes") -> tuple[Path, "IngestedParams | None", BatchError | None]:
    """The raw store, how its files were cut where it was made of some, and which were bad."""
    from tasks.ingest.brought import check_kind, files_of, is_store
    from tasks.params import load
    from tasks.synthesis import own

    raw, options = call.out / "raw.zarr", call.options
    if is_store(call.source):
        given = [f"--{name}" for name in ("kind", "classes") if getattr(options, name) is not None]
        if given:
            remedy = "leave it out, or name the files"
            raise ParamsError(fault(given[0], "given with a store", "it with files that are ingested", remedy))
        return raw_store(call.source, own.KINDS, raw, _no_job)[0], None, None
    cut = load(file, "train_files.ingested", own.IngestedParams)
    takes.check(cut.tile_px, "train_files.ingested", "mend tile_px")
    section, files = files_params(file, options.kind, options.classes), files_of(call.source)
    check_kind(files, section, own.KINDS, own.DEVELOP)
    how = own.ingest_params(files, section, cut)
    made, bad = raw_store(call.source, own.KINDS, raw, lambda: files.prepare(raw, how, call.again(raw, "raw")))
    return made, cut, bad


def _no_job() -> "Job":
    raise AssertionError("a store is made of no files")


def report(run: Run, made: Mapping[str, Made], notes: Sequence[str], as_json: bool, began: float) -> None:
    """Show what was made, what it measures, and what to type next."""
    from tasks.synthesis.own import side_px

    call = run.call
    onward = call.synthesize(side_px(run.raw)) if (call.out / PARTS[-1]).is_dir() else call.onward()
    facts = {"models": str(call.out), "raw": str(run.raw), "seconds": round(time.monotonic() - began, 2)}
    if as_json:
        parts = {name: one.document() for name, one in made.items()}
        show({**facts, "parts": parts, "remarks": list(notes), "next": onward}, as_json)
        return
    show(facts, as_json)
    print("\n".join([*table(made), *(f"· {note}" for note in notes), f"next: {onward}"]))


def table(made: Mapping[str, Made]) -> list[str]:
    """A line a part: seconds of this call, and its main figures; all are in the model's metrics.json."""
    width = max(map(len, made), default=0)
    lines = []
    for name, one in made.items():
        state = "reused" if one.reused else f"{one.seconds:.1f} s"
        told = {key: value for key, value in one.metrics.items() if any(part in key for part in SHOWN)}
        figures = " · ".join(f"{key} {value:.4g}" for key, value in told.items())
        lines.append(f"{name:<{width}}  {state:>10}  {figures}")
    return lines
