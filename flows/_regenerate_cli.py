"""`rawmill regenerate`: one sample of a synthetic store made again from its recipe, and compared."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from flows._options import AsJson
from flows._progress import told
from tasks.errors import InputError, ParamsError, fault

if TYPE_CHECKING:
    from tasks.synthesis.regenerate import Result

EXAMPLES = "  ·  ".join(
    [
        "Examples:  rawmill regenerate data/synthetic/tissue.zarr#s00000",
        "rawmill regenerate big.zarr#s00002 --out again --json",
        "rawmill regenerate big.zarr#s00002 --crop 1024,2048,256,256",
    ]
)
NOT_THE_SAME = 4

Sample = Annotated[str, typer.Argument(metavar="STORE#ID", help="A synthetic store and the id of a sample in it.")]
Crop = Annotated[
    str | None,
    typer.Option(metavar="Y,X,HEIGHT,WIDTH", help="Only these pixels; the store must have been made with --record."),
]
Keep = Annotated[Path | None, typer.Option("--out", help="Keep the image that was made here, an OME-Zarr.")]


def regenerate(sample: Sample, crop: Crop = None, out: Keep = None, as_json: AsJson = False) -> None:
    """Make one sample again from its recipe, elsewhere, and compare it with the stored one.

    The same bits on a CPU, within the tolerance that the recipe states on a GPU. What is large meanwhile lies beside
    --out, else in TMPDIR. Exit code 4 where it is not the same.
    """
    path, mark, name = sample.rpartition("#")
    if not (mark and path and name):
        wanted = "name one sample, e.g. data/synthetic/tissue.zarr#s00000"
        raise InputError(fault(sample, "no id", "STORE#ID", wanted))
    where = parse_crop(crop) if crop is not None else None
    if where is not None and out is not None:
        raise ParamsError(fault("--out", "given with --crop", "one of the two", "leave one out"))
    began = time.monotonic()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress, told(progress):
        result = _made(Path(path), name, where, out)
    _show(result, round(time.monotonic() - began, 2), as_json)
    if not result.same:
        raise typer.Exit(NOT_THE_SAME)


def _made(path: Path, name: str, where: tuple[int, int, int, int] | None, out: Path | None) -> "Result":
    from tasks.synthesis.regenerate import regenerate as whole
    from tasks.synthesis.regenerate_crop import regenerate_crop

    return whole(path, name, out) if where is None else regenerate_crop(path, name, where)


def _show(result: "Result", seconds: float, as_json: bool) -> None:
    for line in result.changed if not as_json else ():
        print(f"made by other code or libraries, to which a difference may be due: {line}", file=sys.stderr)
    if as_json:
        print(json.dumps({**result.document(), "seconds": seconds}, indent=2, sort_keys=True))
    else:
        print(result.line())


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """(y, x, height, width) of `Y,X,HEIGHT,WIDTH`. Raises `ParamsError`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ParamsError(fault("--crop", repr(text), "Y,X,HEIGHT,WIDTH in px such as 0,512,256,256", "write it so"))
    y, x, height, width = map(int, parts)
    return y, x, height, width
