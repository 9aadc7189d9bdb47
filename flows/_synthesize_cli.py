"""`rawmill synthesize`: labelled images of any size by the trained models."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._options import AsJson, Out, ParamsFile, make, params_file
from tasks.errors import ParamsError, fault

if TYPE_CHECKING:
    from tasks.synthesis.params import SynthesiseParams

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill synthesize --model data/models --size 512x768 --seed 7 --out big.zarr",
        "rawmill synthesize --model data/models --mask mine.png --guidance 2 --out mine.zarr",
        "rawmill synthesize --model data/models --size 4096x4096 --law grid --solver dpm_solver_pp --steps 15"
        " --out large.zarr",
    ]
)

Model = Annotated[
    Path, typer.Option(help="Folder with `autoencoder`, `denoiser`; `mask_denoiser` for generated masks.")
]
Size = Annotated[str, typer.Option(help="Height x width in px; any, of any aspect.")]
Seed = Annotated[int, typer.Option(min=0)]
Count = Annotated[int, typer.Option(min=1, help="How many samples.")]
Mask = Annotated[
    Path | None, typer.Option(help="PNG or TIFF of class indices, or a store's label image; sets the size.")
]
Guidance = Annotated[
    float | None, typer.Option(help="w of classifier-free guidance; 0 is conditional only, and twice as fast.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Sampling steps.")]
Solver = Annotated[
    str | None, typer.Option(metavar="ddim|dpm_solver_pp", help="dpm_solver_pp needs about half the steps of ddim.")
]
Eta = Annotated[float | None, typer.Option(help="Share of fresh noise in each step of ddim, 0 to 1.")]
Law = Annotated[
    str | None,
    typer.Option(metavar="random|grid", help="Where windows lie: as the thesis draws them, or as few as cover."),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Windows evaluated at a time. Fewer need less memory; last bits may differ.")
]
Record = Annotated[
    bool | None,
    typer.Option("--record/--no-record", help="Keep the canvas before each step, for `rawmill regenerate --crop`."),
]
Device = Annotated[str | None, typer.Option(metavar="cpu|cuda", help="cuda: every GPU that is visible.")]


def synthesize(
    model: Model,
    out: Out,
    size: Size = "256x256",
    seed: Seed = 0,
    count: Count = 1,
    mask: Mask = None,
    guidance: Guidance = None,
    steps: Steps = None,
    solver: Solver = None,
    eta: Eta = None,
    law: Law = None,
    batch: Batch = None,
    record: Record = None,
    device: Device = None,
    params: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Sample labelled images of any size by random patch diffusion.

    What is not given stands in section synthesise of the params. Killed or interrupted, run it again: it goes on with
    the step that it had reached.
    """
    from tasks.synthesis import step

    sampler = {"guidance": guidance, "steps": steps, "solver": solver, "eta": eta, "law": law}
    sampler |= {"batch_windows": batch, "record": record, "device": device}
    section = _section(params_file(params), {"seed": seed, "count": count, "sizes_px": [parse_size(size)]}, sampler)
    words = {"model": model, "size": size, "seed": seed, "count": count, "mask": mask, **sampler}
    repair = command("synthesize", {**words, "params": params, "out": out})
    make(step, lambda: step.prepare(model, out, section, out.stem, repair, mask), as_json)


def _section(file: Path, values: dict[str, Any], sampler: dict[str, Any]) -> "SynthesiseParams":
    """The section `synthesise` with what the command line says instead. Raises `ParamsError`."""
    from tasks.params import load, parse
    from tasks.synthesis.params import SynthesiseParams

    found = load(file, "synthesise", SynthesiseParams).model_dump() | values
    found["sampler"] |= {key: value for key, value in sampler.items() if value is not None}
    return parse(SynthesiseParams, found, "the options of synthesize")


def command(name: str, options: dict[str, Any]) -> str:
    """The command line of `rawmill name` with those of `options` that are given, as a shell takes it."""
    words = ["rawmill", name]
    for key, value in options.items():
        option = {"batch_windows": "batch"}.get(key, key)
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of `HxW`. Raises `ParamsError`."""
    height, cross, width = text.lower().partition("x")
    ascii_digits = all(part.isascii() and part.isdecimal() for part in (height, width))
    if not (cross and ascii_digits and 1 <= int(height) <= LARGEST_PX and 1 <= int(width) <= LARGEST_PX):
        expected = f"HEIGHTxWIDTH in px such as 512x768, each 1 to {LARGEST_PX}"
        raise ParamsError(fault("--size", repr(text), expected, "write it so"))
    return int(height), int(width)


LARGEST_PX = 2**20
"""A side beyond this is a slip of the keyboard: the largest slides have 2**18."""
